" :RekallAdd: keeps what is selected as an entry, with the place it came from.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

let s:TYPES = ['bug', 'pattern', 'decision', 'pitfall', 'config', 'reference', 'snippet', 'til']
" File types whose text is prose, not code.
let s:PROSE = ['', 'markdown', 'text', 'help', 'gitcommit', 'mail', 'rst', 'asciidoc', 'org', 'qf']

function! rekall#add#complete(lead, line, at) abort
  return a:line[: a:at] =~# '\mRekallAdd\s\+\S*$' ? s:types(a:lead, '', 0) : []
endfunction

function! s:types(lead, _line, _at) abort
  return filter(copy(s:TYPES), {_index, name -> stridx(name, a:lead) == 0})
endfunction

" Keep the lines of a range (none: no content) as an entry. `words`: type and title; what is missing is asked for.
function! rekall#add#lines(range, first, last, words) abort
  let text = a:range ? join(getline(a:first, a:last), "\n") : ''
  call s:add(text, a:range ? a:first : line('.'), a:words)
endfunction

" Keep what was selected last.
function! rekall#add#selection() abort
  call s:add(rekall#selected(), line("'<"), '')
endfunction

function! s:add(text, line, words) abort
  let [kind, title] = matchlist(a:words, '\m^\s*\(\S*\)\s*\(.\{-}\)\s*$')[1:2]
  let kind = empty(kind) ? s:ask(rekall#text#_('Type: '), empty(a:text) ? 'til' : 'snippet', 1) : kind
  if !empty(kind) && index(s:TYPES, kind) < 0
    return rekall#text#warn(printf(rekall#text#_('%s is no type; there are: %s'), string(kind), join(s:TYPES)))
  endif
  let title = empty(kind) || !empty(title) ? title : s:ask(rekall#text#_('Title: '), s:title(a:text), 0)
  if empty(title)
    return rekall#text#warn(rekall#text#_('nothing kept'))
  endif
  let words = ['add', kind] + s:source(a:line) + (empty(a:text) ? [] : ['-c', '-']) + ['--', title]
  call rekall#job#run(map(words, {_index, word -> rekall#text#utf8(word)}), s:content(a:text), function('s:kept'), 1)
endfunction

function! s:ask(prompt, default, is_type) abort
  call inputsave()
  try
    return trim(a:is_type ? input(a:prompt, a:default, 'customlist,' .. expand('<SID>') .. 'types')
          \ : input(a:prompt, a:default))
  catch /^Vim:Interrupt$/
    return ''
  finally
    call inputrestore()
    redraw
  endtry
endfunction

" Return the first line that says something, as a title to start from.
function! s:title(text) abort
  return strcharpart(trim(matchstr(a:text, '\m[^\n]*\S[^\n]*')), 0, 80)
endfunction

" Return where the text came from, if it is a file.
function! s:source(line) abort
  if empty(bufname('%')) || !empty(&buftype)
    return []
  endif
  let path = expand('%:p')
  return ['--source', path .. ':' .. a:line, '--file', path]
endfunction

" Return the content of the entry. Code goes into a fence, which nothing in it can close: so it comes back as it was.
function! s:content(text) abort
  if empty(a:text) || index(s:PROSE, &filetype) >= 0
    return a:text
  endif
  let fence = '```'
  while stridx(a:text, fence) >= 0
    let fence ..= '`'
  endwhile
  return fence .. matchstr(&filetype, '\m^[a-zA-Z0-9+#_-]*') .. "\n" .. a:text .. "\n" .. fence .. "\n"
endfunction

function! s:kept(status, output, errors) abort
  if a:status != 0
    return rekall#text#warn(rekall#text#reason(a:errors, a:status))
  endif
  let notice = matchstr(a:errors, '\m[^\n]\+')
  let kept = printf(rekall#text#_('kept %s'), trim(a:output))
  call rekall#text#say(empty(notice) ? kept : kept .. '; ' .. substitute(notice, '\m^rekall: ', '', ''))
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
