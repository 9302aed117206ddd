"""Who holds the embedding model, and for how long.

A ModelManager loads the model when a vector is first needed and lets it go when it has not been used
for `idle_minutes`, because it is most of what rekall keeps in memory. It owns the model alone; callers ask for
it each time and keep no reference. By default the model lives in a child process: memory that a library took comes
back when its process ends, and only then.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from threading import RLock, Thread

from rekall.config import DEFAULT_MODEL
from rekall.engine import Engine
from rekall.errors import ModelUnavailable
from rekall.worker import spawn_engine


class ModelManager:
    """One embedding model, loaded when needed and unloaded when idle. Safe between threads.

    `load` makes the engine: in a child process (`worker.spawn_engine`), or, for a process that ends with its
    one answer anyway, in this one (`engine.load_engine`).
    """

    def __init__(
        self,
        name: str = DEFAULT_MODEL,
        idle_minutes: float = 10,
        load: Callable[[str], Engine] = spawn_engine,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.idle_minutes = idle_minutes
        self._load = load
        self._clock = clock
        self._lock = RLock()
        self._model: Engine | None = None
        self._is_loading = False
        self._last_used = clock()

    def __enter__(self) -> ModelManager:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.unload()

    @property
    def model(self) -> Engine | None:
        """The model if it is in memory and well, else None. Never loads it."""
        model = self._model
        return model if model and model.is_alive else None

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self.model is not None

    @property
    def is_loading(self) -> bool:
        """Whether the model is on its way into memory."""
        return self._is_loading

    @property
    def state(self) -> str:
        """One of: loaded, loading, not loaded."""
        return "loaded" if self.is_loaded else "loading" if self._is_loading else "not loaded"

    @property
    def idle_seconds(self) -> float:
        """Seconds since the model was last asked for."""
        return self._clock() - self._last_used

    def get_model(self) -> Engine:
        """Return the model, loading it first if need be (0.2 s for the embedded one, 0.4 s in a child).

        Raises ModelUnavailable; the next call tries again, with a new child if the last one died.
        """
        with self._lock:
            self._last_used = self._clock()
            if self.model is None:
                if self._model:
                    self._model.close()  # it died
                self._model = self._loaded()
            assert self._model is not None
            return self._model

    def start_loading(self) -> None:
        """Begin to load the model, if it is not there, and do not wait for it."""
        if not self.is_loaded and not self._is_loading:
            Thread(target=self._load_quietly, name="rekall-model", daemon=True).start()

    def _load_quietly(self) -> None:
        with suppress(ModelUnavailable):  # whoever needs the model is told then
            self.get_model()

    def _loaded(self) -> Engine:
        self._is_loading = True
        try:
            return self._load(self.name)
        finally:
            self._is_loading = False
            self._last_used = self._clock()

    def check_idle(self) -> bool:
        """Unload the model if it was not used for idle_minutes; tell whether it was unloaded now."""
        if self._is_loading:
            return False  # do not wait for it
        with self._lock:
            if self.model is None or self.idle_seconds < self.idle_minutes * 60:
                return False
            self.unload()
            return True

    def kill(self) -> None:
        """End the model's process, if it has one, and wait for nobody: this process is about to end too."""
        model = self._model
        if model and model.pid and model.is_alive:
            with suppress(ProcessLookupError):
                os.kill(model.pid, signal.SIGKILL)

    def unload(self) -> None:
        """Let the model go. The next get_model loads it again."""
        with self._lock:
            if self._model is not None:
                self._model.close()
            self._model = None
            gc.collect()  # the engine's buffers hang in reference cycles
