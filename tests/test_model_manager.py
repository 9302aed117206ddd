"""Who holds the model: loaded when needed, gone when idle, and back again."""

from __future__ import annotations

import os
import signal
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest
from running import is_running

from rekall.config import DEFAULT_MODEL
from rekall.engine import Engine, MiniLM, load_engine
from rekall.errors import ModelUnavailable
from rekall.model_manager import ModelManager


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def wait_for(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def test_nothing_is_loaded_before_it_is_needed() -> None:
    with ModelManager() as models:
        assert (models.model, models.is_loaded, models.is_loading, models.state) == (None, False, False, "not loaded")
        first = models.get_model()
        assert (models.model, models.is_loaded, models.is_loading, models.state) == (first, True, False, "loaded")
        assert models.get_model() is first
        assert first.encode(["words"]).shape == (1, 384)
    assert not models.is_loaded


def test_is_loading_while_it_loads() -> None:
    may_go_on, began = Event(), Event()

    def slowly(name: str) -> Engine:
        began.set()
        assert may_go_on.wait(10)
        return load_engine(name)

    models = ModelManager(load=slowly)
    thread = Thread(target=models.get_model)
    thread.start()
    assert began.wait(10)
    assert (models.is_loading, models.is_loaded) == (True, False)
    may_go_on.set()
    thread.join(10)
    assert (models.is_loading, models.is_loaded) == (False, True)
    models.unload()


def test_threads_that_ask_together_share_one_load() -> None:
    loads: list[str] = []

    def counted(name: str) -> Engine:
        loads.append(name)
        return load_engine(name)

    with ModelManager(load=counted) as models:
        engines: list[Engine] = []
        threads = [Thread(target=lambda: engines.append(models.get_model())) for _number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(engines) == 6 and len(set(map(id, engines))) == 1
    assert loads == [DEFAULT_MODEL]


def test_a_model_stays_until_it_was_idle_for_its_minutes_and_then_goes() -> None:
    clock = Clock()
    models = ModelManager(idle_minutes=2, clock=clock)
    assert not models.check_idle()  # nothing there to unload
    models.get_model()
    clock.seconds += 119
    assert (models.check_idle(), models.is_loaded, models.idle_seconds) == (False, True, 119)
    models.get_model()  # being used again, it starts to wait anew
    clock.seconds += 119
    assert not models.check_idle()
    clock.seconds += 1
    assert models.check_idle()
    assert not models.is_loaded and models.model is None
    assert not models.check_idle()  # it tells of an unload once


def test_a_slow_load_is_no_idle_time() -> None:
    clock = Clock()

    def slowly(name: str) -> Engine:
        clock.seconds += 600
        return load_engine(name)

    models = ModelManager(idle_minutes=1, load=slowly, clock=clock)
    models.get_model()
    assert not models.check_idle() and models.is_loaded
    models.unload()


def test_after_the_timeout_the_model_is_none_and_its_process_is_gone() -> None:
    models = ModelManager(idle_minutes=0.05)  # three seconds
    pid = models.get_model().pid
    assert pid and is_running(pid) and not models.check_idle()
    wait_for(models.check_idle)
    assert models.model is None and not is_running(pid)
    assert models.get_model().encode(["again"]).shape == (1, 384) and models.get_model().pid != pid
    models.unload()


def test_a_model_in_this_process_leaves_memory_when_it_is_unloaded() -> None:
    models = ModelManager(load=load_engine)
    engine = models.get_model()
    watched = [weakref.ref(engine), weakref.ref(engine._session)]  # type: ignore[attr-defined]
    del engine
    models.unload()
    assert ([reference() for reference in watched], models.model) == ([None, None], None)
    models.unload()  # twice is no harm
    assert models.get_model() is models.get_model()
    models.unload()


def test_a_model_whose_process_was_killed_is_loaded_anew() -> None:
    with ModelManager() as models:
        first = models.get_model()
        assert first.pid
        os.kill(first.pid, signal.SIGKILL)
        with pytest.raises(ModelUnavailable, match="--words"):
            first.encode(["words"])  # whoever holds it still
        assert (models.model, models.is_loaded) == (None, False)
        assert models.get_model().encode(["words"]).shape == (1, 384)


def test_a_process_that_died_while_nobody_asked_is_noticed_before_anybody_does() -> None:
    with ModelManager() as models:
        first = models.get_model()
        assert first.pid
        os.kill(first.pid, signal.SIGKILL)
        wait_for(lambda: not models.is_loaded)
        assert not Path(f"/proc/{first.pid}").exists()  # no zombie
        assert (models.state, models.check_idle()) == ("not loaded", False)
        assert models.get_model().encode(["words"]).shape == (1, 384)


def test_loading_may_begin_before_it_is_waited_for() -> None:
    with ModelManager() as models:
        models.start_loading()
        models.start_loading()
        wait_for(lambda: models.is_loaded)
        assert models.get_model().pid
    ModelManager("nonsense").start_loading()  # says nothing: whoever needs it is told


@pytest.mark.parametrize("name", ["nonsense", "all-MiniLM-L6", "", "../model"])
def test_an_unknown_name_says_what_there_is(name: str) -> None:
    models = ModelManager(name)
    for _again in range(2):
        with pytest.raises(ModelUnavailable, match=DEFAULT_MODEL):
            models.get_model()
        assert (models.is_loaded, models.is_loading) == (False, False)


def test_a_model_that_comes_back_is_loaded_at_the_next_try(tmp_path: Path) -> None:
    """The folder is missing, then damaged, then as it should be."""
    folder = tmp_path / "model"
    models = ModelManager(load=lambda _name: MiniLM(folder))
    with pytest.raises(ModelUnavailable, match="--words"):
        models.get_model()
    folder.mkdir()
    for file in (Path(load_engine.__code__.co_filename).parent / "model").iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ModelUnavailable) as caught:
        models.get_model()
    assert "\n" not in str(caught.value) and not models.is_loading
    (folder / "manifest.json").write_text('{"dimensions": 384, "max_tokens": 256}')
    assert models.get_model().encode(["words"]).shape == (1, 384)
    models.unload()


def test_a_model_file_that_is_no_model_is_an_error_of_ours(tmp_path: Path) -> None:
    for file in (Path(load_engine.__code__.co_filename).parent / "model").iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "minilm.onnx").unlink()
    (tmp_path / "minilm.onnx").write_bytes(b"no model")
    with pytest.raises(ModelUnavailable, match="cannot be loaded") as caught:
        MiniLM(tmp_path)
    assert "\n" not in str(caught.value)
