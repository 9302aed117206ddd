"""The rooms of the warm process: one for each request under way, kept for the next, over one household.

A room has a connection to the base of its own, so requests do not wait for each other; the model, the vectors and
the cache are the household's. When settings change, the next request finds a new household.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Lock, Thread

from rekall.commands import Room
from rekall.commands.room import Household
from rekall.config import Base, Config, config_path
from rekall.door import base_of, config_of
from rekall.errors import RekallError
from rekall.protocol import Request

# Rooms kept open for the next request. Each holds an SQLite connection and its page cache, 2 MB at most.
KEPT = 8
# Files of settings remembered; each caller may have one of its own.
MOST_FILES = 16
# The vectors leave memory when nothing was asked for this many times the model's idle time.
VECTORS_IDLE = 2


class Rooms:
    """Lends rooms. Safe between threads."""

    def __init__(self, config: Config) -> None:
        self._lock = Lock()
        self._free: list[Room] = []
        self._configs: dict[Path, tuple[tuple[int, int, int, int] | None, Config]] = {}
        self._household = Household(config, model_in_child=True)
        self._retired: list[Household] = []  # of other settings; somebody may still be answered from them
        self._lent: Counter[Household] = Counter()  # how many rooms over it are lent

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self._household.config

    @property
    def is_model_loaded(self) -> bool:
        """Whether the model of the settings in force is in memory."""
        models = self._household.models_if_any
        return models is not None and models.is_loaded

    def wake_with(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when something waits to be embedded and somebody waits for that."""
        self._household.wake = wake

    @contextmanager
    def lend(self, request: Request) -> Iterator[Room]:
        """Lend a room for one request. Raises UsageError for settings that cannot be used."""
        if request.command in ("config", "help"):  # about settings, whatever they are
            with Room(base_of(request), config_of(request)) as room:
                yield room
            return
        with self.room(base_of(request), self._config(request)) as room:
            yield room

    @contextmanager
    def room(self, base: Base, config: Config | None = None) -> Iterator[Room]:
        """Lend a room over `base` for the block."""
        config = config or self.config
        household = self._household_of(config)
        room = self._taken(base) or Room(base, config, household)
        room.move_to(base, config, household)
        with self._lock:
            self._lent[household] += 1
        try:
            yield room
        finally:
            with self._lock:
                self._lent[household] -= 1
            self._put_back(room)

    def _put_back(self, room: Room) -> None:
        """Keep a room for the next request, if it is as it should be and there are not many.

        An error of the user's is no reason to close one: the last connection to be closed folds the write-ahead log
        into the base, and pysqlite3 lets no other thread run meanwhile.
        """
        with self._lock:
            if len(self._free) < KEPT and room.is_sound:
                self._free.append(room)
                return
        room.close()

    def _taken(self, base: Base) -> Room | None:
        """Return a room that has the base open under the same name, for errors to name it alike."""
        with self._lock:
            for room in reversed(self._free):
                if room.base.path == base.path:
                    self._free.remove(room)
                    return room
        return None

    def _config(self, request: Request) -> Config:
        """Return the settings of a request. Raises UsageError."""
        return self._read(config_path(request.env))

    def _read(self, path: Path) -> Config:
        """Return the settings of a file, read again only when it has changed. Raises UsageError."""
        stamp = None
        try:
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
        except FileNotFoundError:
            pass
        except OSError:
            return Config.load(path)  # which says why it cannot be read
        held = self._configs.get(path)
        if held is None or held[0] != stamp:
            held = (stamp, Config.load(path))
            if len(self._configs) >= MOST_FILES:
                self._configs.clear()
            self._configs[path] = held
        return held[1]

    def household_for(self, request: Request) -> Household:
        """Return what the answer to `request` will use."""
        return self._household_of(self._config(request))

    def _household_of(self, config: Config) -> Household:
        """Return the household, a new one if these settings are others."""
        with self._lock:
            old = self._household
            if config is old.config or config.same_as(old.config):
                return old
            new = self._household = Household(config, model_in_child=True)
            new.wake = old.wake
            new.take_over(old)
            self._retired.append(old)
        return new

    def warm_up(self) -> None:
        """Load what the next query will want, behind the first answer: NumPy, the model."""
        self._household.models.start_loading()
        for module in ("rekall.embeddings", "rekall.interactive"):
            import_module(module)

    def let_go_of_idle(self, idle_seconds: float) -> bool:
        """Let go of what was not used for long: the model, then the vectors; tell whether anything went."""
        with suppress(RekallError):  # a broken file is told to whoever asks next
            self._household_of(self._read(self.config.path))
        with self._lock:
            household = self._household
            retired = [old for old in self._retired if not self._lent[old]]
            for old in retired:
                self._retired.remove(old)
                del self._lent[old]
        for old in retired:  # a model that is on its way in is waited for, but not by the loop
            Thread(target=old.close, name="rekall-retired", daemon=True).start()
        models, resident = household.models_if_any, household.resident_if_any
        went = bool(models and models.check_idle()) or bool(retired)
        minutes = household.config.number("performance.model_idle_timeout_minutes")
        if resident and resident.is_loaded and idle_seconds > minutes * 60 * VECTORS_IDLE:
            resident.drop()
            household.cache.clear()
            household.hits.clear()
            with self._lock:
                free, self._free = self._free, []
            for room in free:
                room.close()
            went = True
        return went

    def facts(self) -> dict[str, object]:
        """Return what is held now, for people."""
        household = self._household
        models, resident = household.models_if_any, household.resident_if_any
        return {
            "model": household.config.text("embeddings.model"),
            "model_state": models.state if models else "not loaded",
            "vectors_in_memory": resident.stats().get("rows", 0) if resident else 0,
            "cached": len(household.cache),
        }

    def end_model(self) -> None:
        """End the model's process, now."""
        for household in (self._household, *self._retired):
            if household.models_if_any:
                household.models_if_any.kill()

    def close(self) -> None:
        """Close every room that is not lent, and the household."""
        with self._lock:
            free, self._free = self._free, []
        for room in free:
            room.close()
        for household in (self._household, *self._retired):
            household.close()
