" The finder in Vim's popup windows. They take no focus: a filter gets every key, and the line is edited in line.vim.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

let [s:list, s:preview, s:is_pasting] = [0, 0, 0]
let s:GROUPS = ['RekallHere', 'RekallType', 'RekallDim', 'RekallTitle', 'RekallProblem', 'RekallCursor']

function! rekall#popup#open(_query) abort
  call rekall#layout#highlight()
  for group in s:GROUPS
    if empty(prop_type_get(group))
      call prop_type_add(group, {'highlight': group, 'combine': group ==# 'RekallCursor'})
    endif
  endfor
  let s:is_pasting = 0
  let s:list = s:create({'filter': function('s:filter'), 'filtermode': 'a', 'mapping': 0, 'wrap': 0, 'zindex': 200,
        \ 'callback': {_id, _result -> rekall#view#close()}})
endfunction

function! s:create(options) abort
  let id = popup_create('', extend({'border': [], 'padding': [0, 0, 0, 0], 'highlight': 'Normal', 'borderhighlight': ['RekallDim'],
        \ 'borderchars': rekall#layout#border(), 'pos': 'topleft', 'scrollbar': 0, 'fixed': 1, 'zindex': 199}, a:options))
  call setbufvar(winbufnr(id), '&buftype', 'nofile')
  return id
endfunction

" Close the popups; the editor is where it was all the time.
function! rekall#popup#close(_place, Then) abort
  let [list, preview] = [s:list, s:preview]
  let [s:list, s:preview] = [0, 0]
  call popup_close(list)
  call popup_close(preview)
  " What is done next may open windows or change text, which is not allowed within a filter.
  call timer_start(0, {-> a:Then()})
endfunction

function! rekall#popup#has_preview() abort
  return s:preview != 0
endfunction

function! rekall#popup#draw(frame) abort
  let boxes = rekall#layout#boxes(a:frame.wants_preview)
  let [lines, marks] = rekall#layout#list(a:frame, boxes.list.width, boxes.list.height)
  let marks = map(marks, {_index, mark -> [mark[0], mark[1] + 1, mark[2], mark[3]]})
  let [line, cursor] = s:line(a:frame, boxes.list.width)
  call s:move(s:list, boxes.list)
  call s:fill(s:list, [line] + lines, marks + [['RekallType', 1, 1, 2], cursor])
  call s:draw_preview(a:frame, boxes.preview)
  redraw
endfunction

function! s:draw_preview(frame, box) abort
  if empty(a:box)
    call popup_close(s:preview)
    let s:preview = 0
    return
  elseif !s:preview
    let s:preview = s:create({'wrap': 0})
    call win_execute(s:preview, 'setlocal syntax=markdown nofoldenable conceallevel=0')
  endif
  let [lines, marks] = rekall#layout#preview(a:frame, a:box.width)
  call s:move(s:preview, a:box)
  call s:fill(s:preview, lines, marks)
  call popup_setoptions(s:preview, {'firstline': min([a:frame.first, len(lines) - 1]) + 1})
endfunction

function! s:move(id, box) abort
  call popup_move(a:id, {'line': a:box.row + 1, 'col': a:box.column + 1, 'minwidth': a:box.width,
        \ 'maxwidth': a:box.width, 'minheight': a:box.height, 'maxheight': a:box.height})
endfunction

function! s:fill(id, lines, marks) abort
  let lines = map(copy(a:lines), {_index, line -> {'text': line, 'props': []}})
  for [group, line, column, length] in a:marks
    if length > 0 && line <= len(lines)
      call add(lines[line - 1].props, {'type': group, 'col': column, 'length': length})
    endif
  endfor
  call popup_settext(a:id, lines)
endfunction

" Return the line one types in, its end in sight, and where the cursor is in it.
function! s:line(frame, width) abort
  let before = rekall#text#plain(strcharpart(a:frame.query, 0, a:frame.cursor))
  let after = rekall#text#plain(strcharpart(a:frame.query, a:frame.cursor)) .. ' '
  while strdisplaywidth(before) > a:width - 4
    let before = strcharpart(before, max([1, strchars(before) / 8]))
  endwhile
  let line = rekall#text#mark('› ', '> ') .. before
  return [rekall#text#fit(line .. after, a:width), ['RekallCursor', 1, len(line) + 1, len(matchstr(after, '\m^.'))]]
endfunction

function! s:filter(_id, key) abort
  if a:key ==# "\<PasteStart>" || a:key ==# "\<PasteEnd>"
    let s:is_pasting = a:key ==# "\<PasteStart>"
    return 1
  endif
  let action = s:is_pasting ? '' : get(s:actions(), a:key, '')
  if !empty(action)
    call rekall#view#do(action)
    return 1
  endif
  let [text, cursor] = rekall#view#line()
  let key = s:is_pasting && a:key =~# '\m^[\r\n\t]$' ? ' ' : a:key
  let [edited, at] = rekall#line#edit(text, cursor, key)
  if edited !=# text || at != cursor
    call rekall#view#type(edited, at)
  endif
  return 1
endfunction

function! s:actions() abort
  if !exists('s:by_key')
    let s:by_key = {}
    for [key, action] in items(rekall#view#keys())
      let s:by_key[eval('"\' .. key .. '"')] = action
    endfor
  endif
  return s:by_key
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
