"""Does an entry answer a failing output? Only evidence counts, so that rekall says nothing rather than something. Pure.

The error lines of the output are compared with the errors that entries know: one fingerprint (exact), or nearly the
same (near). An entry without an error text is judged by its words and its meaning together, and by how far it stands
out from the others. Below the thresholds an entry does not answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rekall.context import Use, behind
from rekall.entry import Entry
from rekall.error_lines import ErrorLine, error_lines
from rekall.error_marks import COMMON, Mark, without_prefix
from rekall.fingerprint import ErrorText, Fingerprint, fingerprint, names, of_entry
from rekall.likeness import TELLING, is_told_in, likeness, tells
from rekall.ranking import Hit

# The first error lines are what an output is about; so many are searched for, one by one.
MOST_ASKED = 4
# A later line is worth a little less, a warning beside errors less than what is near to a cause, an echo less than any
# cause: so the root cause is answered first.
_LATER = 0.02
_BESIDE = 0.5
_ECHOED = 1.0
# Of equals those come first that name the same things, and those whose error was given, not told in prose.
_NAMED_ALIKE, _GIVEN = 0.009, 0.001
# What it counts as if a line holds a whole error text, or a whole title, and more.
_TOLD = 0.75
# A fingerprint that weighs less than a word and a half (`KeyError`) is one error only if it is about the same things.
_WEAK = 1.5
# Lines without a mark that are compared with the texts that have none: an output's first ones, and its last ones.
_FIRST_LINES, _LAST_LINES = 40, 160
# Use decides between equals only: it adds less than the least of these steps. Obsolete entries come behind those with
# as good an error, and behind what replaced them.
USED, OBSOLETE = 0.0008, 0.25
_LAST_STEP = 1e-6  # what is behind is so by this at least
# How far an entry stands out is told by the score of the fifth; where there are fewer, by what a fifth has at least.
_OTHERS, _LEAST_OTHER = 4, 0.5
# Warnings are printed where nothing failed, too: more must speak for an entry about one.
_WARNED = 0.3


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is evidence enough. Chosen by `python tests/eval/outputs.py FOLDER --choose`: docs/pipes.md.

    `near`: the likeness of two error lines. `supported`: what words, meaning and standing out come to.
    `words_alone`: the same where meaning was not compared.
    """

    near: float = 0.50
    supported: float = 1.75
    words_alone: float = 1.10


CALIBRATED = Thresholds()


@dataclass(frozen=True, slots=True)
class Question:
    """A failing output, reduced: its error lines with their fingerprints, the root cause first.

    `others` are lines without a mark, among which a text without one may be found.
    """

    lines: tuple[tuple[ErrorLine, Fingerprint], ...]
    others: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The error lines as they were printed; without any, nothing."""
        return "\n".join(line.text for line, _print in self.lines)

    @property
    def prints(self) -> list[Fingerprint]:
        """The fingerprints of the error lines."""
        return [print_ for _line, print_ in self.lines]

    @property
    def asked(self) -> list[tuple[ErrorLine, Fingerprint]]:
        """The first lines, to be searched for. A warning is asked about if nothing is worse, an echo never."""
        causes = [pair for pair in self.lines if pair[0].mark in (Mark.NAMED, Mark.WORDED)]
        return (causes or [pair for pair in self.lines if pair[0].mark == Mark.WARNING])[:MOST_ASKED]


def question(lines: Sequence[str]) -> Question:
    """Return what to ask about an output of these lines; error lines that say the same are one."""
    once: dict[Fingerprint, tuple[ErrorLine, Fingerprint]] = {}
    for line in error_lines(lines):
        print_ = fingerprint(line.text)
        if print_.codes or any(word not in COMMON for word in print_.words):
            once.setdefault(print_, (line, print_))
    seen = [*lines[:_FIRST_LINES], *lines[_FIRST_LINES:][-_LAST_LINES:]]
    return Question(tuple(once.values()), tuple(seen))


@dataclass
class Ranked:
    """Entries that answer, each with its place: by the error itself before those that are about it."""

    found: dict[str, tuple[float, Hit]] = field(default_factory=dict)

    def add(self, order: float, hit: Hit) -> None:
        """Keep a hit, or the better one of an entry's two."""
        if hit.id not in self.found or order > self.found[hit.id][0]:
            self.found[hit.id] = order, hit

    @property
    def is_certain(self) -> bool:
        """Whether an entry holds one of the causes, or as good as that."""
        return any(order >= 2 + _TOLD for order, _hit in self.found.values())

    def weigh_use(self, uses: Mapping[str, Use], successors: Mapping[str, str]) -> None:
        """Let use have its say about what answers: it changes the order, and no score.

        `uses` by id, made with USED and OBSOLETE; `successors`: what was replaced, and by what.
        """
        orders = {key: order + uses[key].added if key in uses else order for key, (order, _hit) in self.found.items()}
        for key, order in behind(orders, successors, OBSOLETE).items():
            use = uses.get(key)
            hit = replace(self.found[key][1], use=use and Use(*(round(part, 6) for part in use)))
            self.found[key] = order - _LAST_STEP * (key in successors), hit

    def hits(self) -> list[Hit]:
        """Return the hits, best first, ties by id."""
        return [hit for _order, hit in sorted(self.found.values(), key=lambda pair: (-pair[0], pair[1].id))]


# --- by the error itself ---


def by_error(asked: Question, known: Mapping[str, Iterable[ErrorText]], near: float, ranked: Ranked) -> None:
    """Add the entries one of whose errors is one of the lines, or nearly one of the first."""
    places = {print_: place for place, print_ in enumerate(asked.prints)}
    compared = {print_ for _line, print_ in asked.asked}
    worth = {place: _worth(asked, place) for place in places.values()}
    for key, errors in known.items():
        for error in dict.fromkeys(errors):
            scores = {print_: _alike(print_, error.fingerprint) for print_ in compared}
            if error.fingerprint in places:
                scores[error.fingerprint] = 1.0
            for print_, score in scores.items():
                if score >= near:
                    order = 2.0 + score + worth[places[print_]]
                    arm = "exact" if score == 1.0 else "near"
                    ranked.add(order + _GIVEN * (error.part >= 0), Hit(key, round(score, 6), arm=arm))


def _worth(asked: Question, place: int) -> float:
    """Return what a line counts beside the first cause: less, the later it comes and the less it says."""
    mark, best = asked.lines[place][0].mark, asked.lines[0][0].mark
    less = _ECHOED if mark == Mark.ECHO else _BESIDE if mark == Mark.WARNING and best < Mark.WARNING else 0.0
    return -less - _LATER * min(place, 8)


def _alike(line: Fingerprint, known: Fingerprint) -> float:
    score = likeness(line, known)
    return _TOLD if score < _TOLD and is_told_in(known, line) else score


def by_whole_text(asked: Question, plain: Mapping[str, Iterable[ErrorText]], ranked: Ranked) -> None:
    """Add the entries that hold an error text without a mark, all of whose lines were printed."""
    if not plain:
        return
    printed = {fingerprint(without_prefix(line)) for line in asked.others}
    for key, errors in plain.items():
        texts: dict[int, list[Fingerprint]] = {}
        for error in errors:
            texts.setdefault(error.part, []).append(error.fingerprint)
        for lines in texts.values():
            if sum(map(tells, lines)) >= TELLING and printed.issuperset(lines):
                ranked.add(3.0, Hit(key, 1.0, arm="exact"))


def weigh_names(asked: Question, entries: Mapping[str, Entry], ranked: Ranked) -> None:
    """Put entries that name the same things before others with the same error; drop those that share too little.

    `KeyError: 'port'` is known to who wrote of `KeyError: 'port'`; of another key it says nothing.
    """
    about = frozenset().union(*(names(line.text) for line, _print in asked.lines))
    weak = {print_ for print_ in asked.prints if tells(print_) < _WEAK}
    for key, (order, hit) in list(ranked.found.items()):
        entry = entries.get(key)
        if not about or entry is None or hit.arm != "exact":
            continue
        shared = len(about & _said(entry)) / len(about)
        ranked.found[key] = order + _NAMED_ALIKE * shared, hit
        if not shared and all(error.fingerprint in weak for error in of_entry(entry)):
            del ranked.found[key]


def _said(entry: Entry) -> set[str]:
    text = "\n".join((entry.title, *entry.errors, entry.body()[:4000]))
    return {word.lower() for word in re.findall(r"[^\W_][\w.+-]{1,60}", text)}


# --- by what an entry is about ---


@dataclass(frozen=True, slots=True)
class Support:
    """What words and meaning say of entries that may be about one line.

    `words` is the share of what the fingerprint's words could have scored, `cosines` are those of the line as one would
    ask about it (None: no model), each by entry, 0 to 1.
    """

    line: ErrorLine
    print_: Fingerprint
    words: Mapping[str, float]
    cosines: Mapping[str, float] | None


def by_support(supports: Sequence[Support], entries: Mapping[str, Entry], enough: Thresholds, ranked: Ranked) -> None:
    """Add the entries without an error text that are about one of the lines, and stand out from the others.

    An entry whose title was printed, all of it, needs no more evidence: its title is its error text.
    """
    for support in supports:
        for key, entry in entries.items():
            if _is_printed(entry.title, support.print_):
                ranked.add(2.0 + _TOLD, Hit(key, _TOLD, arm="near"))
        scored = [_scored(support, key) for key, entry in entries.items() if not entry.errors]
        others = sorted((hit.score for hit in scored), reverse=True)[_OTHERS : _OTHERS + 1]
        least = enough.words_alone if support.cosines is None else enough.supported
        for hit in scored:
            total = 2 * hit.score - max([_LEAST_OTHER, *others]) - _WARNED * (support.line.mark == Mark.WARNING)
            if total >= least:
                ranked.add(total / 10, replace(hit, score=round(total, 6)))


def _is_printed(title: str, print_: Fingerprint) -> bool:
    first = title.partition(" ")[0].lower()
    return first in print_.words and is_told_in(fingerprint(title), print_)


def _scored(support: Support, key: str) -> Hit:
    words = support.words.get(key, 0.0)
    cosine = None if support.cosines is None else support.cosines.get(key, 0.0)
    arm = "words" if cosine is None or words > cosine else "meaning"
    return Hit(key, words + (cosine or 0.0), round(words, 6), cosine=cosine, arm=arm)
