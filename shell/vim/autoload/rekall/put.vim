" Puts a text where somebody was: byte for byte, as one change, without mappings, indenting or formatting.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

" Return where the cursor is: what rekall#put#text() and #problem() take.
function! rekall#put#here() abort
  return {'window': win_getid(), 'buffer': bufnr('%'), 'inserts': mode(1) =~# '\m^\(i\|R\|ni\)', 'register': v:register,
        \ 'cursor': getcurpos()}
endfunction

" Return why nothing can be put there, or ''.
function! rekall#put#problem(place) abort
  if winbufnr(a:place.window) != a:place.buffer
    return rekall#text#_('the window where it was to go is gone')
  endif
  return getbufvar(a:place.buffer, '&modifiable') ? '' : rekall#text#_('this buffer cannot be changed; C-Y copies')
endfunction

" Put `text` there. In Insert mode at the cursor, whatever it is; else one line behind the character under the cursor,
" as p does, several below the line. The cursor goes behind it, or to its first line.
function! rekall#put#text(place, text) abort
  let problem = rekall#put#problem(a:place)
  if !empty(problem)
    return rekall#text#warn(problem)
  endif
  call win_gotoid(a:place.window)
  let lines = split(a:text, "\n", 1)
  let &g:undolevels = &g:undolevels  " closes the undo block: this is one change of its own
  try
    if a:place.inserts || len(lines) == 1
      call s:within(lines, a:place.inserts)
    else
      let at = line('.')
      call append(at, lines)
      call cursor(at + 1, 1)
    endif
  catch
    return rekall#text#warn(substitute(v:exception, '\m^Vim.\{-}:', '', ''))
  endtry
  let &g:undolevels = &g:undolevels
endfunction

function! s:within(lines, inserts) abort
  let [at, line, column] = [line('.'), getline('.'), col('.') - 1]
  let column += a:inserts ? 0 : len(matchstr(line[column :], '\m^.'))
  let lines = copy(a:lines)
  let lines[0] = strpart(line, 0, column) .. lines[0]
  let behind = len(lines[-1])
  let lines[-1] ..= strpart(line, column)
  call setline(at, lines[0])
  call append(at, lines[1:])
  call cursor(at + len(lines) - 1, behind + (a:inserts ? 1 : 0))
endfunction

" Copy `text` as a yank would: into the register that was named, else the unnamed one or what 'clipboard' says.
function! rekall#put#yank(place, text) abort
  let lines = split(a:text, "\n", 1)
  let kind = len(lines) > 1 ? 'V' : 'v'
  try
    call setreg(a:place.register, lines, kind)
  catch
    call setreg('"', lines, kind)
  endtry
  call rekall#text#say(rekall#text#_('copied'))
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
