" The finder in Neovim's floating windows. The line one types in is a buffer of its own in Insert mode, with the focus;
" the list and the preview are only looked at.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

let s:windows = {}
let s:space = 0

function! rekall#float#open(query) abort
  call rekall#layout#highlight()
  let s:space = nvim_create_namespace('rekall')
  let boxes = rekall#layout#boxes(-1)
  let s:windows = {'list': s:window(boxes.list, {'border': s:border(), 'focusable': v:false})}
  let s:windows.line = s:window(s:line_box(boxes.list), {'zindex': 60})
  call nvim_buf_set_lines(winbufnr(s:windows.line), 0, -1, v:false, [a:query])
  call nvim_set_current_win(s:windows.line)
  call s:listen()
  call nvim_win_set_cursor(s:windows.line, [1, len(a:query)])
  startinsert!
endfunction

function! s:window(box, options) abort
  let buffer = nvim_create_buf(v:false, v:true)
  call nvim_buf_set_option(buffer, 'bufhidden', 'wipe')
  let window = nvim_open_win(buffer, v:false, extend(extend({'style': 'minimal', 'zindex': 50}, s:where(a:box)), a:options))
  call nvim_win_set_option(window, 'winhighlight', 'NormalFloat:Normal,FloatBorder:RekallDim')
  call nvim_win_set_option(window, 'wrap', v:false)
  return window
endfunction

function! s:where(box) abort
  return {'relative': 'editor', 'row': a:box.row, 'col': a:box.column, 'width': a:box.width, 'height': a:box.height}
endfunction

" The line stands on the first row within the list's border, behind its sign.
function! s:line_box(box) abort
  return {'row': a:box.row + 1, 'column': a:box.column + 3, 'width': max([1, a:box.width - 2]), 'height': 1}
endfunction

function! s:border() abort
  let [top, right, bottom, left, upper_left, upper_right, lower_right, lower_left] = rekall#layout#border()
  return [upper_left, top, upper_right, right, lower_right, bottom, lower_left, left]
endfunction

function! s:listen() abort
  for [key, action] in items(rekall#view#keys())
    execute printf('inoremap <buffer> <silent> <nowait> %s <Cmd>call rekall#float#key(%s)<CR>', key, string(action))
  endfor
  inoremap <buffer> <C-A> <Home>
  inoremap <buffer> <C-E> <End>
  inoremap <buffer> <C-D> <Del>
  setlocal filetype=rekall textwidth=0 nocindent noautoindent complete= omnifunc= completefunc= nospell
  augroup rekall_float
    autocmd!
    autocmd TextChangedI,TextChangedP,CursorMovedI <buffer> call s:typed()
    autocmd InsertLeave,WinLeave <buffer> call timer_start(0, {-> s:left()})
  augroup END
endfunction

" Do what a key stands for. Neovim tells of what was typed before it only when nothing more is coming: it is asked for here.
function! rekall#float#key(action) abort
  call s:typed()
  call rekall#view#do(a:action)
endfunction

function! s:typed() abort
  let lines = getline(1, '$')
  if len(lines) > 1  " several were pasted
    call setline(1, join(lines))
    silent 2,$delete _
    call cursor(1, len(getline(1)) + 1)
  endif
  let query = getline(1)
  call rekall#view#type(query, strchars(strpart(query, 0, col('.') - 1)))
endfunction

" Insert mode was left, or the window: by Esc of a mapping, by a mouse.
function! s:left() abort
  if !empty(s:windows) && (win_getid() != s:windows.line || mode() !=# 'i')
    call rekall#view#close()
  endif
endfunction

" Close the windows and go back to where one was, in the mode one was in; then call Then().
function! rekall#float#close(place, Then) abort
  let windows = s:windows
  let s:windows = {}
  augroup rekall_float
    autocmd!
  augroup END
  if !a:place.inserts && mode() ==# 'i'
    " Leaving Insert mode moves the cursor: it is left here, before the window one was in is entered.
    execute 'autocmd rekall_float InsertLeave * ++once call timer_start(0, {-> s:end(s:ended[0], s:ended[1], s:ended[2])})'
    let s:ended = [windows, a:place, a:Then]
    stopinsert
  else
    call timer_start(0, {-> s:end(windows, a:place, a:Then)})
  endif
endfunction

function! s:end(windows, place, Then) abort
  let is_here = index(values(a:windows), win_getid()) >= 0
  if is_here && nvim_win_is_valid(a:place.window)
    call nvim_set_current_win(a:place.window)
    if a:place.inserts && mode() !=# 'i'
      execute col('$') <= a:place.cursor[2] ? 'startinsert!' : 'startinsert'
    endif
  endif
  for window in values(a:windows)
    if nvim_win_is_valid(window)
      call nvim_win_close(window, v:true)
    endif
  endfor
  call a:Then()
endfunction

function! rekall#float#has_preview() abort
  return has_key(s:windows, 'preview')
endfunction

function! rekall#float#draw(frame) abort
  let boxes = rekall#layout#boxes(a:frame.wants_preview)
  let [lines, marks] = rekall#layout#list(a:frame, boxes.list.width, boxes.list.height)
  let marks = map(marks, {_index, mark -> [mark[0], mark[1] + 1, mark[2], mark[3]]})
  call s:move(s:windows.list, boxes.list)
  call s:move(s:windows.line, s:line_box(boxes.list))
  call s:fill(s:windows.list, [rekall#text#mark('›', '>')] + lines, marks + [['RekallType', 1, 1, 3]])
  call s:draw_preview(a:frame, boxes.preview)
  redraw
endfunction

function! s:draw_preview(frame, box) abort
  if empty(a:box)
    if has_key(s:windows, 'preview')
      call nvim_win_close(remove(s:windows, 'preview'), v:true)
    endif
    return
  elseif !has_key(s:windows, 'preview')
    let s:windows.preview = s:window(a:box, {'border': s:border(), 'focusable': v:false})
    call win_execute(s:windows.preview, 'setlocal syntax=markdown nofoldenable conceallevel=0')
  endif
  let [lines, marks] = rekall#layout#preview(a:frame, a:box.width)
  call s:move(s:windows.preview, a:box)
  call s:fill(s:windows.preview, lines, marks)
  let first = min([a:frame.first, len(lines) - 1]) + 1
  call win_execute(s:windows.preview, printf('call winrestview({"lnum": %d, "topline": %d})', first, first))
endfunction

function! s:move(window, box) abort
  call nvim_win_set_config(a:window, s:where(a:box))
endfunction

function! s:fill(window, lines, marks) abort
  let buffer = winbufnr(a:window)
  call nvim_buf_clear_namespace(buffer, s:space, 0, -1)
  call nvim_buf_set_lines(buffer, 0, -1, v:false, a:lines)
  for [group, line, column, length] in a:marks
    if length > 0 && line <= len(a:lines)
      call nvim_buf_add_highlight(buffer, s:space, group, line - 1, column - 1, column - 1 + length)
    endif
  endfor
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
