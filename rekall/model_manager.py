"""Who holds the embedding model, and for how long.

A ModelManager loads the model when a vector is first needed and lets it go when it has not been used
for `idle_minutes`, because it is most of what rekall keeps in memory. It owns the model alone; callers ask for
it each time and keep no reference.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from threading import RLock

from rekall.config import DEFAULT_MODEL
from rekall.engine import Engine, load_engine


class ModelManager:
    """One embedding model, loaded when needed and unloaded when idle. Safe between threads.

    `on_loading` is called with the model's name just before it is loaded, so that a door can say
    why the answer takes longer.
    """

    def __init__(
        self,
        name: str = DEFAULT_MODEL,
        idle_minutes: float = 10,
        on_loading: Callable[[str], None] | None = None,
        load: Callable[[str], Engine] = load_engine,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.idle_minutes = idle_minutes
        self._on_loading = on_loading
        self._load = load
        self._clock = clock
        self._lock = RLock()
        self._engine: Engine | None = None
        self._is_loading = False
        self._last_used = clock()

    def __enter__(self) -> ModelManager:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.unload()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._engine is not None

    @property
    def is_loading(self) -> bool:
        """Whether the model is on its way into memory."""
        return self._is_loading

    @property
    def idle_seconds(self) -> float:
        """Seconds since the model was last asked for."""
        return self._clock() - self._last_used

    def get_model(self) -> Engine:
        """Return the model, loading it first if need be (0.2 s for the embedded one).

        Raises ModelUnavailable; the next call tries again.
        """
        with self._lock:
            self._last_used = self._clock()
            if self._engine is None:
                self._engine = self._loaded()
            return self._engine

    def _loaded(self) -> Engine:
        self._is_loading = True
        try:
            if self._on_loading:
                self._on_loading(self.name)
            return self._load(self.name)
        finally:
            self._is_loading = False
            self._last_used = self._clock()

    def check_idle(self) -> bool:
        """Unload the model if it was not used for idle_minutes; tell whether it was unloaded now."""
        with self._lock:
            if self._engine is None or self.idle_seconds < self.idle_minutes * 60:
                return False
            self.unload()
            return True

    def unload(self) -> None:
        """Let the model go. The next get_model loads it again."""
        with self._lock:
            self._engine = None
            gc.collect()  # the engine's buffers hang in reference cycles
