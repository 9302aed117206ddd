" The text of a quickfix or location list's error, as the tool had printed it.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

let s:KINDS = {'E': 'error', 'W': 'warning', 'I': 'info', 'N': 'note'}

" Return the current error with the lines that belong to it; '' if there is none. In a quickfix window: the one under the
" cursor.
function! rekall#quickfix#error(of_location) abort
  let here = getwininfo(win_getid())[0]
  let local = a:of_location || here.loclist
  let list = local ? getloclist(0, {'items': 1, 'idx': 0}) : getqflist({'items': 1, 'idx': 0})
  let items = get(list, 'items', [])
  let at = (here.quickfix ? line('.') : get(list, 'idx', 0)) - 1
  if at < 0 || at >= len(items)
    return ''
  endif
  let lines = [s:printed(items[at])]
  for item in items[at + 1 :]
    if item.valid
      break
    endif
    call add(lines, item.text)
  endfor
  return join(lines, "\n")
endfunction

" 'errorformat' takes apart what a tool had printed; an error is only known as one with its mark.
function! s:printed(item) abort
  if !a:item.valid && empty(a:item.type)
    return a:item.text
  endif
  let place = a:item.bufnr > 0 ? bufname(a:item.bufnr) .. ':' : ''
  if !empty(place) && a:item.lnum > 0
    let place ..= a:item.lnum .. ':' .. (a:item.col > 0 ? a:item.col .. ':' : '')
  endif
  let kind = get(s:KINDS, toupper(a:item.type), 'error')
  let mark = a:item.text =~? '\m\<' .. kind .. '\>' ? '' : kind .. ': '
  return (empty(place) ? '' : place .. ' ') .. mark .. a:item.text
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
