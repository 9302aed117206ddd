#!/bin/sh
# Install a wheel as its users do, each time into a home of its own without a compiler; use it, remove it, and see what is left.
#
#     packaging/try.sh WHEEL [pip|pipx|uv …]          all three by default; PYTHON=python3
#
# Fails where it takes longer than 60 s or more than 260 MB, where the wheel itself has more than 25 MB, where something would have to be
# compiled, or where removing it takes anything of the user's or leaves anything else. pipx and uv come from the package index.
set -eu
wheel=$(realpath "$1")
shift
[ $# -gt 0 ] || set -- pip pipx uv
PYTHON=$("${PYTHON:-python3}" -c "import sys; print(sys.executable)")
MOST_SECONDS=${MOST_SECONDS:-60} MOST_MB=260 MOST_WHEEL_MB=25
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { printf '%s\n' "$*" >&2; exit 1; }
megabytes() { du -sm "$1" | cut -f 1; }
# Nothing that compiles is found, and nothing of this user's but what names the package index.
bare() {
    env CC=/bin/false CXX=/bin/false HOME="$home" XDG_DATA_HOME= XDG_CONFIG_HOME= XDG_CACHE_HOME= XDG_STATE_HOME= XDG_RUNTIME_DIR="$home/run" \
        REKALL_DB= PIPX_HOME= UV_TOOL_DIR= PATH="$home/.local/bin:$work/tools/bin:$PATH" "$@"
}
install_with() {
    case $1 in
        pip) bare "$home/venv/bin/pip" install --quiet --only-binary :all: "$wheel" ;;
        pipx) bare pipx install --quiet --pip-args='--only-binary :all:' "$wheel" ;;
        uv) bare uv tool install --quiet --python "$PYTHON" --no-build "$wheel" ;;
    esac
}
remove_with() {
    case $1 in
        pip) bare "$home/venv/bin/pip" uninstall --quiet --yes rekall-notes ;;
        pipx) bare pipx uninstall --quiet rekall-notes ;;
        uv) bare uv tool uninstall --quiet rekall-notes ;;
    esac
}
# Where the program lies. What an environment has before it (pip itself) is not counted.
folder_of() {
    case $1 in
        pip) echo "$home/venv" ;;
        *) echo "$home/.local/share" ;;
    esac
}

size=$(($(wc -c < "$wheel") >> 20))
[ "$size" -le $MOST_WHEEL_MB ] || fail "the wheel has $size MB, more than $MOST_WHEEL_MB"
"$PYTHON" -m venv "$work/tools"
for tool in "$@"; do [ "$tool" = pip ] || "$work/tools/bin/pip" install --quiet "$tool"; done
for tool in "$@"; do
    home=$work/$tool
    mkdir -p "$home/.local/bin" "$home/run"
    chmod 700 "$home" "$home/run"
    [ "$tool" != pip ] || bare "$PYTHON" -m venv "$home/venv"
    mkdir -p "$(folder_of "$tool")"
    empty=$(megabytes "$(folder_of "$tool")") begin=$(date +%s)
    install_with "$tool"
    seconds=$(($(date +%s) - begin)) taken=$(($(megabytes "$(folder_of "$tool")") - empty))
    rekall=$home/.local/bin/rekall
    [ "$tool" != pip ] || rekall=$home/venv/bin/rekall
    head -c 4 "$rekall" | grep -q ELF || fail "$tool: rekall is no compiled program"
    bare "$rekall" add til "Undo the last commit" -c "git reset --soft HEAD~1" > /dev/null
    bare "$rekall" search "take back what I committed" | grep -q "Undo the last commit" || fail "$tool: nothing was found by meaning"
    bare "$rekall" server stop > /dev/null 2>&1
    before=$(cd "$home" && find .local/share/rekall -type f | sort)
    remove_with "$tool"
    [ ! -e "$rekall" ] || fail "$tool: $rekall is still there"
    [ "$before" = "$(cd "$home" && find .local/share/rekall -type f | sort)" ] || fail "$tool: removing it touched the user's data"
    left=$(find "$home" -iname '*rekall*' ! -path "$home/.local/share/rekall*" ! -path "$home/.cache/*" ! -path "$home/run/*" ! -name '*.log' ! -name '*.lock')
    [ -z "$left" ] || fail "$tool: it leaves $left"
    printf '%-5s %3d s  %3d MB installed; removed, and %s is left\n' "$tool" $seconds "$taken" "$(echo "$before" | tr '\n' ' ')"
    [ $seconds -le $MOST_SECONDS ] || fail "$tool: $seconds s are more than $MOST_SECONDS"
    [ "$taken" -le $MOST_MB ] || fail "$tool: $taken MB are more than $MOST_MB"
done
