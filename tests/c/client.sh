#!/bin/sh
# Builds the client, $1, with what follows as compiler and flags: tests/c/client.sh out/rekall clang -O1 -fsanitize=address
set -eu
ext=$(cd "$(dirname "$0")/../../ext" && pwd)
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$ext/../rekall/__init__.py")
out=$1
shift
"$@" -std=c11 -Wall -Wextra -Wconversion -Werror "-DREKALL_VERSION=\"$version\"" -o "$out" \
    "$ext/client.c" "$ext/hello.c" "$ext/talk.c" "$ext/place.c" "$ext/start.c" "$ext/tty.c"
