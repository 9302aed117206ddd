" The line that is typed in Vim's popup, where there is no buffer to type into. Pure: a line and a key give a line.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

" Return [text, cursor] after a key; the cursor counts letters. A key that edits nothing leaves both as they are.
function! rekall#line#edit(text, at, key) abort
  let before = strcharpart(a:text, 0, a:at)
  let after = strcharpart(a:text, a:at)
  if a:key ==# "\<BS>" || a:key ==# "\<C-H>"
    let before = strcharpart(before, 0, max([0, a:at - 1]))
  elseif a:key ==# "\<C-W>"
    let before = substitute(before, '\m\S*\s*$', '', '')
  elseif a:key ==# "\<C-U>"
    let before = ''
  elseif a:key ==# "\<Del>" || a:key ==# "\<C-D>"
    let after = strcharpart(after, 1)
  elseif a:key ==# "\<C-K>"
    let after = ''
  elseif a:key ==# "\<Left>"
    return [a:text, max([0, a:at - 1])]
  elseif a:key ==# "\<Right>"
    return [a:text, min([strchars(a:text), a:at + 1])]
  elseif a:key ==# "\<Home>" || a:key ==# "\<C-A>"
    return [a:text, 0]
  elseif a:key ==# "\<End>" || a:key ==# "\<C-E>"
    return [a:text, strchars(a:text)]
  elseif a:key !~# '\m^[\x80[:cntrl:]]'
    let before ..= a:key
  endif
  return [before .. after, strchars(before)]
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
