"""What the commands work with: the base, the settings, the model and the meaning service.

A Room opens each of them when it is first asked for and closes them all at its end. A base that
does not exist is an empty one: reading it creates nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekall.cache import EmbeddingCache
from rekall.config import OLDER_BASE_NAME, Base, Config
from rekall.errors import BaseUnusable, ModelUnavailable
from rekall.language import _
from rekall.protocol import Response
from rekall.query import Filters

if TYPE_CHECKING:
    from rekall.db import Database
    from rekall.embeddings import EmbeddingService
    from rekall.model_manager import ModelManager
    from rekall.ranking import Hit


class Room:
    """The resources of one door, opened when needed. Use with `with`."""

    def __init__(self, base: Base, config: Config) -> None:
        self.base = base
        self.config = config
        self.response: Response | None = None  # who is told that something takes long
        self._database: Database | None = None
        self._models: ModelManager | None = None
        self._service: EmbeddingService | None = None

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._let_go()
        if self._models:
            self._models.unload()

    def _let_go(self) -> None:
        if self._database:
            self._database.close()
        self._database = self._service = None

    @property
    def exists(self) -> bool:
        """Whether there is a base at all."""
        return self.base.path.exists()

    def reading(self) -> Database:
        """Return the base to read from; an empty one in memory while there is none."""
        if self._database and self._database.path is None and self.exists:
            self._let_go()
        return self._database or self._open(create=False)

    def writing(self) -> Database:
        """Return the base to write to, made now if there is none."""
        if self._database and self._database.path is None:
            self._let_go()
        return self._database or self._open(create=True)

    def _open(self, create: bool) -> Database:
        from rekall.db import Database

        there = create or self.exists
        if not there:
            self._offer_older_base()
        self._database = Database(self.base.path if there else None, on_change=self._changed)
        if self._database.backup_before_migration:
            self.note(
                _("the base of the older rekall was carried over; a backup is at {path}").format(
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
        if self._service:
            self._service.forget(key)

    @property
    def models(self) -> ModelManager:
        """The one holder of the embedding model."""
        if self._models is None:
            from rekall.model_manager import ModelManager

            self._models = ModelManager(
                self.config.text("embeddings.model"),
                self.config.number("performance.model_idle_timeout_minutes"),
                on_loading=lambda _name: self.note(_("Loading the model…")),
            )
        return self._models

    @property
    def model_is_loaded(self) -> bool:
        """Whether the model is in memory now."""
        return self._models is not None and self._models.is_loaded

    @property
    def service(self) -> EmbeddingService:
        """The meaning service over the base as it is open now."""
        database = self.reading()
        if self._service is None:
            from rekall.embeddings import EmbeddingService

            cache = EmbeddingCache(
                int(self.config.number("performance.cache_max_size")),
                self.config.number("performance.cache_ttl_seconds"),
            )
            backend = self.config.text("performance.vector_backend")
            self._service = EmbeddingService(database, self.models, cache, backend)
        return self._service

    def note(self, text: str) -> None:
        """Tell whoever is being answered."""
        if self.response:
            self.response.note(text)

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

    def find(self, text: str, count: int, filters: Filters | None, arm: str) -> list[Hit]:
        """Return up to `count` hits by words, by meaning, or both. Without a model, words answer."""
        from rekall.ranking import POOL, by_words

        if not text.strip() or not self.reading().count():
            return []
        if arm == "words":
            return by_words(self.reading().search_words(text, max(count, POOL), filters))[:count]
        from rekall.embeddings import LONGEST_CAUGHT_UP

        try:
            self.catch_up(LONGEST_CAUGHT_UP)
            search = self.service.semantic_search if arm == "meaning" else self.service.hybrid_search
            return search(text, count, filters)
        except ModelUnavailable as error:
            if arm == "meaning":
                raise
            self.note(_("searching by words only: {reason}").format(reason=error))
            return by_words(self.reading().search_words(text, max(count, POOL), filters))[:count]
