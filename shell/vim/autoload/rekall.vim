" What the commands and keys do: find a question, and ask it.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

" A longer question says no more, and has to go through a command line.
let s:MOST_LETTERS = 1000
" rekall keeps the first and last 64 kB of an output; a quickfix error has a few lines.
let s:MOST_LINES = 2000

" Open the finder with a question; an empty one lists what was kept last.
function! rekall#find(query) abort
  call rekall#view#open({'kind': 'query', 'query': s:line(a:query)})
endfunction

" Ask for the word under the cursor.
function! rekall#word() abort
  let word = expand('<cword>')
  if empty(word)
    return rekall#text#warn(rekall#text#_('there is no word under the cursor'))
  endif
  call rekall#find(word)
endfunction

" Ask for what was selected last.
function! rekall#selection() abort
  call rekall#find(rekall#selected())
endfunction

" Ask for the error the quickfix list is at; with `bang` the location list's, with a range the lines as an output.
function! rekall#fix(bang, range, first, last) abort
  call s:fix(a:range ? join(getline(a:first, a:last), "\n") : rekall#quickfix#error(a:bang))
endfunction

" Ask for what was selected last, as the output of something that failed.
function! rekall#fix_selection() abort
  call s:fix(rekall#selected())
endfunction

function! s:fix(text) abort
  if a:text !~# '\S'
    return rekall#text#warn(rekall#text#_('there is no error to ask about: the quickfix list is empty'))
  endif
  let text = join(split(a:text, "\n", 1)[: s:MOST_LINES], "\n")
  call rekall#view#open({'kind': 'output', 'query': '', 'text': text})
endfunction

function! s:line(text) abort
  return strcharpart(trim(substitute(a:text, '\m\_s\+', ' ', 'g')), 0, s:MOST_LETTERS)
endfunction

" Return the text that was selected last, as it stands; no register is changed.
function! rekall#selected() abort
  let saved = getreginfo('z')
  let view = winsaveview()
  let clipboard = &clipboard
  set clipboard=
  try
    silent noautocmd keepjumps normal! gv"zy
    return substitute(getreg('z'), '\m\n$', '', '')
  finally
    call setreg('z', saved)
    let &clipboard = clipboard
    call winrestview(view)
  endtry
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
