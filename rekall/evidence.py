"""Does an entry answer a failing output? Only evidence counts, so that rekall says nothing rather than something. Pure.

The error lines of the output are compared with the error texts of entries: the same fixed words (exact), or nearly the
same (near). An entry without an error text is judged by its words and its meaning together. Below the thresholds an
entry does not answer. Fingerprints will find faster what is compared; what is compared, and the thresholds, are here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rekall.entry import LONG_TEXT_FIELDS, Entry
from rekall.error_lines import ErrorLine, has_named_error
from rekall.error_marks import Mark, without_prefix
from rekall.likeness import Fixed, fixed, is_told_in, likeness
from rekall.ranking import Hit

# What the cosine weighs beside the words; both are 0 to 1.
COSINE_WEIGHT = 1.5

# The first error lines are what an output is about; so many are searched for, one by one.
MOST_ASKED = 4
# A later line is worth a little less, an echo less than any cause, so that the root cause is answered first.
_LATER = 0.02
_ECHOED = 1.0
# What it counts as if a line holds a whole error text, or a whole title, and more.
_TOLD = 0.75
# Lines of an entry's texts that are looked at for errors.
_MOST_READ = 200


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is evidence enough. Chosen by `python tests/eval/outputs.py FOLDER --choose`: docs/pipes.md.

    `near`: the likeness of two error lines. `supported`: the words' score and the weighted cosine together.
    `words_alone`: the words' score where meaning was not compared.
    """

    near: float = 0.50
    supported: float = 1.55
    words_alone: float = 0.7


CALIBRATED = Thresholds()


@dataclass(frozen=True, slots=True)
class Question:
    """A failing output, reduced: its error lines with their fixed parts, the root cause first."""

    lines: tuple[tuple[ErrorLine, Fixed], ...]

    @property
    def text(self) -> str:
        """The error lines as they were printed."""
        return "\n".join(line.text for line, _fixed in self.lines)

    @property
    def searches(self) -> list[str]:
        """What to search for, a text for each of the first lines. A warning is asked about if nothing is worse."""
        causes = [fixed.text for line, fixed in self.lines if line.mark in (Mark.NAMED, Mark.WORDED)]
        warnings = [fixed.text for line, fixed in self.lines if line.mark == Mark.WARNING]
        return list(dict.fromkeys(causes or warnings))[:MOST_ASKED]

    @property
    def words(self) -> str:
        """The words of all lines together."""
        return " ".join(dict.fromkeys(word for _line, fixed in self.lines for word in fixed.text.split()))


def question(lines: Sequence[ErrorLine]) -> Question:
    """Return what to ask about an output with these error lines; those that say the same are one."""
    once: dict[tuple[tuple[str, ...], frozenset[str]], tuple[ErrorLine, Fixed]] = {}
    for line in lines:
        core = fixed(line.text)
        if core:
            once.setdefault((core.words, core.codes), (line, core))
    return Question(tuple(once.values()))


def error_texts(entry: Entry) -> list[Fixed]:
    """Return the fixed parts of an entry's error texts: its errors, and lines of its other texts that look like one."""
    given = [line for text in entry.errors for line in text.splitlines()]
    told = [line for name in ("title", *LONG_TEXT_FIELDS) for line in getattr(entry, name).splitlines()[:_MOST_READ]]
    lines = given + [line.strip(" `*>") for line in told if has_named_error(line.strip(" `*>"))]
    cores = (fixed(without_prefix(line)) for line in lines if line.strip())
    return list({(core.words, core.codes): core for core in cores if core}.values())


def answers(
    asked: Question, entries: Mapping[str, Entry], found: Mapping[str, Hit], enough: Thresholds = CALIBRATED
) -> list[Hit]:
    """Return the entries that answer, best first: those that hold the error before those that are about it.

    `found` has what a search for the lines gave for some of `entries`: the best hit of each.
    """
    ranked: list[tuple[float, Hit]] = []
    for key, entry in entries.items():
        matched = _by_text(asked, key, error_texts(entry), fixed(entry.title), enough.near)
        if matched is None and not entry.errors and key in found:
            matched = _by_search(found[key], enough)
        if matched:
            ranked.append(matched)
    ranked.sort(key=lambda pair: (-pair[0], pair[1].id))
    return [hit for _order, hit in ranked]


def _by_text(asked: Question, key: str, texts: Sequence[Fixed], title: Fixed, near: float) -> tuple[float, Hit] | None:
    """Return the place of an entry that holds one of the lines, and its hit; None if it holds none."""
    best: tuple[float, Hit] | None = None
    for place, (line, core) in enumerate(asked.lines):
        score = max((likeness(core, text) for text in texts), default=0.0)
        if score < _TOLD and any(is_told_in(text, core) for text in (*texts, title)):
            score = _TOLD
        if score < near:
            continue
        order = 2.0 + score - _LATER * min(place, 8) - _ECHOED * (line.mark == Mark.ECHO)
        if best is None or order > best[0]:
            best = order, Hit(key, round(score, 6), arm="exact" if score == 1.0 else "near")
    return best


def _by_search(hit: Hit, enough: Thresholds) -> tuple[float, Hit] | None:
    """Return the place of an entry that a search found, if words and meaning together are evidence enough."""
    words, cosine = hit.words or 0.0, hit.cosine
    if cosine is None:
        return (words - 1, _supported(hit, words, "words")) if words >= enough.words_alone else None
    score = words + COSINE_WEIGHT * cosine
    if score < enough.supported:
        return None
    strength = score / (1 + COSINE_WEIGHT)
    return strength - 1, _supported(hit, strength, "words" if words > cosine else "meaning")


def _supported(hit: Hit, score: float, arm: str) -> Hit:
    return Hit(hit.id, round(score, 6), hit.words, hit.bm25, hit.meaning, hit.cosine, arm)
