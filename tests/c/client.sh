#!/bin/sh
# Builds the client, $1, with what follows as compiler and flags: tests/c/client.sh out/rekall clang -O1 -fsanitize=address
set -eu
ext=$(cd "$(dirname "$0")/../../ext" && pwd)
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$ext/../rekall/__init__.py")
out=$1
shift
scripts=$(mktemp -d)
trap 'rm -rf "$scripts"' EXIT
"${PYTHON:-python3}" "$ext/embed.py" "$scripts/shell_scripts.h" "$scripts/fzf_script.h"
"${PYTHON:-python3}" "$ext/grammar.py" "$scripts/grammar_table.h"
"$@" -std=c11 -Wall -Wextra -Wconversion -Werror "-DREKALL_VERSION=\"$version\"" "-I$scripts" -o "$out" \
    "$ext/client.c" "$ext/init.c" "$ext/complete.c" "$ext/fzf.c" "$ext/hello.c" "$ext/talk.c" "$ext/place.c" "$ext/start.c" "$ext/tty.c"
