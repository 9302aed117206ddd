" An entry: what of it is inserted, its lines for the preview, and the whole of it in a buffer.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

" What the preview shows of a long one.
let s:MOST_LINES = 200
let s:MOST_LETTERS = 400
let s:FENCE = '\m^\(```\+\|\~\~\~\+\)'

" Return what is inserted, as `rekall pick` does: the first code block of the solution or the content, else the solution,
" else the content, else the title.
function! rekall#entry#answer(entry) abort
  for text in [s:code_block(a:entry.solution), s:code_block(a:entry.content), a:entry.solution]
    if !empty(text)
      return text
    endif
  endfor
  let content = s:stripped(a:entry.content)
  return empty(content) ? a:entry.title : content
endfunction

function! s:code_block(text) abort
  let fence = ''
  let lines = []
  for line in split(a:text, "\n", 1)
    let mark = matchstr(line, s:FENCE)
    let rest = line[len(mark) :]
    if empty(fence)
      let fence = !empty(mark) && !(mark[0] ==# '`' && stridx(rest, '`') >= 0) ? mark : ''
    elseif !empty(mark) && stridx(mark, fence) == 0 && rest !~# '\m\S'
      return s:stripped(join(lines, "\n"))
    else
      call add(lines, line)
    endif
  endfor
  return ''
endfunction

function! s:stripped(text) abort
  return trim(a:text, "\n")
endfunction

" Return the preview as [line, highlight group or ''] each. `entry` is a whole one, or what a search told of it.
function! rekall#entry#preview(entry) abort
  let lines = [[rekall#text#plain(a:entry.title), 'RekallTitle'], [s:facts(a:entry), 'RekallDim']]
  for [name, text] in rekall#entry#parts(a:entry)
    let lines += [['', '']] + (empty(name) ? [] : [[name .. ':', 'RekallDim']])
    let lines += map(s:shown(text), {_index, line -> [line, '']})
    if len(lines) > s:MOST_LINES
      break
    endif
  endfor
  return lines[: s:MOST_LINES]
endfunction

function! s:facts(entry) abort
  let status = rekall#entry#mark(a:entry)
  let tags = join(map(copy(a:entry.tags), {_index, tag -> '#' .. tag}))
  let project = empty(a:entry.project) ? '' : a:entry.project
  let facts = filter([a:entry.type, status, project, tags, a:entry.created_at[:9], a:entry.id[:9]], '!empty(v:val)')
  return rekall#text#plain(join(facts, rekall#text#mark(' · ', ' | ')))
endfunction

" Return what marks an obsolete entry, with what replaced it if something did; nothing for others.
function! rekall#entry#mark(entry) abort
  if a:entry.status ==# 'active'
    return ''
  endif
  let other = get(a:entry, 'replaced_by', {})
  let now = empty(other) ? '' : rekall#text#mark(' → ', ' -> ') .. other.id[:9] .. ' ' .. rekall#text#plain(other.title)
  return '(' .. rekall#text#_('obsolete') .. now .. ')'
endfunction

" Return [name, text] for each part of an entry that has a text; the content has no name.
function! rekall#entry#parts(entry) abort
  if !has_key(a:entry, 'content')
    return [['', get(a:entry, 'snippet', '')]]
  endif
  let parts = [[rekall#text#_('situation'), a:entry.situation], [rekall#text#_('errors'), join(a:entry.errors, "\n")],
        \ [rekall#text#_('what failed'), a:entry.what_failed], [rekall#text#_('solution'), a:entry.solution],
        \ ['', s:stripped(a:entry.content)]]
  return filter(parts, {_index, part -> part[1] =~# '\S'})
endfunction

function! s:shown(text) abort
  let most = s:MOST_LINES * s:MOST_LETTERS
  let lines = split(strpart(a:text, 0, most), "\n", 1)[: s:MOST_LINES]
  return map(lines, {_index, line -> rekall#text#plain(strcharpart(substitute(line, '\t', '    ', 'g'), 0, s:MOST_LETTERS))})
endfunction

" Open the whole entry in a window of its own, as Markdown. It is a picture of the entry: rekall edit changes it.
function! rekall#entry#open(entry) abort
  let name = 'rekall://' .. a:entry.id
  let is_new = bufnr('^' .. name .. '$') < 0
  execute is_new ? 'new' : 'sbuffer ' .. bufnr('^' .. name .. '$')
  setlocal buftype=nofile bufhidden=hide noswapfile nobuflisted modifiable undolevels=-1
  if is_new
    execute 'silent keepalt file' fnameescape(name)
  endif
  silent keepjumps %delete _
  call setline(1, s:whole(a:entry))
  setlocal nomodifiable nomodified filetype=markdown
  call cursor(1, 1)
endfunction

function! s:whole(entry) abort
  let lines = ['# ' .. rekall#text#plain(a:entry.title), '', s:facts(a:entry)]
  for [name, text] in rekall#entry#parts(a:entry)
    let lines += [''] + (empty(name) ? [] : ['## ' .. name, '']) + split(text, "\n", 1)
  endfor
  for file in a:entry.files
    call extend(lines, ['', '- ' .. file])
  endfor
  return lines + (empty(a:entry.source) ? [] : ['', a:entry.source])
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
