# rekall for bash 4.4 and newer: what `rekall init bash` prints, behind the variables that its options set.
#
# REKALL_KEY       the key that finds; empty: none. Without it: alt-k, in vi's maps ctrl-g
# REKALL_KEEP_KEY  the key that keeps a command; empty: none. Without it: alt-shift-k
# REKALL_NO_BIND   if set and not empty: no key is bound
#
# A key is written alt-k, alt-shift-k, ctrl-g, ctrl-x ctrl-r, or as readline has it: \ek.
# rekall_find and rekall_keep are for `bind -x`; rekall_bind binds them to these keys (again).

if [[ $- == *i* ]] && ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)); then

# ---- find ----

# Find, and put what is chosen in the place of what was asked. What is left is as it was. `rekall_find 1`: the place is
# behind the character under the cursor, as vi's `a` has it.
rekall_find() {
    \builtin local at=$((READLINE_POINT + ${1:-0}))
    \builtin local before="${READLINE_LINE:0:at}" after="${READLINE_LINE:at}"
    \builtin local query answer said status
    __rekall_query
    __rekall_pick
    # If the picker was cut off it still stands here. It has switched off that pastes are marked as such.
    \builtin printf '\r\e[J' >/dev/tty
    if [[ $(\builtin bind -v 2>/dev/null) == *'enable-bracketed-paste on'* ]]; then
        \builtin printf '\e[?2004h' >/dev/tty
    fi
    if [[ -n $said ]]; then
        \builtin printf '%s\n' "$said" >/dev/tty
    fi
    if [[ $status == 0 && -n $answer ]]; then
        before=${before:0:${#before}-${#query}}$answer
        READLINE_LINE=$before$after
        READLINE_POINT=${#before}
    fi
}

# The query: right behind a word, the command that it ends, or what was quoted so far; else nothing.
__rekall_query() {
    \builtin local quoted
    query=
    if [[ $before == *[[:alnum:]_./~+%@-] && $after != [![:space:]]* ]]; then
        query=${before##*[$'\n''|;&(`']}
        quoted=${query##*[[:space:]][\"\']}
        if [[ $quoted != *[\"\']* ]]; then
            query=$quoted
        fi
        query=${query#"${query%%[![:space:]]*}"}
    fi
}

# Ask with `query`; set `answer`, `said` and `status`. One pipe brings all three.
__rekall_pick() {
    \builtin local mark=$'\036'
    if ! \builtin hash rekall 2>/dev/null; then
        __rekall_missing
        \builtin return 0
    fi
    # shellcheck disable=SC2093 # exec: each in a subshell of its own
    answer=$(
        {
            said=$(\builtin exec rekall pick -- "$query" 2>&1 >&3 3>&- </dev/tty) && status=0 || status=$?
        } 3>&1
        \builtin printf '%s' "$mark$status$mark$said"
    )
    said=${answer##*"$mark"} answer=${answer%"$mark"*}
    status=${answer##*"$mark"} answer=${answer%"$mark"*}
    answer=${answer%"${answer##*[!$'\n']}"}
}

__rekall_missing() {
    status=127
    case ${LC_ALL:-${LC_MESSAGES:-${LANG-}}} in
        fr | fr[_.@]*) said='rekall est introuvable ; son dossier est-il dans PATH ?' ;;
        *) said='rekall is not found; is its folder in PATH?' ;;
    esac
}

# ---- keep ----

# Write a `rekall add` for the command being typed, or for the last one: what it is about is left to be said.
rekall_keep() {
    \builtin local command="$READLINE_LINE" status="" folder="$PWD" type=snippet
    if [[ $command == *[![:space:]]* ]]; then
        \builtin history -s -- "$command" # there it is found again
    else
        __rekall_last
    fi
    if [[ -z $command ]]; then
        \builtin return 0
    fi
    if [[ -n $status && $status != 0 ]]; then
        type=bug
    fi
    folder=${folder:+"in ${folder/#"$HOME"/"~"}${status:+, exit status $status}"}
    READLINE_LINE=" rekall add $type \"\" -c ${command@Q}${folder:+" --situation ${folder@Q}"}"
    READLINE_POINT=$((14 + ${#type}))
}

# The last command that history has and that is not ours. Set `command`, `status` and `folder`, as far as known.
__rekall_last() {
    \builtin local HISTTIMEFORMAT='' number lines later=''
    for number in 1 2 3 4 5 6 7 8 9; do
        lines=$(\builtin history "$number")
        command=${lines%"$later"} later=$'\n'$lines
        command=${command#"${command%%[![:space:]]*}"} # its number, a star or a blank, a blank
        command=${command#"${command%%[!0-9]*}"??}
        if [[ $command != *([[:space:]])rekall[[:space:]]* ]]; then
            \builtin break
        fi
    done
    folder=''
    if ((number == 1)); then
        status=${__rekall_status-} folder=${__rekall_folder-}
    fi
}

# Note what came of a command, before each prompt, without a process. \# counts the commands that were run, HISTCMD
# those that the history took: if it did not take one, or took it for the same, this is not what came of its last line.
__rekall_prompt() {
    \builtin local status="$?" counts='\#'
    counts=${counts@P}/${HISTCMD-}
    case $counts in
        "${__rekall_counts:=$counts}") ;; # an empty line, or the first prompt
        */"${__rekall_counts#*/}") __rekall_status='' __rekall_folder='' ;;
        *) __rekall_status=$status __rekall_folder=$__rekall_here ;;
    esac
    __rekall_counts=$counts __rekall_here=$PWD
    if [[ $- != *e* ]]; then
        \builtin return "$status" # for what comes next in PROMPT_COMMAND
    fi
}

if [[ ${PROMPT_COMMAND-} != *__rekall_prompt* ]]; then
    __rekall_counts='' __rekall_here=$PWD
    PROMPT_COMMAND=__rekall_prompt${PROMPT_COMMAND:+$'\n'$PROMPT_COMMAND}
fi

# ---- keys ----

# Bind the keys in emacs' and vi's maps, once more if somebody has taken them.
rekall_bind() {
    __rekall_bind "${REKALL_KEY-alt-k}" rekall_find emacs-standard
    __rekall_bind "${REKALL_KEY-ctrl-g}" rekall_find vi-insert
    __rekall_bind "${REKALL_KEY-ctrl-g}" 'rekall_find 1' vi-command
    __rekall_bind "${REKALL_KEEP_KEY-alt-shift-k}" rekall_keep emacs-standard vi-insert vi-command
}

__rekall_bind() {
    \builtin local IFS=' ' key='' word map
    for word in $1; do
        case $word in
            alt-shift-?) word=${word#alt-shift-} key+="\\e${word^^}" ;;
            alt-?) key+="\\e${word#alt-}" ;;
            ctrl-?) key+="\\C-${word#ctrl-}" ;;
            *) key=${1//\"/\\\"} && \builtin break ;;
        esac
    done
    for map in "${@:3}"; do
        if [[ -n $key ]]; then
            \builtin bind -m "$map" -x "\"$key\": $2" 2>/dev/null || \builtin :
        fi
    done
}

if [[ -z ${REKALL_NO_BIND-} ]]; then
    rekall_bind
fi

fi
