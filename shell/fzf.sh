# shellcheck shell=sh disable=SC2016,SC2086  # commands for fzf are not expanded here; some words are several, or none
# fzf as the picker: what `rekall pick --fzf` is, and `rekall pick` where REKALL_PICKER is fzf.
#
# The client becomes /bin/sh -c THIS CLIENT MODULE WORD…: what asks rekall (MODULE is empty, or the words that make
# rekall of a Python), then the words behind `pick`. What this does not know, or cannot do, rekall's own picker answers.
#
# REKALL_PICKER         emptied for what is run from here
# FZF_DEFAULT_OPTS      keeps its say about looks and keys; what the list needs comes behind it
#
# Nothing of an entry ever stands in a command but its id, which holds none but A-Z a-z 0-9 _ -.

set -uf
export REKALL_PICKER='' rekall_client="$0" rekall_module="$1" rekall_general=''
shift

# The words again, without --fzf.
left=$# is_text=''
while [ "$left" -gt 0 ]; do
    word=$1 left=$((left - 1))
    shift
    if [ "$word" = -- ]; then is_text=1; fi
    if [ "$word" != --fzf ] || [ -n "$is_text" ]; then set -- "$@" "$word"; fi
done

use_own() { exec "$rekall_client" $rekall_module pick "$@"; }

what=answer height='' nul='' query='' waits='' is_text=''
for word; do
    if [ -n "$waits" ]; then
        word=--$waits=$word waits=''
    elif [ -n "$is_text" ]; then
        query="$query${query:+ }$word"
        continue
    fi
    case $word in
    --) is_text=1 ;;
    --print | --height | --db) waits=${word#--} ;;
    --print=*) what=${word#*=} ;;
    --height=*) height=${word#*=} ;;
    --db=?*) export REKALL_DB="${word#*=}" ;;
    --full) height=100% ;;
    -0) nul=-0 ;;
    --global) rekall_general=--global ;;
    --no-server) export REKALL_NO_SERVER=1 ;;
    -*) use_own "$@" ;; # it explains
    *) query="$query${query:+ }$word" ;;
    esac
done
case $what in answer | title | content | solution | command | id | json) ;; *) use_own "$@" ;; esac
case ${height%\%} in *[!0-9]*) use_own "$@" ;; esac
if [ -n "$waits" ] || ! (: </dev/tty) 2>/dev/null; then use_own "$@"; fi

explain() {
    case ${LC_ALL:-${LC_MESSAGES:-${LANG-}}} in
    fr | fr[_.@]*) printf 'rekall : %s ; voici son propre sélecteur\n' "$2" >&2 ;;
    *) printf 'rekall: %s; here is its own picker\n' "$1" >&2 ;;
    esac
}

# With options of the user's that it does not know, fzf would not even say its version.
version=$(FZF_DEFAULT_OPTS='' FZF_DEFAULT_OPTS_FILE='' fzf --version 2>/dev/null </dev/null) || version=''
version=${version%%[!0-9.]*}
major=${version%%.*} minor=${version#*.}
minor=${minor%%.*}
if ! command -v fzf >/dev/null; then
    explain 'fzf is not there' "fzf n'est pas là"
    use_own "$@"
elif [ "${major:-0}" -eq 0 ] && [ "${minor:-0}" -lt 38 ]; then
    explain "fzf is too old (${version:-no version}, 0.38 is needed)" \
        "fzf est trop ancien (${version:-sans version}, il faut 0.38)"
    use_own "$@"
fi
if [ "$major" -gt 0 ]; then minor=999; fi

ask() { "$rekall_client" $rekall_module "$@"; }

# Nothing to choose from, or an error: the own picker says so. From here on a server is warm.
ask list -n 1 $rekall_general >/dev/null 2>&1 || use_own "$@"

# What fzf runs, it runs by $SHELL, and quotes {q} and {1} for a shell like this one.
export SHELL=/bin/sh FORCE_COLOR=1
list='"$rekall_client" $rekall_module pick --list $rekall_general -- {q} 2>/dev/null || :'
show='"$rekall_client" $rekall_module show $rekall_general -- {1} 2>&1'

# A first say, so that the user's own options are heard behind it; those of a file are heard before, so it is left out.
if [ -z "${FZF_DEFAULT_OPTS_FILE-}" ]; then
    looks='--height=40% --min-height=6 --layout=reverse --info=inline --preview-window=right:50%:wrap'
    keys='--bind=alt-p:toggle-preview,shift-up:preview-up,shift-down:preview-down'
    export FZF_DEFAULT_OPTS="$looks $keys ${FZF_DEFAULT_OPTS-}"
fi

tab=$(printf '\t')
set -- --disabled --read0 --ansi --multi --delimiter "$tab" --with-nth 2.. --query "$query" \
    --no-expect --no-print-query --no-print0 --no-select-1 --no-exit-0 --no-tac --no-sync --header-lines 0 \
    --bind start:ignore,load:refresh-preview --bind "change:first+reload-sync:$list" --preview "$show" \
    --bind enter:accept,esc:abort,ctrl-c:abort,ctrl-g:abort,tab:toggle+down,btab:toggle+up
if [ -n "$height" ]; then set -- "$@" --height "$height"; fi
if [ -n "${NO_COLOR-}" ]; then set -- "$@" --no-color; fi
if [ "$minor" -ge 51 ]; then set -- "$@" --with-shell '/bin/sh -c'; fi
if [ "$minor" -ge 60 ]; then set -- "$@" --accept-nth 1; fi
if [ "$minor" -ge 71 ]; then set -- "$@" --id-nth 1; fi # what is marked stays so while it is listed

chosen=$(ask pick --list $rekall_general -- "$query" 2>/dev/null | fzf "$@" 2>/dev/tty)  # where it draws; the keys of the shells read what is said on stderr
status=$?
if [ "$status" -ne 0 ]; then exit "$status"; fi

set --
IFS='
'
for line in $chosen; do
    id=${line%%"$tab"*}
    case $id in '' | *[!A-Za-z0-9_-]*) ;; *) set -- "$@" "$id" ;; esac
done
unset IFS
if [ $# -eq 0 ]; then exit 1; fi
unset FORCE_COLOR
exec "$rekall_client" $rekall_module pick --take --print "$what" $nul $rekall_general -- "$@"
