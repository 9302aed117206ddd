# Completion of rekall for fish.
#
# REKALL_NO_COMPLETION  if set and not empty: none

# fish quotes what it inserts, and shows what stands behind a tab.
function __rekall_complete --description 'what may stand at the cursor'
    set -l line (commandline -cp | string collect)
    set -l answer (command rekall complete fish "$line" 2>/dev/null)
    if test $status -eq 3
        set -l token (commandline -ct)
        set -l before (string match -r -- '^--[^=]*=' "$token")
        for path in (complete -C "'' "(string replace -r -- '^--[^=]*=' '' "$token"))
            echo -- "$before$path"
        end
    else
        printf '%s\n' $answer
    end
end

if test -z "$REKALL_NO_COMPLETION"
    for name in rekall rekall-py
        complete --command $name --erase
        complete --command $name --no-files --keep-order --arguments '(__rekall_complete)'
    end
end
