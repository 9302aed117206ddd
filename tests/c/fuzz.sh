#!/bin/sh
# Fuzzes the client's side of the protocol and the kernel under AddressSanitizer and UBSan: tests/c/fuzz.sh [inputs of each].
# What is found is left in build/fuzz. Needs clang with libFuzzer.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
ext=$here/../../ext
inputs=${1:-1000000}
found=$(pwd)/build/fuzz
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mkdir -p "$found"
sanitized="clang -O1 -g -std=c11 -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all"

fuzz() { # name, longest input, folder of seeds
    mkdir -p "$out/$1-new"
    "$out/$1" -runs="$inputs" -max_len="$2" -seed=1 -timeout=20 -rss_limit_mb=1024 -close_fd_mask=3 \
        -artifact_prefix="$found/$1-" "$out/$1-new" "$3" >"$out/log" 2>&1 || { tail -60 "$out/log"; exit 1; }
    printf '%-28s %s\n' "$1" "$(grep '^Done' "$out/log" | tail -1)"
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$ext/../rekall/__init__.py")
client="-Dmain=client_main -DREKALL_VERSION=\"$version\" -Wl,--wrap=read"
"${PYTHON:-python3}" "$ext/embed.py" "$out/shell_scripts.h" "$out/fzf_script.h"
"${PYTHON:-python3}" "$ext/grammar.py" "$out/grammar_table.h"
client="$client -I$out"
sources="$here/fuzz_client.c $ext/client.c $ext/init.c $ext/complete.c $ext/fzf.c $ext/hello.c $ext/talk.c $ext/place.c $ext/start.c"
# shellcheck disable=SC2086 # words on purpose
$sanitized $client -o "$out/client" $sources
# shellcheck disable=SC2086
$sanitized -ffp-contract=off -I"$ext" -o "$out/kernel" "$here/fuzz_topk.c" "$ext/topk.c" -lm
mkdir "$out/client-seeds" "$out/kernel-seeds"
printf '\001O\0\0\0\3abcR\0\0\0\2deX\0\0\0\1\1' >"$out/client-seeds/answer"
printf '\011T\0\0\0\2hiC\0\0\0\017\0\0\0\1xrekall-py\0X\0\0\0\1\0' >"$out/client-seeds/app"
printf '\000A\0\0\0\033\00101ARZ3NDEKTSV4RRFFQ69G5FAVX\0\0\0\1\0' >"$out/client-seeds/whole"
printf '\000V\0\0\0\0030.4' >"$out/client-seeds/version"
printf '\045O\0\020\0\0O\377\377\377\377' >"$out/client-seeds/long"
printf '\007\003\001\0some bytes that are rows of a matrix, and a query at their end' >"$out/kernel-seeds/rows"

fuzz client 4096 "$out/client-seeds"
fuzz kernel 6000 "$out/kernel-seeds"

command -v valgrind >/dev/null || { echo "valgrind is missing: left out"; exit 0; }
under_valgrind() { # name, compiler's words
    name=$1
    shift
    # shellcheck disable=SC2086
    gcc -O1 -g -std=c11 -o "$out/$name-plain" "$@"
    find "$out/$name-seeds" "$out/$name-new" -type f | sort | head -400 >"$out/files"
    # shellcheck disable=SC2046
    valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite "$out/$name-plain" \
        $(cat "$out/files") >/dev/null 2>"$out/log" || { tail -60 "$out/log"; exit 1; }
    printf '%-28s %s inputs, no error\n' "$name under valgrind" "$(wc -l <"$out/files")"
}
# shellcheck disable=SC2086
under_valgrind client $client "$here/fuzz_files.c" $sources
under_valgrind kernel -ffp-contract=off -I"$ext" "$here/fuzz_files.c" "$here/fuzz_topk.c" "$ext/topk.c" -lm
