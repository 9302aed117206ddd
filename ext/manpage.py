"""Writes the man page, in English and in French, from what `rekall help` shows (rekall/manual.py).

    python ext/manpage.py FOLDER        makes FOLDER/man1/rekall.1 and FOLDER/fr/man1/rekall.1

Needs the standard library only, as that module does. The same sources give the same bytes: the date is the release's.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rekall import __version__
from rekall.language import speaking
from rekall.manual import Code, Heading, Paragraph, chapters

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = {"": {"LC_ALL": "C"}, "fr": {"LC_ALL": "fr_FR.UTF-8"}}
# What roff would print as another sign than the one to be typed.
SIGNS = str.maketrans({"\\": "\\e", "~": "\\(ti", "^": "\\(ha"})
TYPED = str.maketrans({"-": "\\-", "'": "\\(aq", "`": "\\(ga"})


def escaped(text):
    """Return prose for roff: what stands between backticks in bold, as it is typed."""
    parts = text.translate(SIGNS).split("`")
    parts[1::2] = [f"\\fB{part.translate(TYPED)}\\fR" for part in parts[1::2]]
    parts[::2] = [re.sub(r"(?<!\w)-|-(?!\w)", r"\\-", part) for part in parts[::2]]
    return safe("".join(parts))


def typed(text):
    """Return code for roff."""
    return safe(text.translate(SIGNS).translate(TYPED))


def safe(line):
    """Return a line that is no request of roff's."""
    return "\\&" + line if line.startswith((".", "'")) else line


def term(text):
    return escaped(text if "`" in text else f"`{text}`")


def roff(block):
    """Yield the lines of a block."""
    if isinstance(block, Heading):
        yield f".SS {quoted(block.text)}"
    elif isinstance(block, Paragraph):
        yield from (".PP", escaped(block.text))
    elif isinstance(block, Code):
        yield from (".PP", ".RS 4", ".nf", *map(typed, block.lines), ".fi", ".RE")
    else:
        for name, meaning in block.rows:
            yield from (".TP", term(name), escaped(meaning) or "\\&")


def quoted(text):
    return '"' + escaped(text).replace('"', "\\(dq") + '"'


def page():
    """Return the man page in the current language."""
    release = re.search(rf"^## \[{re.escape(__version__)}\] - (\S+)$", changelog(), re.MULTILINE)
    lines = [f'.TH REKALL 1 "{release[1] if release else ""}" "rekall {__version__}"']
    lines += [".nh", ".ad l"]  # what is to be typed is not broken
    for title, blocks in chapters():
        lines.append(f".SH {quoted(title.upper())}")
        if len(lines) == 4:  # the name: apropos knows what it is by the dash
            lines.append(escaped(blocks[0].text).replace(" – ", " \\- "))
            continue
        for number, block in enumerate(blocks):
            made = list(roff(block))
            first = number == 0 or isinstance(blocks[number - 1], Heading)
            lines += made[1:] if first and made[0] == ".PP" else made
    return "\n".join(lines) + "\n"


def changelog():
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def write(folder):
    """Write the pages and return them as setuptools' data_files wants them: (where to, [which])."""
    made = []
    for language, env in LANGUAGES.items():
        with speaking(env):
            text = page()
        place = Path(folder, language, "man1", "rekall.1")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        made.append((Path("share/man", language, "man1").as_posix(), [place.as_posix()]))
    return made


if __name__ == "__main__":
    write(sys.argv[1])
