"""A command line up to the cursor, cut into words as the shell that it is typed in would. Pure.

Nothing is expanded: `$x`, `~` and `$(…)` stay as they are written. The client does the same (ext/complete.c).
"""

from __future__ import annotations

# What a backslash takes its meaning from between double quotes; before anything else it stands for itself there.
_ESCAPED_IN_DOUBLE = '$`"\\\n'


def split(line: str, shell: str) -> tuple[list[str], str]:
    """Return the words of `line`, quotes taken away, and the quote that is open at its end, or nothing.

    The last word is the one at the cursor: empty behind a blank. In fish, a backslash counts between single
    quotes, too, before `'` and itself. Cost: one pass.
    """
    words: list[str] = []
    word: str | None = None  # None: between words
    quote = ""
    letters = iter(line)
    for letter in letters:
        if not quote and letter in " \t\n":
            if word is not None:
                words.append(word)
            word = None
            continue
        word = word or ""
        if letter == "\\" and (quote != "'" or shell == "fish"):
            following = next(letters, "")
            escaped = {"": following, '"': _ESCAPED_IN_DOUBLE, "'": "'\\"}[quote]
            word += following if following in escaped else letter + following
        elif letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        else:
            word += letter
    return [*words, word or ""], quote
