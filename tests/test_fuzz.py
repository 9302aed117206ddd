"""Whatever comes in, nothing breaks: a few inputs of what `make fuzz` tries a million of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent / "fuzz"))
from mutate import mutated
from targets import TARGETS, old_base


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_ever_tried_breaks_nothing(name: str) -> None:
    target = TARGETS[name]
    for data in (b"", b"\0", *target.seeds(), *target.crashed):
        target.run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_almost_right_breaks_nothing(name: str) -> None:
    target = TARGETS[name]
    seeds = [*target.seeds(), *target.crashed]
    for number in range(20 * target.share // 10 + 40):
        target.run(mutated(seeds, number))


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "bases"])
@given(data=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@settings(max_examples=60)
def test_what_is_all_wrong_breaks_nothing(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


@given(st.data())
@settings(max_examples=15)
@example(None)
def test_a_base_that_is_cut_short_or_overwritten_is_refused_or_answers(data: st.DataObject | None) -> None:
    whole = TARGETS["bases"].seeds()[-3]
    if data is None:
        old_base(whole[:4096])
        return
    at, length = data.draw(st.integers(0, len(whole))), data.draw(st.sampled_from([0, 1, 100, 4096, 20_000]))
    old_base(whole[:at] + data.draw(st.sampled_from([b"\0", b"\xff"])) * length + whole[at + length :] * bool(length))
