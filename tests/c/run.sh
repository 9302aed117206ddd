#!/bin/sh
# The kernel under every compiler and processor at hand, and the client under those that watch memory.
# Fails if one that ought to be here is missing. PYTHON runs the client's tests.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
ext=$here/../../ext
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
strict="-std=c11 -Wall -Wextra -Werror -ffp-contract=off -I$ext $ext/topk.c $here/topk_check.c"

check() { # name, compiler and flags, runner
    printf '%-28s ' "$1"
    # shellcheck disable=SC2086 # words on purpose
    $2 $strict -o "$out/check" -lm
    # shellcheck disable=SC2086
    $3 "$out/check" "${ROUNDS:-300}"
}

check "gcc -O3" "gcc -O3" ""
check "clang -O3" "clang -O3" ""
check "gcc, address and undefined" "gcc -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" ""
check "clang, address and undefined" "clang -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" ""
check "aarch64 under qemu" "aarch64-linux-gnu-gcc -O3 -static" "qemu-aarch64"

client() { # name, compiler and flags
    printf '%-28s ' "$1"
    # shellcheck disable=SC2086 # words on purpose
    sh "$here/client.sh" "$out/rekall" $2
    REKALL_TEST_CLIENT=$out/rekall ${PYTHON:-python3} -m pytest -q -p no:cacheprovider \
        "$here"/../test_client*.py "$here/../test_shell_init.py" >"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
    tail -1 "$out/log"
}

sh "$here/client.sh" "$out/rekall" gcc -O2
client "client: clang, both sanitizers" "clang -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
