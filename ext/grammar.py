"""Writes what rekall/completion.py knows of the command line as a C header, for `rekall complete` in the client.

    python ext/grammar.py OUT.h

Needs the standard library only, as that module does. Every meaning is there in English and in French.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rekall.completion import CHOICE, FILE, NOTHING, grammar_of
from rekall.language import speaking
from rekall.usage import COMMANDS

KINDS = {NOTHING: "NOTHING", FILE: "FILES", CHOICE: "CHOICES"}  # all others are STORED
ENGLISH, FRENCH = {"LC_ALL": "C"}, {"LC_ALL": "fr_FR.UTF-8"}


def grammar(name):
    """Return what a command takes, in both languages."""
    with speaking(ENGLISH):
        one = grammar_of(name)
    with speaking(FRENCH):
        return one, grammar_of(name)


def quoted(text):
    """Return a C string literal; octal escapes end by themselves."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in text.encode()) + '"'


def said(one, other):
    return f"{{{quoted(one)}, {quoted(other)}}}"


def c_bool(value):
    return "true" if value else "false"


class Table:
    def __init__(self):
        self.lines = []
        self._choices = {}

    def place(self, one, other):
        if one is None:
            return "{NOTHING, NULL}"
        if one.kind != CHOICE:
            return f"{{{KINDS.get(one.kind, 'STORED')}, NULL}}"
        key = (one.choices, other.choices)
        if key not in self._choices:
            name = self._choices[key] = f"choices_{len(self._choices)}"
            rows = [f"    {{{quoted(a[0])}, {said(a[1], b[1])}}}," for a, b in zip(*key, strict=True)]
            self.lines += [f"static const struct choice {name}[] = {{", *rows, "    {NULL, {NULL, NULL}},", "};"]
        return f"{{CHOICES, {self._choices[key]}}}"

    def option(self, one, other):
        flags = f"{c_bool(one.is_shown)}, {c_bool(one.place is not None)}"
        meaning, value = said(one.meaning, other.meaning), self.place(one.place, other.place)
        return f"    {{{quoted(one.name)}, {meaning}, {flags}, {value}}},"

    def command(self, number, name):
        one, other = grammar(name)
        options = [self.option(a, b) for a, b in zip(one.options, other.options, strict=True)]
        places = [f"    {self.place(a, b)}," for a, b in zip(one.places, other.places, strict=True)]
        self.lines += [f"static const struct option options_{number}[] = {{", *options]
        self.lines += ["    {NULL, {NULL, NULL}, false, false, {NOTHING, NULL}},", "};"]
        self.lines += [f"static const struct slot slots_{number}[] = {{", *places, "    {NOTHING, NULL},", "};"]
        flags = f"{c_bool(one.repeats)}, {c_bool(one.has_signs)}"
        return f"    {{{quoted(name)}, options_{number}, slots_{number}, {len(places)}, {flags}}},"


def write(header):
    """Write the header, unless it is there and the same."""
    table = Table()
    names = ["", *(command.name for command in COMMANDS if not command.is_hidden)]
    rows = [table.command(number, name) for number, name in enumerate(names)]
    lines = [
        "/* Made by ext/grammar.py from rekall/usage.py. The first command is what stands before any. */",
        *table.lines,
    ]
    lines += ["static const struct grammar grammars[] = {", *rows, "};"]
    text = "\n".join(lines) + "\n"
    header = Path(header)
    header.parent.mkdir(parents=True, exist_ok=True)
    if not header.exists() or header.read_text() != text:
        header.write_text(text)


if __name__ == "__main__":
    write(sys.argv[1])
