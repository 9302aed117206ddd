# Completion of rekall for bash.
#
# REKALL_NO_COMPLETION  if set and not empty: none

# What comes back is quoted for this line already, and put there as it is: nothing of it is evaluated. Bash shows no
# meanings beside the words; only where it lists several, at the second TAB, and inserts none, they can stand behind.
__rekall_complete() {
    local answer line word status=0
    COMPREPLY=()
    answer=$(command rekall complete bash "${COMP_LINE:0:COMP_POINT}" "${2-}" 2>/dev/null) || status=$?
    if [[ $status == 3 ]]; then
        compopt -o default -o filenames 2>/dev/null || true
        return 0
    fi
    while IFS= read -r line; do
        word=${line%%$'\t'*}
        [[ -n $line ]] || continue
        if [[ ${COMP_TYPE-} == 63 && $answer == *$'\n'* && -n ${line#*$'\t'} ]]; then
            word+="  (${line#*$'\t'})"
        fi
        COMPREPLY+=("$word")
    done <<<"$answer"
    return 0
}

if [[ -z ${REKALL_NO_COMPLETION-} ]]; then
    complete -o nosort -F __rekall_complete rekall rekall-py 2>/dev/null ||
        complete -F __rekall_complete rekall rekall-py
fi
