"""Writes the scripts of shell/ as a C header, for `rekall init` in the client (init.c).

    python ext/embed.py OUT.h FZF.h

Arrays of numbers, not string literals: those may be limited to 4,095 characters, and need quoting. A script
`rekall.bash` becomes `rekall_bash`, without a NUL at its end; fzf.sh, for fzf.c, is the same with one.
"""

import sys
from pathlib import Path

# Below rekall/, not above it: a source distribution holds them once, as the package has them.
FOLDER = Path(__file__).resolve().parent.parent / "rekall" / "shell"
SCRIPTS = [f"{part}.{shell}" for shell in ("bash", "zsh", "fish") for part in ("rekall", "completion")]


def write(header, names=SCRIPTS, end=b""):
    """Write the header, unless it is there and the same: what is compiled with it then stays as it is."""
    lines = ["/* Made by ext/embed.py from shell/. */"]
    for name in names:
        data = FOLDER.joinpath(name).read_bytes() + end
        numbers = [",".join(map(str, data[at : at + 32])) for at in range(0, len(data), 32)]
        lines.append(f"static const unsigned char {name.replace('.', '_')}[] = {{\n" + ",\n".join(numbers) + "};")
    text = "\n".join(lines) + "\n"
    header = Path(header)
    header.parent.mkdir(parents=True, exist_ok=True)
    if not header.exists() or header.read_text() != text:
        header.write_text(text)


def write_fzf(header):
    """Write the header of the script that runs fzf."""
    write(header, ["fzf.sh"], b"\0")


if __name__ == "__main__":
    write(sys.argv[1])
    write_fzf(sys.argv[2])
