" rekall: your own notes, fixes and snippets in Vim 9 and Neovim. Help: :help rekall
"
" Nothing is loaded here but names; the rest comes from autoload/ when it is first used.

scriptencoding utf-8
if exists('g:loaded_rekall')
  finish
endif
let g:loaded_rekall = 1
let s:saved_cpo = &cpoptions
set cpoptions&vim

command! -nargs=* Rekall call rekall#find(<q-args>)
command! -bar -bang -range RekallFix call rekall#fix(<bang>0, <range>, <line1>, <line2>)
command! -nargs=* -range -complete=customlist,rekall#add#complete RekallAdd
      \ call rekall#add#lines(<range>, <line1>, <line2>, <q-args>)

nnoremap <silent> <Plug>(rekall-find) <Cmd>call rekall#find('')<CR>
inoremap <silent> <Plug>(rekall-find) <Cmd>call rekall#find('')<CR>
nnoremap <silent> <Plug>(rekall-word) <Cmd>call rekall#word()<CR>
inoremap <silent> <Plug>(rekall-word) <Cmd>call rekall#word()<CR>
xnoremap <silent> <Plug>(rekall-selection) :<C-U>call rekall#selection()<CR>
nnoremap <silent> <Plug>(rekall-fix) <Cmd>call rekall#fix(0, 0, 0, 0)<CR>
xnoremap <silent> <Plug>(rekall-fix) :<C-U>call rekall#fix_selection()<CR>
nnoremap <silent> <Plug>(rekall-add) :<C-U>call rekall#add#lines(0, line('.'), line('.'), '')<CR>
xnoremap <silent> <Plug>(rekall-add) :<C-U>call rekall#add#selection()<CR>

" A key of ours is set where it is free, and only for what has no key yet.
function! s:map(mode, key, name) abort
  if !hasmapto(a:name, a:mode) && empty(maparg(a:key, a:mode))
    execute a:mode .. 'map <unique>' a:key a:name
  endif
endfunction

if !get(g:, 'rekall_no_maps', 0)
  call s:map('n', '<Leader>rr', '<Plug>(rekall-find)')
  call s:map('n', '<Leader>rw', '<Plug>(rekall-word)')
  call s:map('x', '<Leader>rr', '<Plug>(rekall-selection)')
  call s:map('n', '<Leader>rf', '<Plug>(rekall-fix)')
  call s:map('x', '<Leader>rf', '<Plug>(rekall-fix)')
  call s:map('x', '<Leader>ra', '<Plug>(rekall-add)')
endif
delfunction s:map

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
