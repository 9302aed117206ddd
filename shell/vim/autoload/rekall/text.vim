" Words for people: messages in their language, one line each, and text cut and made harmless for the screen.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

let s:FRENCH = {
      \ '%s cannot be run; install rekall, or set g:rekall_command':
      \     '%s ne peut être lancé ; installez rekall, ou réglez g:rekall_command',
      \ '%s is no type; there are: %s': '%s n''est pas un type ; il y a : %s',
      \ 'Title: ': 'Titre : ',
      \ 'Type: ': 'Type : ',
      \ 'copied': 'copié',
      \ 'kept %s': 'gardé : %s',
      \ 'no entry answers this error': 'aucune entrée ne répond à cette erreur',
      \ 'not in the command-line window': 'pas dans la fenêtre de ligne de commande',
      \ 'nothing found': 'rien trouvé',
      \ 'obsolete': 'obsolète',
      \ 'nothing kept': 'rien n''a été gardé',
      \ 'rekall answered what this plugin does not understand; are both of one version?':
      \     'réponse de rekall incomprise ; les deux sont-ils de la même version ?',
      \ 'rekall ended with status %d': 'rekall s''est terminé avec le code %d',
      \ 'searching…': 'recherche…',
      \ 'errors': 'erreurs',
      \ 'situation': 'situation',
      \ 'solution': 'solution',
      \ 'the window where it was to go is gone': 'la fenêtre de départ n''est plus là',
      \ 'there is no error to ask about: the quickfix list is empty':
      \     'aucune erreur à demander : la liste quickfix est vide',
      \ 'there is no word under the cursor': 'aucun mot sous le curseur',
      \ 'this buffer cannot be changed; C-Y copies': 'ce tampon n''est pas modifiable ; C-Y copie',
      \ 'what failed': 'ce qui a échoué',
      \ 'CR insert · C-Y copy · C-O open': 'CR insérer · C-Y copier · C-O ouvrir',
      \ 'C-Y copy · C-O open': 'C-Y copier · C-O ouvrir',
      \ }

" Return a message in the language that rekall itself speaks: by LC_ALL, LC_MESSAGES, LANG, and LANGUAGE.
function! rekall#text#_(message) abort
  return s:is_french() ? get(s:FRENCH, a:message, a:message) : a:message
endfunction

function! s:is_french() abort
  let locale = !empty($LC_ALL) ? $LC_ALL : !empty($LC_MESSAGES) ? $LC_MESSAGES : $LANG
  if locale =~# '\m^\(C\|POSIX\)\?\([.@]\|$\)'
    return 0
  endif
  for name in split($LANGUAGE, ':') + (empty($LANGUAGE) ? [locale] : [])
    if name =~# '\m^\(fr\|en\)\([_.@]\|$\)'
      return name =~# '\m^fr'
    endif
  endfor
  return 0
endfunction

" Show one line, and only one: longer ones are cut, so that nobody has to press Enter.
function! rekall#text#say(message) abort
  call s:echo(a:message, 'None')
endfunction

function! rekall#text#warn(message) abort
  call s:echo(a:message, 'WarningMsg')
endfunction

function! s:echo(message, group) abort
  let text = 'rekall: ' .. substitute(rekall#text#plain(a:message), '\m^rekall: ', '', '')
  redraw
  execute 'echohl' a:group
  echomsg rekall#text#fit(text, max([10, v:echospace]))
  echohl None
endfunction

" Return the first line of what rekall said to people.
function! rekall#text#reason(errors, status) abort
  let said = matchstr(a:errors, '\m[^\n]\+')
  return empty(said) ? printf(rekall#text#_('rekall ended with status %d'), a:status) : said
endfunction

" Return `text` on one line with control characters as pictures and marks of direction as what they are: nothing to trust.
function! rekall#text#plain(text) abort
  let text = substitute(a:text, '\m[\t\n]', ' ', 'g')
  if &encoding !=# 'utf-8'
    return substitute(text, '\m[\x01-\x1f\x7f]', '?', 'g')
  endif
  let text = substitute(text, '\m[\x01-\x1f\x7f]', '\=s:picture(submatch(0))', 'g')
  return substitute(text, '\m[\u0080-\u009f\u202a-\u202e\u2066-\u2069]', "\ufffd", 'g')
endfunction

function! s:picture(letter) abort
  return nr2char(a:letter ==# "\x7f" ? 0x2421 : 0x2400 + char2nr(a:letter))
endfunction

" Return `text` in at most so many columns.
function! rekall#text#fit(text, columns) abort
  if strdisplaywidth(a:text) <= a:columns
    return a:text
  endif
  return printf('%.*S', max([0, a:columns - 1]), a:text) .. rekall#text#mark('…', '~')
endfunction

" Return a line in parts of at most so many columns, cut at blanks where there are some; what follows keeps its indent.
function! rekall#text#wrap(line, columns) abort
  let [parts, rest] = [[], a:line]
  let indent = printf('%.*S', a:columns / 3, matchstr(a:line, '\m^ *'))
  while strdisplaywidth(rest) > a:columns
    let part = printf('%.*S', a:columns, rest)
    let blank = strridx(part, ' ')
    let part = blank > len(part) / 3 ? strpart(part, 0, blank) : empty(part) ? matchstr(rest, '\m^.') : part
    call add(parts, part)
    let rest = indent .. substitute(strpart(rest, len(part)), '\m^ ', '', '')
  endwhile
  return add(parts, rest)
endfunction

" Return `text` in exactly so many columns.
function! rekall#text#pad(text, columns) abort
  let text = rekall#text#fit(a:text, a:columns)
  return text .. repeat(' ', a:columns - strdisplaywidth(text))
endfunction

" Return a sign, or what stands for it where letters are not UTF-8.
function! rekall#text#mark(sign, other) abort
  return &encoding ==# 'utf-8' ? a:sign : a:other
endfunction

" Text of rekall's in the editor's encoding, and the other way round.
function! rekall#text#native(text) abort
  return &encoding ==# 'utf-8' ? a:text : iconv(a:text, 'utf-8', &encoding)
endfunction

function! rekall#text#utf8(text) abort
  return &encoding ==# 'utf-8' ? a:text : iconv(a:text, &encoding, 'utf-8')
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
