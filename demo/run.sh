#!/bin/sh
# Try rekall on the sample notes. $1: a folder for the base, which is made anew; nothing of the user's is touched.
set -eu
folder=$1
here=$(dirname "$0")
rekall=$folder/venv/bin/rekall
REKALL_DB=$folder/rekall.db REKALL_CONFIG=$folder/config.toml
export REKALL_DB REKALL_CONFIG
rm -f "$REKALL_DB" "$REKALL_DB-wal" "$REKALL_DB-shm"

say() { printf '\n$ rekall %s\n' "$*"; }

say import demo/notes
"$rekall" import "$here/notes"
tab=$(printf '\t')
while IFS=$tab read -r query note; do
    say search "$query"
    "$rekall" search -n 3 -- "$query"
    printf '(found by meaning: the query shares no word with demo/notes/%s)\n' "$note"
done < "$here/queries.txt"
printf '\nYour turn: export REKALL_DB=%s; %s search …\n' "$REKALL_DB" "$rekall"
