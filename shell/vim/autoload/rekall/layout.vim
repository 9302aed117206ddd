" Where the finder's boxes are and what stands in the list. Pure: sizes and entries give numbers, lines and highlights.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

" The least for a preview beside the list, below it without asking, and below it at all.
let [s:BESIDE_COLUMNS, s:BELOW_ROWS, s:LEAST_ROWS] = [76, 18, 10]
let [s:MOST_COLUMNS, s:TYPE_COLUMNS, s:TAG_COLUMNS] = [170, 30, 46]

" What is highlighted how; a user's own highlights of these names stay.
function! rekall#layout#highlight() abort
  highlight default link RekallHere PmenuSel
  highlight default link RekallType Type
  highlight default link RekallDim Comment
  highlight default link RekallTitle Title
  highlight default link RekallProblem WarningMsg
  highlight default RekallCursor term=reverse cterm=reverse gui=reverse
endfunction

" Return {'list': box, 'preview': box or {}}. A box has the row and column of its border's corner, from 0, and the width
" and height within the border. `wants_preview`: 0 no, 1 yes, -1 where there is room.
function! rekall#layout#boxes(wants_preview) abort
  let columns = &columns
  let rows = &lines - max([1, &cmdheight])
  if a:wants_preview != 0 && columns >= s:BESIDE_COLUMNS
    let width = min([columns - 2, s:MOST_COLUMNS])
    let height = max([min([rows, 12]), rows * 3 / 4])
    let [row, left] = [(rows - height) / 2, width * 9 / 20]
    let column = (columns - width) / 2
    return {'list': s:box(row, column, left, height), 'preview': s:box(row, column + left, width - left, height)}
  elseif a:wants_preview == 1 && rows >= s:LEAST_ROWS || a:wants_preview == -1 && rows >= s:BELOW_ROWS
    let upper = max([5, rows * 9 / 20])
    return {'list': s:box(0, 0, columns, upper), 'preview': s:box(upper, 0, columns, rows - upper)}
  endif
  let height = min([rows, max([10, rows * 3 / 4])])
  return {'list': s:box((rows - height) / 2, 0, columns, height), 'preview': {}}
endfunction

function! s:box(row, column, width, height) abort
  return {'row': a:row, 'column': a:column, 'width': max([1, a:width - 2]), 'height': max([1, a:height - 2])}
endfunction

" Return the lines of the list's box below the line one types in, and what is highlighted in them: [group, line, byte,
" bytes], from 1.
function! rekall#layout#list(frame, width, height) abort
  let rows = max([0, a:height - 2])
  let top = max([0, min([a:frame.at - rows / 2, len(a:frame.hits) - rows])])
  let [lines, marks] = [[], []]
  for hit in rows ? a:frame.hits[top : top + rows - 1] : []
    let [line, parts] = s:row(hit, a:width)
    call add(lines, line)
    if top + len(lines) - 1 == a:frame.at
      call add(marks, ['RekallHere', len(lines), 1, len(line)])
    else
      call extend(marks, map(parts, {_index, part -> [part[0], len(lines), part[1], part[2]]}))
    endif
  endfor
  if rows && a:frame.is_problem && empty(a:frame.hits)  " the last line may be too short for it
    let lines = map(rekall#text#wrap(a:frame.status, a:width - 2), {_index, line -> ' ' .. line})[: rows - 1]
  endif
  let lines += repeat([''], rows - len(lines))
  let [status, mark] = rows && a:frame.is_problem && empty(a:frame.hits) ? ['', 'RekallDim'] : s:status(a:frame, a:width)
  call add(lines, status)
  return [lines, marks + [[mark, len(lines), 1, len(status)]]]
endfunction

function! s:row(hit, width) abort
  let head = a:width >= s:TYPE_COLUMNS ? ' ' .. rekall#text#pad(rekall#text#plain(a:hit.type), 10) : ' '
  let mark = rekall#entry#mark(a:hit)
  let title = rekall#text#plain(a:hit.title) .. (empty(mark) ? '' : '  ' .. mark)
  let room = a:width - len(head) - 1
  let tags = join(map(copy(a:hit.tags), {_index, tag -> '#' .. rekall#text#plain(tag)}))
  let left = room - strdisplaywidth(title) - 2
  let tags = a:width >= s:TAG_COLUMNS && strdisplaywidth(tags) <= left ? tags : ''
  let line = head .. rekall#text#pad(title, room - strdisplaywidth(tags))
  return [line .. tags .. ' ', [['RekallType', 1, len(head)]]
        \ + (empty(tags) ? [] : [['RekallDim', len(line) + 1, len(tags)]])]
endfunction

function! s:status(frame, width) abort
  let text = ' ' .. rekall#text#fit(a:frame.status, a:width - 1)
  let hints = a:frame.is_problem || &encoding !=# 'utf-8' ? []
        \ : [rekall#text#_('CR insert · C-Y copy · C-O open'), rekall#text#_('C-Y copy · C-O open')]
  for hint in filter(hints, {_index, hint -> strdisplaywidth(text .. hint) + 2 < a:width})[:0]
    let text = rekall#text#pad(text, a:width - strdisplaywidth(hint) - 1) .. hint .. ' '
  endfor
  return [text, a:frame.is_problem ? 'RekallProblem' : 'RekallDim']
endfunction

" Return the characters of a border: top, right, bottom, left, and the corners from the upper left one clockwise.
function! rekall#layout#border() abort
  return &encoding ==# 'utf-8' && &ambiwidth ==# 'single' ? ['─', '│', '─', '│', '┌', '┐', '┘', '└']
        \ : ['-', '|', '-', '|', '+', '+', '+', '+']
endfunction

" Return the preview's lines, none of them wider than `width`, and its highlights.
function! rekall#layout#preview(frame, width) abort
  let [lines, marks] = [[], []]
  for [line, group] in empty(a:frame.entry) ? [] : rekall#entry#preview(a:frame.entry)
    for part in rekall#text#wrap(line, a:width)
      call add(lines, part)
      if !empty(group)
        call add(marks, [group, len(lines), 1, len(part)])
      endif
    endfor
  endfor
  return [lines + (empty(lines) ? [''] : []), marks]
endfunction

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
