" Runs rekall in the background: words in, one answer out. Vim's jobs and Neovim's behind one name.
"
" A command is a list of words and never passes through a shell. Whoever stops a job hears no more of it.

scriptencoding utf-8
let s:saved_cpo = &cpoptions
set cpoptions&vim

" Milliseconds that leaving the editor may wait for an entry that is being kept.
let s:PATIENCE = 3000
let s:keeping = []

" Run `rekall` with `words` and give it `input` on stdin ('' for none). Done(status, output, errors) is called once, later;
" the output is UTF-8 whatever the editor's encoding is, which json_decode() wants.
" Options: `keeps`: it writes; the editor's end does not end it. Return the job; stop it with rekall#job#stop().
function! rekall#job#run(words, input, Done, ...) abort
  let job = {'Done': a:Done, 'out': [], 'errors': [], 'open': 1, 'keeps': a:0 && a:1}
  let given = get(g:, 'rekall_command', 'rekall')
  let command = type(given) == v:t_list ? copy(given) : [given]
  if empty(command) || executable(command[0]) != 1
    call s:fail(job, printf(rekall#text#_('%s cannot be run; install rekall, or set g:rekall_command'),
          \ string(get(command, 0, ''))))
    return job
  endif
  try
    call s:start(job, command + a:words, a:input)
  catch
    call s:fail(job, substitute(v:exception, '\m^Vim.\{-}:', '', ''))
    return job
  endtry
  if job.keeps
    call add(s:keeping, job)
  endif
  return job
endfunction

" End a job; its answer is dropped. {} is a job that never was.
function! rekall#job#stop(job) abort
  if empty(a:job) || !a:job.open
    return
  endif
  let a:job.open = 0
  if has('nvim')
    call jobstop(a:job.id)
  else
    call job_stop(a:job.id)
  endif
  call s:forget(a:job)
endfunction

function! s:fail(job, reason) abort
  let a:job.open = 0
  call timer_start(0, {-> a:job.Done(2, '', a:reason)})
endfunction

if has('nvim')

  function! s:start(job, command, input) abort
    let a:job.id = jobstart(a:command, {
          \ 'stdout_buffered': v:true, 'stderr_buffered': v:true, 'detach': a:job.keeps,
          \ 'on_stdout': {_id, data, _event -> extend(a:job.out, data)},
          \ 'on_stderr': {_id, data, _event -> extend(a:job.errors, data)},
          \ 'on_exit': {_id, status, _event -> s:end(a:job, status, join(a:job.out, "\n"), join(a:job.errors, "\n"))}})
    if !empty(a:input)
      call chansend(a:job.id, a:input)
    endif
    call chanclose(a:job.id, 'stdin')
  endfunction

  function! s:is_running(job) abort
    return jobwait([a:job.id], 0)[0] == -1
  endfunction

else

  " stdin comes from a file: what does not fit into a pipe would make the editor wait.
  function! s:start(job, command, input) abort
    let options = {
          \ 'in_io': 'null', 'out_mode': 'raw', 'err_mode': 'raw', 'stoponexit': a:job.keeps ? '' : 'term',
          \ 'out_cb': {_channel, data -> add(a:job.out, data)},
          \ 'err_cb': {_channel, data -> add(a:job.errors, data)},
          \ 'close_cb': {_channel -> s:part(a:job, 'is_closed', 1)},
          \ 'exit_cb': {_id, status -> s:part(a:job, 'status', status)}}
    if !empty(a:input)
      let a:job.file = tempname()
      call writefile(split(rekall#text#utf8(a:input), "\n", 1), a:job.file, 'b')
      call extend(options, {'in_io': 'file', 'in_name': a:job.file})
    endif
    let a:job.id = job_start(a:command, options)
  endfunction

  " A job has ended when its output is all there and its status is known, whichever comes first.
  function! s:part(job, name, value) abort
    let a:job[a:name] = a:value
    if has_key(a:job, 'status') && has_key(a:job, 'is_closed')
      call s:end(a:job, a:job.status, join(a:job.out, ''), join(a:job.errors, ''))
    endif
  endfunction

  function! s:is_running(job) abort
    return job_status(a:job.id) ==# 'run'
  endfunction

endif

function! s:end(job, status, output, errors) abort
  call s:forget(a:job)
  if a:job.open
    let a:job.open = 0
    call a:job.Done(a:status, a:output, rekall#text#native(a:errors))
  endif
endfunction

function! s:forget(job) abort
  call filter(s:keeping, {_index, other -> other isnot a:job})
  if has_key(a:job, 'file')
    call delete(remove(a:job, 'file'))
  endif
endfunction

" What is being kept is kept before the editor goes.
function! s:wait() abort
  let waited = 0
  while waited < s:PATIENCE && !empty(filter(copy(s:keeping), {_index, job -> s:is_running(job)}))
    sleep 10m
    let waited += 10
  endwhile
endfunction

augroup rekall_job
  autocmd!
  autocmd VimLeavePre * call s:wait()
augroup END

let &cpoptions = s:saved_cpo
unlet s:saved_cpo
