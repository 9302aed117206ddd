"""What is begun ahead gives what doing it would give, and nobody waits for a thread that is busy."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from threading import Event, current_thread

import pytest

from rekall.ahead import Ahead


def test_it_is_done_in_another_thread_with_the_callers_context() -> None:
    language: ContextVar[str] = ContextVar("language")
    language.set("fr")
    ahead = Ahead()
    assert ahead.begin(lambda: (language.get(), current_thread() is threading.main_thread()))() == ("fr", False)
    ahead.close()


def test_where_it_is_busy_the_caller_does_it_and_when_it_is_free_it_takes_more() -> None:
    ahead, goes_on = Ahead(), Event()
    slow = ahead.begin(goes_on.wait)
    assert ahead.begin(current_thread)() is current_thread()
    goes_on.set()
    assert slow() is True
    while ahead.begin(current_thread)() is current_thread():  # it is free as soon as its result was told
        pass
    ahead.close()


def test_what_is_raised_is_raised_where_the_result_is_wanted() -> None:
    ahead = Ahead()
    begun = ahead.begin(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        begun()
    ahead.close()
    assert ahead.begin(current_thread)() is current_thread()  # closed: the caller does it
