# Completion of rekall for zsh.
#
# REKALL_NO_COMPLETION  if set and not empty: none

# compadd quotes what it inserts; what it shows is plain text.
__rekall_complete() {
    local answer line word
    local -a rows words_found shown
    local -i width=0 state=0
    answer=$(command rekall complete zsh "${(j: :)words[1,CURRENT-1]} ${compstate[quote]-}${PREFIX}" 2>/dev/null) || state=$?
    if (( state == 3 )); then
        [[ $PREFIX != --*=* ]] || compset -P '*='
        _files
        return
    fi
    [[ -n $answer ]] || return 1
    rows=("${(@f)answer}")
    for line in "${rows[@]}"; do
        word=${line%%$'\t'*}
        words_found+=("$word")
        (( ${#word} <= width )) || width=${#word}
    done
    for line in "${rows[@]}"; do
        word=${line%%$'\t'*}
        if [[ -n ${line#*$'\t'} ]]; then
            shown+=("${(r:width:)word}  -- ${line#*$'\t'}")
        else
            shown+=("$word")
        fi
    done
    if [[ -n ${rows[1]#*$'\t'} ]]; then
        compadd -l -V rekall -M 'm:{a-z}={A-Z}' -d shown -a -- words_found
    else
        compadd -V rekall -M 'm:{a-z}={A-Z}' -a -- words_found
    fi
}

# compinit may come later in the user's file: then it is looked for once more before the first prompt.
__rekall_complete_setup() {
    emulate -L zsh
    add-zsh-hook -d precmd __rekall_complete_setup
    (( ! $+functions[compdef] )) || compdef __rekall_complete rekall rekall-py
}

if [[ -z ${REKALL_NO_COMPLETION-} ]]; then
    if (( $+functions[compdef] )); then
        compdef __rekall_complete rekall rekall-py
    elif [[ -o interactive ]]; then
        autoload -Uz add-zsh-hook && add-zsh-hook precmd __rekall_complete_setup
    fi
fi
