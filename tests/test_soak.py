"""A few seconds of `make soak`, and that it would notice what it looks for."""

from __future__ import annotations

from soak import Ledger, Sample, growth, report, soak
from warm import Warm


def test_many_writers_and_readers_see_all_that_was_acknowledged_and_nothing_that_is_gone(warm: Warm) -> None:
    ledger, samples = soak(warm, 5, writers=4, readers=8)
    assert report(ledger, samples, 5) == []
    assert ledger.counts["writes"] > 10 and ledger.counts["questions"] > 10


def test_a_stale_answer_would_be_noticed() -> None:
    ledger = Ledger()
    ledger.keep("old", "1")
    ledger.keep("new", "2")
    ledger.judge("new", "2", "an answer without it", "search new")
    assert len(ledger.wrong) == 1
    ledger.judge("new", "2", "the new one", "search new")
    tokens = ledger.doubt("2")
    ledger.judge("new", "2", "deleted while it was asked about", "search new")
    ledger.lose(tokens)
    assert len(ledger.wrong) == 1
    ledger.judge("new", None, "the new one still", "search new")
    assert len(ledger.wrong) == 2


def test_growth_would_be_noticed() -> None:
    samples = [Sample(second, 50 + second / 10, 90, 40, 100) for second in range(400)]
    assert growth(samples, "server_mb") > 15 and growth(samples, "descriptors") == 0
    assert report(Ledger(), samples, 400) == ["the server grows"]
