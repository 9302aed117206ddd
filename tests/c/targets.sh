#!/bin/sh
# Compile and link the client and the kernel for systems that are not here: macOS, musl. Nothing of it is run.
#
#     PYTHON=.venv-dist/bin/python sh tests/c/targets.sh        PYTHON has ziglang (packaging/requirements.txt)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for target in x86_64-macos aarch64-macos x86_64-linux-musl aarch64-linux-musl; do
    zig="${PYTHON:-python3} -m ziglang cc -target $target -std=c11 -O2 -Wall -Wextra -Werror"
    # shellcheck disable=SC2086 # words on purpose
    sh "$here/client.sh" "$out/rekall-$target" $zig
    # shellcheck disable=SC2086
    $zig -ffp-contract=off -fPIC -shared -o "$out/topk-$target" "$here/../../ext/topk.c"
    echo "$target: built"
done
