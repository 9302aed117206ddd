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
    "$out/$1" -runs="$inputs" -max_len="$2" -seed=1 -timeout=20 -rss_limit_mb=1024 -close_fd_mask=3 \
        -artifact_prefix="$found/$1-" "$out/new" "$3" >"$out/log" 2>&1 || { tail -60 "$out/log"; exit 1; }
    printf '%-28s %s\n' "$1" "$(grep -E '^Done|stat::number_of_executed' "$out/log" | tail -1)"
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$ext/../rekall/__init__.py")
$sanitized -Dmain=client_main "-DREKALL_VERSION=\"$version\"" -Wl,--wrap=read -o "$out/client" "$here/fuzz_client.c" \
    "$ext/client.c" "$ext/hello.c" "$ext/talk.c" "$ext/place.c" "$ext/start.c"
$sanitized -ffp-contract=off -I"$ext" -o "$out/kernel" "$here/fuzz_topk.c" "$ext/topk.c" -lm
mkdir "$out/new" "$out/seeds"
printf '\001O\0\0\0\3abcR\0\0\0\2deX\0\0\0\1\1' >"$out/seeds/answer"
printf '\011T\0\0\0\2hiC\0\0\0\017\0\0\0\1xrekall-py\0X\0\0\0\1\0' >"$out/seeds/app"
printf '\000A\0\0\0\033\00101ARZ3NDEKTSV4RRFFQ69G5FAVX\0\0\0\1\0' >"$out/seeds/whole"
printf '\000V\0\0\0\0030.4' >"$out/seeds/version"
printf '\045O\0\020\0\0O\377\377\377\377' >"$out/seeds/long"
fuzz client 4096 "$out/seeds"
rm -rf "$out/new" && mkdir "$out/new"
fuzz kernel 6000 "$out/new"
