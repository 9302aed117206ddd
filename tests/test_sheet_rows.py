"""What is drawn when only changed rows are compared is, to the byte, what comparing every cell draws."""

from __future__ import annotations

import asyncio
import io
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit import renderer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import DummyInput
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import BufferControl, Layout, Window

from rekall import sheet
from rekall.screens import drawing_on, output_for

COLUMNS, ROWS = 12, 6
PARTS = st.tuples(
    st.sampled_from(["", "bold", "fg:ansired", "reverse"]), st.sampled_from(["a", "bc ", " ", "漢字", "e\u0301"])
)
SHEETS = st.lists(st.lists(st.lists(PARTS, max_size=4).map(tuple), max_size=ROWS), min_size=1, max_size=6)


def drawn(sheets: list[list[sheet.Line]], sizes: list[int], diff: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return all that drawing these one after the other writes, the last one as it is left."""
    file, size, lines = io.StringIO(), [Size(rows=ROWS + 4, columns=COLUMNS)], [sheets[0]]
    screen = type(
        "Screen", (), {"input": DummyInput(), "output": output_for(cast(Any, file), lambda: size[0], {"TERM": "x"})}
    )
    monkeypatch.setattr(renderer, "_output_screen_diff", diff)

    async def draw() -> None:
        control = BufferControl()
        view = sheet.Sheet(
            Window(control, height=1), lambda _columns: (("", "> "),), lambda _c, _r: lines[0], lambda: ROWS
        )
        app: sheet.App[None] = sheet.App(Layout(view), KeyBindings())
        app.renderer.render(app, app.layout)
        for number, (one, columns) in enumerate(zip(sheets, sizes * len(sheets), strict=False)):
            lines[0], size[0] = one, Size(rows=ROWS + 4, columns=columns)
            control.buffer.text = "typed"[:number]
            app.renderer.render(app, app.layout)
        app.renderer.render(app, app.layout, is_done=True)

    with drawing_on(cast(Any, screen)):
        asyncio.run(draw())
    return file.getvalue()


@settings(max_examples=15)
@given(SHEETS, st.lists(st.sampled_from([COLUMNS, COLUMNS, 9]), min_size=1, max_size=4))
def test_the_same_bytes_are_written(sheets: list[list[sheet.Line]], sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = drawn(sheets, sizes, sheet._diff, patch)
        assert drawn(sheets, sizes, sheet.diff_of_changed_rows, patch) == whole
    assert ">" in whole


def test_the_picker_is_drawn_that_way() -> None:
    assert renderer._output_screen_diff is sheet.diff_of_changed_rows
