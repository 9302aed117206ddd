" The finder: a line to type in, what was found, and the entry one is at. One at a time.
"
" Every key leads to a question in the background; a newer one ends the job of the older. A key that takes an entry (Enter,
" C-Y, C-O) is kept until what it means is known: it never takes an answer to an older question.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

" As many entries as anybody looks through, and how long typing pauses before a question: as long as the last one took.
let s:MOST_HITS = 50
let [s:LEAST_PAUSE, s:MOST_PAUSE] = [15, 200]

let s:KEYS = {
      \ '<CR>': 'insert', '<C-Y>': 'yank', '<C-O>': 'open', '<Esc>': 'close', '<C-C>': 'close', '<C-G>': 'close',
      \ '<Down>': 'down', '<C-N>': 'down', '<C-J>': 'down', '<Up>': 'up', '<C-P>': 'up', '<PageDown>': 'page_down',
      \ '<PageUp>': 'page_up', '<S-Down>': 'scroll_down', '<C-F>': 'scroll_down', '<S-Up>': 'scroll_up',
      \ '<C-B>': 'scroll_up', '<Tab>': 'preview'}
let s:MOVES = {'down': 1, 'up': -1, 'page_down': 10, 'page_up': -10}
let s:SCROLLS = {'scroll_down': 3, 'scroll_up': -3}

let s:view = {}
let s:ui = has('nvim') ? 'float' : 'popup'

function! s:show(name, ...) abort
  return call('rekall#' .. s:ui .. '#' .. a:name, a:000)
endfunction

" Return the keys of the finder: what the user presses to what it does.
function! rekall#view#keys() abort
  return s:KEYS
endfunction

" Open the finder for a question: {'kind': 'query', 'query': …}, or 'output' with the text of it. An output that nothing
" answers opens nothing.
function! rekall#view#open(question) abort
  if !empty(getcmdwintype())
    return rekall#text#warn(rekall#text#_('not in the command-line window'))
  endif
  call rekall#view#close()
  let s:view = extend({
        \ 'place': rekall#put#here(), 'hits': [], 'at': 0, 'entries': {}, 'first': 0, 'wants_preview': -1, 'job': {},
        \ 'entry_job': {}, 'timer': -1, 'asks': 1, 'pending': '', 'problem': '', 'pause': s:LEAST_PAUSE, 'is_open': 0,
        \ 'cursor': strchars(a:question.query)}, a:question)
  if s:view.kind ==# 'query'
    call s:open()
  endif
  call s:ask()
endfunction

function! s:open() abort
  let s:view.is_open = 1
  call s:show('open', s:view.query)
  augroup rekall_view
    autocmd!
    autocmd VimResized * call s:draw()
    autocmd TabLeave,VimLeavePre * call rekall#view#close()
  augroup END
  call s:draw()
endfunction

" Close it, if it is open, and forget all that it waits for. Then() is called when the editor is back where it was.
function! rekall#view#close(...) abort
  if empty(s:view)
    return
  endif
  let view = s:view
  let s:view = {}
  call timer_stop(view.timer)
  call rekall#job#stop(view.job)
  call rekall#job#stop(view.entry_job)
  augroup rekall_view
    autocmd!
  augroup END
  let Then = a:0 ? a:1 : {-> 0}
  if view.is_open
    call s:show('close', view.place, Then)
  else
    call Then()
  endif
endfunction

" The line was changed: ask when typing pauses.
function! rekall#view#type(text, cursor) abort
  if empty(s:view)
    return
  endif
  let is_same = a:text ==# s:view.query
  let s:view.cursor = a:cursor
  if !is_same
    call extend(s:view, {'kind': 'query', 'query': a:text, 'asks': 1, 'pending': '', 'problem': ''})
    call rekall#job#stop(s:view.job)
    call timer_stop(s:view.timer)
    let s:view.timer = timer_start(s:view.pause, {-> s:ask()})
  endif
  call s:draw()
endfunction

" Return what the line is: [text, cursor in letters].
function! rekall#view#line() abort
  return empty(s:view) ? ['', 0] : [s:view.query, s:view.cursor]
endfunction

" Do what a key stands for.
function! rekall#view#do(action) abort
  if empty(s:view)
    return
  elseif a:action ==# 'close'
    call rekall#view#close()
  elseif a:action ==# 'preview'
    let s:view.wants_preview = !s:show('has_preview')
    call s:draw()
  elseif has_key(s:MOVES, a:action)
    let s:view.pending = ''
    call s:go(s:view.at + s:MOVES[a:action])
  elseif has_key(s:SCROLLS, a:action)
    let s:view.first = max([0, s:view.first + s:SCROLLS[a:action]])
    call s:draw()
  else
    call s:take(a:action)
  endif
endfunction

function! s:go(at) abort
  let s:view.at = max([0, min([a:at, len(s:view.hits) - 1])])
  let s:view.first = 0
  call s:fetch()
  call s:draw()
endfunction

function! s:ask() abort
  let view = s:view
  let began = reltime()
  if view.kind ==# 'output'
    let [words, input] = [['search', '-', '--as', 'output', '--json', '-n', s:MOST_HITS], view.text]
  elseif view.query !~# '\S'
    let [words, input] = [['list', '--json', '-n', s:MOST_HITS], '']
  else
    let [words, input] = [['search', '--json', '-n', s:MOST_HITS, '--', rekall#text#utf8(view.query)], '']
  endif
  let view.job = rekall#job#run(words, input, {status, output, errors -> s:answer(view, began, status, output, errors)})
endfunction

function! s:answer(view, began, status, output, errors) abort
  if a:view isnot s:view
    return
  endif
  let a:view.asks = 0
  let took = float2nr(reltimefloat(reltime(a:began)) * 1000)
  let a:view.pause = max([s:LEAST_PAUSE, min([s:MOST_PAUSE, took])])
  let [a:view.hits, a:view.problem] = s:hits(a:status, a:output, a:errors)
  if !a:view.is_open && s:is_unanswered(a:view)
    return
  endif
  call s:go(0)
endfunction

" An output's question is told in a line if nothing answers it; else the finder opens.
function! s:is_unanswered(view) abort
  if empty(a:view.hits)
    let problem = empty(a:view.problem) ? rekall#text#_('no entry answers this error') : a:view.problem
    call rekall#view#close({-> rekall#text#warn(problem)})
    return 1
  endif
  call s:open()
  return 0
endfunction

" Return [hits, problem].
function! s:hits(status, output, errors) abort
  if a:status != 0 && a:status != 1
    return [[], rekall#text#reason(a:errors, a:status)]
  endif
  try
    return [json_decode(split(a:output, "\n")[-1]).hits, '']
  catch
    return [[], rekall#text#_('rekall answered what this plugin does not understand; are both of one version?')]
  endtry
endfunction

" Have the entry one is at brought, whole.
function! s:fetch() abort
  let view = s:view
  call rekall#job#stop(view.entry_job)
  if empty(view.hits)
    return
  endif
  let id = view.hits[view.at].id
  if !has_key(view.entries, id)
    let view.entry_job = rekall#job#run(['show', '--json', '--', id], '',
          \ {status, output, errors -> s:entry(view, id, status, output, errors)})
  elseif !empty(view.pending)
    call timer_start(0, {-> view is s:view ? s:take(view.pending) : 0})
  endif
endfunction

function! s:entry(view, id, status, output, errors) abort
  if a:view isnot s:view
    return
  endif
  try
    if a:status == 0
      let a:view.entries[a:id] = json_decode(a:output)
    else
      let [a:view.problem, a:view.pending] = [rekall#text#reason(a:errors, a:status), '']
    endif
  catch
    let a:view.problem = s:hits(0, '', '')[1]
  endtry
  if !empty(a:view.pending)
    return s:take(a:view.pending)
  endif
  call s:draw()
endfunction

" Insert, copy or open the entry one is at, as soon as it is known which that is.
function! s:take(action) abort
  let view = s:view
  let id = empty(view.hits) ? '' : view.hits[view.at].id
  let view.problem = a:action ==# 'insert' ? rekall#put#problem(view.place) : ''
  if !empty(view.problem) || (empty(id) && !view.asks)
    let view.pending = ''
    return s:draw()
  elseif view.asks || !has_key(view.entries, id)
    let view.pending = a:action
    return s:draw()
  endif
  let entry = view.entries[id]
  call rekall#view#close({-> s:done(a:action, view.place, entry)})
endfunction

" Do with an entry what was asked for; rekall hears that it was taken, in the background.
function! s:done(action, place, entry) abort
  call rekall#job#run(['pick', '--take', '--print', 'id', '--', a:entry.id], '', {-> 0})
  if a:action ==# 'open'
    return rekall#entry#open(a:entry)
  endif
  let answer = rekall#entry#answer(a:entry)
  call call(a:action ==# 'insert' ? 'rekall#put#text' : 'rekall#put#yank', [a:place, answer])
endfunction

function! s:draw() abort
  if empty(s:view) || !s:view.is_open
    return
  endif
  let hit = get(s:view.hits, s:view.at, {})
  call s:show('draw', {
        \ 'query': s:view.query, 'cursor': s:view.cursor, 'hits': s:view.hits, 'at': s:view.at,
        \ 'entry': empty(hit) ? {} : get(s:view.entries, hit.id, hit), 'first': s:view.first,
        \ 'wants_preview': s:view.wants_preview, 'status': s:status(), 'is_problem': !empty(s:view.problem)})
endfunction

function! s:status() abort
  if !empty(s:view.problem)
    return rekall#text#plain(s:view.problem)
  elseif s:view.asks || !empty(s:view.pending)
    return rekall#text#_('searching…')
  elseif empty(s:view.hits)
    return rekall#text#_('nothing found')
  endif
  return (s:view.at + 1) .. '/' .. len(s:view.hits)
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
