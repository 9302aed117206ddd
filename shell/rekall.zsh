# rekall for zsh: what `rekall init zsh` prints, behind the variables that its options set.
#
# REKALL_KEY       the key that finds; empty: none. Without it: alt-k, in vi's maps ctrl-g
# REKALL_KEEP_KEY  the key that keeps a command; empty: none. Without it: alt-shift-k
# REKALL_NO_BIND   if set and not empty: no key is bound
#
# A key is written alt-k, alt-shift-k, ctrl-g, ctrl-x ctrl-r, or as bindkey has it: ^[k.
# The widgets are rekall_find and rekall_keep; rekall_bind binds them to these keys (again).

if [[ -o interactive && -o zle ]]; then

# ---- find ----

# Find, and put what is chosen in the place of what was asked. What is left is as it was.
rekall_find() {
    \builtin emulate -L zsh
    \builtin local query answer said code cursor="$CURSOR" at="$CURSOR"
    # In vi's command mode the place is behind the character under the cursor, as vi's `a` has it.
    if [[ $KEYMAP == vicmd && $CURSOR -lt $#BUFFER ]]; then
        at=$((CURSOR + 1))
    fi
    CURSOR=$at
    __rekall_query
    # The picker has the lines below the last one of what is being typed; then we are back where zle believes us to be.
    CURSOR=$#BUFFER
    \builtin zle -R
    \builtin print -n -- '\r\n' >/dev/tty
    __rekall_pick
    CURSOR=$cursor
    # If the picker was cut off it still stands here. It has switched off that pastes are marked as such, and
    # the arrow keys that some set up.
    \builtin print -n -- "\r\e[J\e[A${zle_bracketed_paste[1]-}" >/dev/tty
    if [[ ${functions[zle-line-init]-} == *smkx* ]]; then
        \builtin print -n -- "${terminfo[smkx]-}" >/dev/tty
    fi
    \builtin zle redisplay
    if [[ $code == 0 && -n $answer ]]; then
        CURSOR=$at
        LBUFFER=${LBUFFER[1,$#LBUFFER-$#query]}$answer
    fi
    if [[ -n $said ]]; then
        \builtin zle -M -- $said
    fi
}

# The query: right behind a word, the command that it ends, or what was quoted so far; else nothing.
__rekall_query() {
    \builtin local quoted
    query=
    if [[ $LBUFFER == *[[:alnum:]_./~+%@-] && $RBUFFER != [^[:space:]]* ]]; then
        query=${LBUFFER##*[$'\n''|;&(`']}
        quoted=${query##*[[:space:]][\"\']}
        if [[ $quoted != *[\"\']* ]]; then
            query=$quoted
        fi
        query=${query#"${query%%[^[:space:]]*}"}
    fi
}

# Ask with `query`; set `answer`, `said` and `code`. One pipe brings all three.
__rekall_pick() {
    \builtin local mark=$'\036'
    if ! \builtin whence -p rekall >/dev/null; then
        __rekall_missing
        \builtin return 0
    fi
    answer=$(
        {
            said=$(\builtin exec rekall pick -- "$query" 2>&1 >&3 3>&- </dev/tty) && code=0 || code=$?
        } 3>&1
        \builtin print -rn -- "$mark$code$mark$said"
    )
    said=${answer##*$mark} answer=${answer%$mark*}
    code=${answer##*$mark} answer=${answer%$mark*}
    answer=${answer%"${answer##*[^$'\n']}"}
}

__rekall_missing() {
    code=127
    case ${LC_ALL:-${LC_MESSAGES:-${LANG-}}} in
        fr | fr[_.@]*) said='rekall est introuvable ; son dossier est-il dans PATH ?' ;;
        *) said='rekall is not found; is its folder in PATH?' ;;
    esac
}

# ---- keep ----

# Write a `rekall add` for the command being typed, or for the last one: what it is about is left to be said. What was
# being typed comes back at the next prompt.
rekall_keep() {
    \builtin emulate -L zsh
    \builtin local command="$BUFFER" code="" folder="$PWD" type=snippet before
    if [[ $command == *[^[:space:]]* ]]; then
        \builtin zle push-line
    else
        command=$__rekall_command code=$__rekall_code folder=$__rekall_folder
    fi
    if [[ -z $command ]]; then
        \builtin return 0
    fi
    if [[ -n $code && $code != 0 ]]; then
        type=bug
    fi
    folder="in ${folder/#$HOME/~}${code:+, exit status $code}"
    before=" rekall add $type \""
    BUFFER="$before\" -c ${(qq)command} --situation ${(qq)folder}"
    CURSOR=$#before
}

# Note a command with its folder, and what came of it, without a process. What is ours is not kept.
__rekall_preexec() {
    \builtin emulate -L zsh
    \builtin local line="${1:-$3}"
    if [[ ${line#"${line%%[^[:space:]]*}"} != rekall[[:space:]]* ]]; then
        __rekall_command=$line __rekall_folder=$PWD __rekall_code=
    fi
}

__rekall_precmd() {
    __rekall_code=${__rekall_code:-$?}
}

\builtin typeset -g __rekall_command="${__rekall_command-}" __rekall_folder="${__rekall_folder-}"
\builtin typeset -g __rekall_code="${__rekall_code-}"
\builtin typeset -ga preexec_functions precmd_functions
if [[ " ${precmd_functions[*]} " != *' __rekall_precmd '* ]]; then
    preexec_functions+=(__rekall_preexec)
    precmd_functions+=(__rekall_precmd)
fi

# ---- keys ----

# Bind the keys in emacs' and vi's maps, once more if somebody has taken them.
rekall_bind() {
    \builtin emulate -L zsh
    __rekall_bind "${REKALL_KEY-alt-k}" rekall_find emacs
    __rekall_bind "${REKALL_KEY-ctrl-g}" rekall_find viins vicmd
    __rekall_bind "${REKALL_KEEP_KEY-alt-shift-k}" rekall_keep emacs viins vicmd
}

__rekall_bind() {
    \builtin local key= word map
    for word in ${=1}; do
        case $word in
            alt-shift-?) word=${word#alt-shift-} key+="^[${(U)word}" ;;
            alt-?) key+="^[${word#alt-}" ;;
            ctrl-?) key+="^${(U)word#ctrl-}" ;;
            *) key=$1 && \builtin break ;;
        esac
    done
    for map in ${@[3,-1]}; do
        if [[ -n $key ]]; then
            \builtin bindkey -M $map -- $key $2
        fi
    done
}

\builtin zle -N rekall_find
\builtin zle -N rekall_keep
if [[ -z ${REKALL_NO_BIND-} ]]; then
    rekall_bind
    # zsh-vi-mode makes its maps at the first prompt, and then runs these.
    if [[ -n ${functions[zvm_init]-} && " ${zvm_after_init_commands[*]-} " != *' rekall_bind '* ]]; then
        zvm_after_init_commands+=(rekall_bind)
    fi
fi

fi
