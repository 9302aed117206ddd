"""What the commands work with: the base, the settings, the model and the meaning service.

A Room opens each of them when it is first asked for and closes them at its end. A base that does not exist is
an empty one: reading it creates nothing. Rooms of one process may have a Household in common: the model, the
vectors in memory and the cache are there once, however many requests are answered at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING

from rekall.ahead import Ahead
from rekall.cache import EmbeddingCache, HitCache
from rekall.config import OLDER_BASE_NAME, Base, Config
from rekall.context import Here
from rekall.errors import BaseUnusable, Cancelled, ModelUnavailable
from rekall.language import _
from rekall.protocol import Request, Response
from rekall.query import Filters, Typed

if TYPE_CHECKING:
    from rekall.db import Database
    from rekall.embeddings import EmbeddingService
    from rekall.model_manager import ModelManager
    from rekall.nearness import Resident
    from rekall.ranking import Hit


# Answers longer than this are not kept for the next time: somebody asked for a whole base, and it would be kept twice.
MOST_KEPT = 200


class Household:
    """What the rooms of one process share, made when first asked for. Safe between threads.

    `model_in_child`: the model is to live in a process of its own, so that its memory can come back.
    """

    def __init__(self, config: Config, model_in_child: bool = False) -> None:
        self.config = config
        self.cache = EmbeddingCache(
            int(config.number("performance.cache_max_size")), config.number("performance.cache_ttl_seconds")
        )
        self.hits: HitCache[list[Hit]] = HitCache()
        self.is_warm = model_in_child
        self.wake: Callable[[], None] = lambda: None  # has somebody embed what waits, soon; set by the server
        self._lock = RLock()
        self._models: ModelManager | None = None
        self._owns_models = True
        self._resident: Resident | None = None
        self._ahead: Ahead | None = None

    @property
    def models(self) -> ModelManager:
        """The one holder of the embedding model."""
        from rekall.engine import load_engine
        from rekall.model_manager import ModelManager
        from rekall.worker import spawn_engine

        with self._lock:
            if self._models is None:
                self._models = ModelManager(
                    self.config.text("embeddings.model"),
                    self.config.number("performance.model_idle_timeout_minutes"),
                    load=spawn_engine if self.is_warm else load_engine,
                )
            return self._models

    def take_over(self, earlier: Household) -> None:
        """Go on with the model of the household before this one, if these settings name the same."""
        with earlier._lock:
            models = earlier._models
            if models and models.name == self.config.text("embeddings.model"):
                models.idle_minutes = self.config.number("performance.model_idle_timeout_minutes")
                self._models = models
                earlier._owns_models = False

    @property
    def models_if_any(self) -> ModelManager | None:
        """The holder of the model, if anything asked for it yet."""
        return self._models

    @property
    def resident(self) -> Resident:
        """The vectors in memory. Raises BackendUnavailable."""
        from rekall.nearness import Resident

        with self._lock:
            if self._resident is None:
                backend = self.config.text("performance.vector_backend")
                self._resident = Resident(self.cache, self.config.text("embeddings.model"), backend)
            return self._resident

    @property
    def resident_if_any(self) -> Resident | None:
        """The vectors in memory, if anything asked for them yet."""
        return self._resident

    @property
    def ahead(self) -> Ahead | None:
        """What waits for a model in a process of its own; None where it is in this one."""
        with self._lock:
            if self._ahead is None and self.is_warm:
                self._ahead = Ahead()
            return self._ahead

    def close(self) -> None:
        """Let the model go, unless another household has taken it over."""
        if self._ahead:
            self._ahead.close()
        if self._models and self._owns_models:
            self._models.unload()


class Room:
    """The resources of one request at a time, opened when needed. Use with `with`."""

    def __init__(self, base: Base, config: Config, household: Household | None = None) -> None:
        """Without a household of others, the room has one of its own and closes it."""
        self.base = base
        self.config = config
        self.household = household or Household(config)
        self._owns_household = household is None
        self._request: Request | None = None
        self._response: Response | None = None  # who is told that something takes long
        self._database: Database | None = None
        self._opened: tuple[int, int] | None = None  # the file that is open: device and inode
        self._service: EmbeddingService | None = None

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the base, and what is the room's own."""
        self._let_go()
        if self._owns_household:
            self.household.close()

    def move_to(self, base: Base, config: Config, household: Household) -> None:
        """Answer the next request with these, the base still open. `base` names the same file as before."""
        if household is not self.household:
            self._service = None
        self.base, self.config, self.household = base, config, household

    @property
    def is_sound(self) -> bool:
        """Whether the next request may have this room: no transaction was left open."""
        return self._database is None or not self._database.in_transaction

    def _let_go(self) -> None:
        if self._database:
            self._database.close()
        self._database = self._service = self._opened = None

    # --- who is being answered ---

    def serve(self, request: Request | None, response: Response | None) -> None:
        """Answer `response` from now on, for as long as `request` is wanted."""
        self._request, self._response = request, response

    def be_quiet(self) -> None:
        """Say nothing more than the answer itself."""
        self._response = None

    def note(self, text: str) -> None:
        """Tell whoever is being answered."""
        if self._response:
            self._response.note(text)

    def check_wanted(self) -> None:
        """Stop here if nobody waits for the answer any more. Raises Cancelled."""
        if self._request and not self._request.is_wanted():
            raise Cancelled(_("stopped; what was done is kept"))

    def interrupt(self) -> None:
        """End the query that another thread is running in this room's base, if there is one."""
        database = self._database
        if database:
            database.interrupt()

    # --- the base ---

    @property
    def exists(self) -> bool:
        """Whether there is a base at all."""
        from rekall.base_file import is_there

        return is_there(self.base.path)

    def reading(self) -> Database:
        """Return the base to read from; an empty one in memory while there is none."""
        if self._database and self._has_moved():
            self._let_go()
        return self._database or self._open(create=False)

    def writing(self) -> Database:
        """Return the base to write to, made now if there is none."""
        if self._database and (self._database.path is None or self._has_moved()):
            self._let_go()
        return self._database or self._open(create=True)

    def damage(self) -> str | None:
        """Return what is wrong with the open base, and the way back, or None. Cost: reads the whole file."""
        from rekall.base_file import way_back
        from rekall.verify import verify

        findings = verify(self._database) if self._database else []
        if not findings:
            return None
        return _(
            "base {path} is damaged ({check}: {found}); mend it with: rekall index verify --repair; or {way_back}"
        ).format(
            path=self.base.path, check=findings[0].check, found=findings[0].detail, way_back=way_back(self.base.path)
        )

    def let_go(self) -> None:
        """Close the base: another is about to take its place."""
        self._let_go()

    def rotate_backups(self) -> None:
        """Remove automatic backups beyond what the settings say. See backups.rotate."""
        from rekall.backups import rotate

        most = self.config.number("backup.max_megabytes") * 1e6
        rotate(self.base.path, int(self.config.number("backup.keep")), most)

    def _has_moved(self) -> bool:
        """Tell whether another file, or none, is now where the open one was: it was restored, or removed."""
        from rekall.base_file import identity

        return identity(self.base.path) != self._opened

    def _open(self, create: bool) -> Database:
        from rekall.base_file import identity
        from rekall.base_trust import check_project
        from rekall.db import Database

        if self.base.origin == "project":
            check_project(self.base.path)
        there = create or self.exists
        if not there:
            self._offer_older_base()
        self._database = Database(self.base.path if there else None, on_change=self._changed)
        self._database.keep_history_days = self.config.number("history.keep_days")
        self._opened = identity(self.base.path) if there else None
        if self._database.lost_pages:
            lost = _("the log beside base {path} was removed: what was written last is gone; see: rekall index verify")
            self.note(lost.format(path=self.base.path))
        if self._database.backup_before_migration:
            self.rotate_backups()
            self.note(
                _("the base of an earlier rekall was carried over; a backup is at {path}").format(
                    path=self._database.backup_before_migration
                )
            )
        return self._database

    def _offer_older_base(self) -> None:
        older = self.base.path.with_name(OLDER_BASE_NAME)
        if self.base.origin == "user" and older.exists():
            self.note(
                _("an older rekall's base is at {path}; bring it in with: rekall import {path}").format(path=older)
            )

    def _changed(self, key: str) -> None:
        self.household.cache.invalidate(key)

    # --- meaning ---

    @property
    def service(self) -> EmbeddingService:
        """The meaning service over the base as it is open now."""
        database = self.reading()
        if self._service is None:
            from rekall.embeddings import EmbeddingService

            self._service = EmbeddingService(
                database,
                self.household.models,
                self.household.cache,
                self.config.text("performance.vector_backend"),
                on_loading=self._say_loading,
                resident=self.household.resident,
                ahead=self.household.ahead,
            )
        return self._service

    def _say_loading(self) -> None:
        if self._response and self._response.errors_are_tty:
            self.note(_("Loading the model…"))

    def catch_up(self, longest: int | None = None) -> None:
        """Embed a few waiting entries, so that what was just added is found by meaning.

        A query passes by those of `longest` characters or more: whoever added them waits for them.
        """
        from rekall.embeddings import CATCH_UP

        if self.reading().path is None:
            return
        try:
            self.service.embed_pending(CATCH_UP, longest=longest)
        except BaseUnusable as error:  # read-only, full or busy: what is there can be searched all the same
            self.note(_("what is new is not embedded yet: {reason}").format(reason=error))

    def embed_some(self, count: int) -> int:
        """Embed up to `count` waiting entries, the newest first; return how many. Raises ModelUnavailable."""
        return 0 if self.reading().path is None else self.service.embed_pending(count)

    def answer(self, query: Typed, count: int, arm: str = "both", here: Here | None = None) -> list[Hit]:
        """Return up to `count` hits for a query taken apart; the newest entries that fit where it has no words.

        `here`: use has its say (None: it has not).
        """
        from rekall.ranking import Hit

        words = query.words.strip()
        if words:
            from rekall.use import in_use, wanted

            hits = self.find(words, wanted(count, here), query.filters, arm)
            return in_use(self.reading(), hits, here, count)
        return [Hit(key, 0.0) for key in self.reading().newest(query.filters, count)] if query.filters else []

    def find(self, text: str, count: int, filters: Filters | None, arm: str) -> list[Hit]:
        """Return up to `count` hits by words, by meaning, or both. Without a model, words answer.

        What was asked before is not worked out again until the base changes. Raises Cancelled as soon as it
        is seen that nobody waits.
        """
        self.check_wanted()
        if not text.strip() or self.reading().is_empty():
            return []
        from rekall.base_file import stamp

        if arm != "words":
            from rekall.embeddings import LONGEST_CAUGHT_UP

            try:
                self.catch_up(LONGEST_CAUGHT_UP)
            except ModelUnavailable as error:
                return self._without_model(text, count, filters, arm, error)
            self.check_wanted()
        database = self.reading()
        state = (database.file, database.revision(), stamp(database.path) if database.path else None)
        asked = (*state, text, count, filters, arm)  # the stamp: an older state may have been put back
        hits = self.household.hits.get(asked)
        if hits is None:
            try:
                hits = self._found(text, count, filters, arm)
            except ModelUnavailable as error:
                return self._without_model(text, count, filters, arm, error)
            if len(hits) <= MOST_KEPT:
                self.household.hits.put(asked, hits)
        return list(hits)

    def _found(self, text: str, count: int, filters: Filters | None, arm: str) -> list[Hit]:
        if arm == "words":
            return self._by_words(text, count, filters)
        search = self.service.semantic_search if arm == "meaning" else self.service.hybrid_search
        return search(text, count, filters)

    def _without_model(
        self, text: str, count: int, filters: Filters | None, arm: str, error: ModelUnavailable
    ) -> list[Hit]:
        """Let words answer, and say so; a question about meaning alone has no other answer."""
        if arm == "meaning":
            raise error
        self.note(_("searching by words only: {reason}").format(reason=error))
        return self._by_words(text, count, filters)

    def nearest(self, text: str, count: int, filters: Filters | None) -> dict[str, float] | None:
        """Return the entries nearest in meaning with their cosines; None without a model, which is said."""
        from rekall.embeddings import LONGEST_CAUGHT_UP

        try:
            self.catch_up(LONGEST_CAUGHT_UP)
            self.check_wanted()
            return self.service.nearest(text, count, filters)
        except ModelUnavailable as error:
            self.note(_("searching by words only: {reason}").format(reason=error))
            return None

    def cosines(self, text: str, keys: Sequence[str]) -> dict[str, float]:
        """Return the cosines of a text and these entries. Raises ModelUnavailable."""
        return self.service.cosines_of(text, keys) if keys else {}

    def find_as_typed(
        self, text: str, count: int, filters: Filters | None, here: Here | None = None
    ) -> tuple[list[Hit], bool]:
        """Return up to `count` hits for what was typed so far, and whether meaning had a say in it.

        Never waits for the model: while it is not there, it is sent for and words answer (a process of one answer does
        not send for it). Nothing is embedded first. A last word without a blank behind it also stands for the words it
        begins. Without any text, the newest entries. `here`: as for `answer`.
        """
        from rekall.ranking import Hit

        database, models = self.reading(), self.household.models
        if not models.is_loaded and database.path is not None and self.household.is_warm:
            models.start_loading()
        if not text.strip():
            return [Hit(key, 0.0) for key in database.newest(filters, count)], False
        from rekall.use import in_use, wanted

        hits, by_meaning = self._as_typed(text, wanted(count, here), filters)
        return in_use(database, hits, here, count), by_meaning

    def _as_typed(self, text: str, count: int, filters: Filters | None) -> tuple[list[Hit], bool]:
        if self.household.models.is_loaded:
            with suppress(ModelUnavailable):  # it died just now; the next key sends for it again
                return self.service.hybrid_search(text, count, filters, is_typing=True), True
        return self._by_words(text, count, filters, is_typing=True), False

    def _by_words(self, text: str, count: int, filters: Filters | None, is_typing: bool = False) -> list[Hit]:
        from rekall.ranking import POOL, TITLES_READ, by_words, with_titles

        database = self.reading()
        hits = by_words(database.search_words(text, max(count, POOL), filters, is_typing))
        return with_titles(hits, text, database.titles([hit.id for hit in hits[:TITLES_READ]]))[:count]
