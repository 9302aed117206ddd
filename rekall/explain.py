"""Why a hit is where it is, for people and for programs: `--explain`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any  # JSON values

from rekall.context import Use
from rekall.language import _
from rekall.ranking import Hit


def explanation(hit: Hit) -> str:
    """Name each part of a hit's score, and what use has added to it."""
    parts = [_("score {score:.4f}").format(score=hit.score)]
    if hit.arm:
        parts.append(_("matched by: {arm}").format(arm=hit.arm))
    if hit.arm not in ("exact", "near"):
        parts += _evidence(hit)
    if hit.use and any((hit.use.added, hit.use.obsolete)):
        parts.append(_said_by_use(hit.use))
    return " · ".join(parts)


def _evidence(hit: Hit) -> Iterator[str]:
    if hit.titled:
        yield _("title typed in full")
    if hit.words is not None:
        yield _("words {words:.4f} (bm25 {bm25:.2f})").format(words=hit.words, bm25=hit.bm25)
    if hit.cosine is not None:
        meaning = hit.cosine if hit.meaning is None else hit.meaning
        yield _("meaning {meaning:.4f} (cosine {cosine:.4f})").format(meaning=meaning, cosine=hit.cosine)
    if hit.words is None:
        yield _("no word matches")
    if hit.cosine is None:
        yield _("meaning not compared")


def _said_by_use(use: Use) -> str:
    """Return what use has added, and why."""
    reasons = ((_("this project"), use.here), (_("taken before"), use.picked), (_("new"), use.recent))
    named = [f"{name} {part:+.4f}" for name, part in reasons if part]
    named += [_("obsolete")] if use.obsolete else []
    return _("use {added:+.4f} ({reasons})").format(added=use.added, reasons=", ".join(named))


def parts_of(hit: Hit) -> dict[str, Any]:
    """Return why a hit is where it is, for programs: which arm matched, its evidence, and what use has added."""
    arms = [name for name, score in (("words", hit.words), ("meaning", hit.cosine)) if score is not None]
    arm = hit.arm or ("both" if len(arms) == 2 else "".join(arms) or None)
    parts: dict[str, Any] = {
        "arm": arm,
        "evidence": hit.evidence,
        "words": hit.words,
        "bm25": hit.bm25,
        "meaning": hit.meaning,
        "cosine": hit.cosine,
    }
    if hit.titled:
        parts["titled"] = hit.titled
    if hit.use:
        parts["use"] = hit.use._asdict()
    return parts
