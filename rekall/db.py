"""The base: one SQLite file that holds every entry, its words and its vectors.

A Database owns one connection. Any number of processes may have the same file open: WAL keeps
readers and the one writer apart, and a writer waits for its turn. Only this module imports an SQLite
library, because two of them in one process drop each other's file locks.
"""

from __future__ import annotations

import os
import sqlite3 as stdlib_sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast  # Any: SQL values, and either SQLite module

from rekall import backups, base_file, base_trust, rows, schema
from rekall.base_parts import EmbeddingQueue
from rekall.entry import Entry, is_id
from rekall.error_table import ErrorTable
from rekall.errors import BaseRefused, BaseUnusable, EntryNotFound
from rekall.language import _
from rekall.pick_table import PickTable
from rekall.query import Filters
from rekall.vec_table import VecTable
from rekall.versions import Versions
from rekall.words import Matches, Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rekall.vectors import Matrix


# Python's own SQLite may be built without extensions (pyenv's is). Where sqlite-vec is installed, the
# SQLite that its extra brings is used then, for everything: one library a process.
def _library() -> Any:
    """Return the SQLite module for this process."""
    if find_spec("sqlite_vec") and not hasattr(stdlib_sqlite3.Connection, "enable_load_extension"):
        with suppress(ImportError):
            import pysqlite3.dbapi2

            return pysqlite3.dbapi2
    return stdlib_sqlite3


sqlite3 = _library()

# A writer waits this long for its turn. A bulk import commits many times a second, so only a process
# that is stuck holds the lock for longer.
BUSY_MILLISECONDS = 20_000


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since a revision: ids of entries written or embedded, and of entries gone."""

    revision: int
    written: frozenset[str]
    gone: frozenset[str]


class Database(EmbeddingQueue, Versions, ErrorTable, PickTable):
    """One open base. Use with `with`; every write is one transaction, or joins the one open.

    `on_change` is called with the id of each entry written through this object, after the commit.
    """

    def __init__(self, path: Path | None, on_change: Callable[[str], None] | None = None) -> None:
        """Open the base at `path`, making it if need be; None is an empty base that leaves no trace.

        An earlier rekall's base is carried over first, after a backup beside it (`backup_before_migration`).
        Raises BaseRefused for a file that is no base of ours, BaseUnusable if it cannot be used.
        """
        self.path = path
        self.file: object  # which file is open: the same for every Database on it, and for no other
        self.backup_before_migration: Path | None = None
        self._on_change = on_change
        self._touched: set[str] = set()
        self._depth = 0
        with readable_errors(path):
            self.lost_pages = 0  # of a log that was removed while it was needed: see base_file.lost_pages
            if path is not None:
                base_file.prepare(path)
                self.lost_pages = base_file.lost_pages(path)
            self._connection, self.is_read_only = open_file(path) if path else (_connect(":memory:"), False)
            try:
                self.file = base_file.identity(path) or object()
                self.backup_before_migration = base_file.settle(
                    self.connection, path, self.transaction, copy_base, self.is_read_only
                )
                self.words = Words(self.connection, lambda: cast(schema.Connection, _connect(":memory:")))
                if self.backup_before_migration:
                    self.read_errors()
                if self.lost_pages and not self.is_read_only:
                    self._remember_loss()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the last one out folds the write-ahead log into it."""
        self.words.close()
        self._connection.close()

    def _remember_loss(self) -> None:
        """Note in the base that its log is gone, until somebody has had it repaired or restored."""
        with self.transaction():
            self._connection.execute("INSERT OR REPLACE INTO state VALUES ('lost_pages', ?)", (self.lost_pages,))

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return bool(self._connection.in_transaction)

    def interrupt(self) -> None:
        """End the statement that another thread is running here, if there is one; it fails there."""
        self._connection.interrupt()

    @property
    def connection(self) -> schema.Connection:
        """The connection itself, for maintenance that has a module of its own."""
        return cast(schema.Connection, self._connection)

    @cached_property
    def vec(self) -> VecTable:
        """The copy of the vectors that sqlite-vec searches, where it loads."""
        return VecTable(self.connection, self.transaction, lambda: _load_sqlite_vec(self._connection))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the writes of the block one transaction: all of them happen, or none.

        Inner blocks join the outer one. Waits its turn; raises BaseUnusable if it never comes, if
        the disk is full, or if the file may not be written.
        """
        if self._depth:
            with self._savepoint():
                yield
            return
        with readable_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                self._unmark_deed()
                self._connection.execute("COMMIT")
            except BaseException:
                self._touched.clear()
                self._drop_mark()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0
        touched, self._touched = self._touched, set()
        for key in touched if self._on_change else ():
            assert self._on_change is not None
            self._on_change(key)

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        """Undo the writes of the block, and only those, if it fails."""
        with readable_errors(self.path):
            self._connection.execute("SAVEPOINT inner")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:  # a full disk ends it all
                    self._connection.execute("ROLLBACK TO inner")
                    self._connection.execute("RELEASE inner")
                raise
            self._connection.execute("RELEASE inner")

    def vacuum(self) -> None:
        """Write the file anew, without what was deleted, and empty the log. Raises BaseUnusable."""
        with readable_errors(self.path):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # --- entries ---

    def add(self, entry: Entry) -> None:
        """Store a new entry. Raises BaseUnusable if its id is taken."""
        self.add_many([entry])

    def add_many(self, entries: Sequence[Entry]) -> None:
        """Store new entries in one transaction: all of them, or none."""
        sql = f"INSERT INTO entries({', '.join(rows.COLUMNS)}) VALUES ({rows.marks(rows.COLUMNS)})"
        with self.transaction():
            self._mark_deed()
            self._connection.executemany(sql, map(rows.to_row, entries))
            self._touched.update(entry.id for entry in entries)

    def imports(self) -> dict[str, tuple[str, str]]:
        """Return place → (entry id, digest) of every note that was imported."""
        return {row[0]: (row[1], row[2]) for row in self._read("SELECT place, entry_id, digest FROM imports", ())}

    def remember_imports(self, notes: Iterable[tuple[str, str, str]]) -> None:
        """Note (place, entry id, digest) of imported notes."""
        with self.transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO imports(place, entry_id, digest) VALUES (?, ?, ?)", notes
            )

    def update(self, entry: Entry) -> None:
        """Replace the entry with this id; its revision goes up by one, its `updated_at` is as given."""
        assignments = ", ".join(f"{name} = ?" for name in rows.COLUMNS)
        with self.transaction():
            self._mark_deed()
            written = self._connection.execute(
                f"UPDATE entries SET {assignments} WHERE id = ?", (*rows.to_row(entry), entry.id)
            )
            if not written.rowcount:
                raise EntryNotFound(_("entry {id} is gone; rekall list shows what is there").format(id=entry.id))
            self._touched.add(entry.id)

    def delete(self, key: str) -> None:
        """Remove the entry `key` with its tags, links and vectors. Raises EntryNotFound."""
        with self.transaction():
            self.get(key)
            self._mark_deed()
            self._connection.execute("DELETE FROM entries WHERE id = ?", (key,))
            self._touched.add(key)

    def get(self, key: str) -> Entry:
        """Return the entry with exactly this id. Raises EntryNotFound."""
        found = self.get_many([key])
        if not found:
            raise EntryNotFound(_("no entry has the id {id}; rekall list shows what is there").format(id=key))
        return found[0]

    def get_many(self, keys: Sequence[str]) -> list[Entry]:
        """Return the entries with these ids, in the order given; ids that are gone are passed over."""
        found: dict[str, Entry] = {}
        for some in _chunks(keys):
            sql = f"SELECT {rows.SELECT_ENTRY} FROM entries e WHERE e.id IN ({rows.marks(some)})"
            found.update((row[0], rows.from_row(row)) for row in self._read(sql, some))
        return [found[key] for key in keys if key in found]

    def titles(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the titles of the entries with these ids; ids that are gone are passed over."""
        found: dict[str, str] = {}
        for some in _chunks(keys):
            found.update(self._read(f"SELECT id, title FROM entries WHERE id IN ({rows.marks(some)})", some))
        return found

    def resolve(self, prefix: str) -> str:
        """Return the one id that begins with `prefix`, in either case. Raises EntryNotFound."""
        for spelling in dict.fromkeys((prefix, prefix.upper())):
            if not is_id(spelling):
                break
            matches = [
                row[0]
                for row in self._read(
                    "SELECT id FROM entries WHERE id >= ? AND id < ? ORDER BY id LIMIT 3", (spelling, spelling + "\x7f")
                )
            ]
            if matches and (len(matches) == 1 or matches[0] == spelling):
                return str(matches[0])
            if matches:
                raise EntryNotFound(
                    _("id {id} fits several entries ({some} …); write more of it").format(
                        id=prefix, some=" ".join(matches[:2])
                    )
                )
        raise EntryNotFound(
            _("no entry has an id that begins with {id}; rekall list shows what is there").format(id=prefix)
        )

    def short_ids(self, keys: Iterable[str], least: int = 6) -> dict[str, str]:
        """Return for each id its shortest prefix, of at least `least` letters, that no other id shares."""
        return {key: key[: max(least, self._shared(key) + 1)] for key in keys}

    def _shared(self, key: str) -> int:
        """Return how many letters `key` shares with the nearest other id."""
        near = self._read(
            "SELECT max(id) FROM entries WHERE id < ? UNION ALL SELECT min(id) FROM entries WHERE id > ?", (key, key)
        )
        return max((_common_letters(key, row[0]) for row in near if row[0]), default=0)

    def entries(self, filters: Filters | None = None, limit: int | None = None) -> list[Entry]:
        """Return the entries that `filters` lets through, newest first."""
        where, values = rows.condition(filters)
        sql = f"SELECT {rows.SELECT_ENTRY} FROM entries e WHERE {where} ORDER BY e.created_at DESC, e.id DESC LIMIT ?"
        return [rows.from_row(row) for row in self._read(sql, (*values, -1 if limit is None else limit))]

    def ids_beginning(self, prefix: str, limit: int) -> list[str]:
        """Return up to `limit` ids that begin with `prefix`, in either case, the highest first: our own are by time."""
        sql = "SELECT id FROM entries WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?"
        spelt = dict.fromkeys((prefix, prefix.upper()))
        return [row[0] for spelling in spelt for row in self._read(sql, (spelling, spelling + "\x7f", limit))][:limit]

    def each(self) -> Iterator[Entry]:
        """Yield every entry in the order of ids, without holding them all."""
        last = ""
        while batch := self._read(
            f"SELECT {rows.SELECT_ENTRY} FROM entries e WHERE e.id > ? ORDER BY e.id LIMIT 500", (last,)
        ):
            yield from map(rows.from_row, batch)
            last = batch[-1][0]

    def newest(self, filters: Filters | None, limit: int) -> list[str]:
        """Return the ids of the newest entries, newest first; of one moment, in the order of their coming.

        Cost: an index has them in this order, so `limit` decides, not the size of the base.
        """
        where, values = rows.condition(filters)
        sql = f"SELECT e.id FROM entries e WHERE {where} ORDER BY e.created_at DESC, e.rowid DESC LIMIT ?"
        return [row[0] for row in self._read(sql, (*values, limit))]

    def ids(self, filters: Filters | None = None) -> list[str]:
        """Return the ids of the entries that `filters` lets through, in no order."""
        where, values = rows.condition(filters)
        return [row[0] for row in self._read(f"SELECT e.id FROM entries e WHERE {where}", values)]

    def search_words(
        self, text: str, k: int, filters: Filters | None = None, is_typing: bool = False, mends: bool = True
    ) -> Matches:
        """Return up to k entries by words, best first. See words.py."""
        with readable_errors(self.path):
            return self.words.search(text, k, filters, self.revision(), is_typing=is_typing, mends=mends)

    def is_empty(self) -> bool:
        """Tell whether there is no entry. Cost: none to speak of, where a count reads all."""
        return not self._read("SELECT 1 FROM entries LIMIT 1", ())

    def count(self, filters: Filters | None = None) -> int:
        """Return how many entries `filters` lets through."""
        where, values = rows.condition(filters)
        return int(self._read(f"SELECT count(*) FROM entries e WHERE {where}", values)[0][0])

    def counts_by(self, column: str) -> dict[str, int]:
        """Return how many entries have each type, status, project or tag, the most frequent first."""
        table = "tags" if column == "tag" else "entries"
        sql = f"SELECT {column}, count(*) FROM {table} WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        return dict(self._read(sql, ()))

    # --- vectors ---

    def get_all_vectors_batch(self, model: str) -> tuple[list[str], Matrix]:
        """Return (ids, matrix): every stored vector of `model` as float32 (n, d), and each row's entry id.

        Rows come in the order they were stored; an entry with several passages comes several times.
        Rows that are damaged (of another length than most, or not finite) are left out; `index
        verify` names them. Cost: about 4 ms a thousand rows.
        """
        import numpy as np

        from rekall.vectors import new_rows

        size = self._usual_size(model)
        if not size:
            return [], np.empty((0, 0), dtype=np.float32)
        # The ids come from their own index: reading them with the entries would read every text.
        names = dict(self._read("SELECT rowid, id FROM entries", ()))
        stored = self._read(
            "SELECT entry_rowid, vector FROM embeddings "
            "WHERE model = ? AND typeof(vector) = 'blob' AND length(vector) = ? ORDER BY rowid",
            (model, size),
        )
        matrix = new_rows(len(stored), size // 4)
        for first in range(0, len(stored), 1000):
            part = stored[first : first + 1000]
            matrix[first : first + 1000] = np.frombuffer(b"".join(row[1] for row in part), "<f4").reshape(len(part), -1)
        ids = [names.get(row[0]) for row in stored]
        sound = _sound(matrix)
        if sound.all() and None not in ids:
            return cast(list[str], ids), matrix
        kept = [place for place, key in enumerate(ids) if key is not None and sound[place]]
        return [cast(str, ids[place]) for place in kept], matrix[kept]

    def vectors_of(self, keys: Sequence[str], model: str) -> dict[str, Matrix]:
        """Return the vectors (p, d) of `model` for those of these entries that have some."""
        import numpy as np

        size = self._usual_size(model)
        parts: dict[str, list[bytes]] = {}
        for some in _chunks(keys):
            for key, blob in self._read(
                f"SELECT e.id, m.vector FROM entries e JOIN embeddings m ON m.entry_rowid = e.rowid "
                f"WHERE m.model = ? AND typeof(m.vector) = 'blob' AND length(m.vector) = ? "
                f"AND e.id IN ({rows.marks(some)}) ORDER BY m.entry_rowid, m.part",
                (model, size, *some),
            ):
                parts.setdefault(key, []).append(blob)
        found: dict[str, Matrix] = {}
        for key, blobs in parts.items():
            matrix = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1)
            sound = _sound(matrix)
            if sound.any():
                found[key] = matrix[sound]
        return found

    def _usual_size(self, model: str) -> int:
        """Return the bytes of a vector of `model`: what most rows of a sample have."""
        found = self._read(
            "SELECT size FROM (SELECT length(vector) AS size FROM embeddings "
            "WHERE model = ? AND typeof(vector) = 'blob' AND length(vector) % 4 = 0 LIMIT 99) "
            "GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
            (model,),
        )
        return int(found[0][0]) if found else 0

    def nearest_passages(self, query: bytes, k: int, filters: Filters | None = None) -> list[str]:
        """Return the entry ids of up to k passages nearest to a vector, by sqlite-vec. See VecTable."""
        where, values = rows.condition(filters)
        with readable_errors(self.path):
            return self.vec.nearest(query, k, where, values)

    # --- what changed ---

    def revision(self) -> int:
        """Return the number of changes this base has seen. Cost: one read."""
        found = self._read("SELECT value FROM state WHERE key = 'revision'", ())
        if not found or not isinstance(found[0][0], int):
            raise BaseUnusable(
                _("base {path} is damaged: its count of changes is gone; run rekall index verify --repair").format(
                    path=self.path
                )
            )
        return int(found[0][0])

    def changes_since(self, revision: int) -> Changes:
        """Return what was written, embedded or deleted after `revision`, by whatever process."""
        with self.snapshot():
            latest = self.revision()
            written = self._read(
                "SELECT id FROM entries WHERE changed > :r UNION SELECT e.id FROM embeddings m "
                "JOIN entries e ON e.rowid = m.entry_rowid WHERE m.changed > :r",
                {"r": revision},
            )
            gone = self._read("SELECT id FROM tombstones WHERE changed > ?", (revision,))
        return Changes(latest, frozenset(row[0] for row in written), frozenset(row[0] for row in gone))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See one state of the base throughout the block."""
        if self._connection.in_transaction:
            yield
            return
        with readable_errors(self.path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            # Damage may have ended it, or show only now; nothing was written that could be lost.
            with suppress(sqlite3.DatabaseError):
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    def _read(self, sql: str, values: Any) -> list[tuple[Any, ...]]:
        with readable_errors(self.path):
            return self._connection.execute(sql, values).fetchall()


def _chunks(values: Sequence[object], size: int = 500) -> Iterator[list[object]]:
    """Cut `values` so that each part fits SQLite's limit on parameters."""
    for start in range(0, len(values), size):
        yield list(values[start : start + size])


def _sound(matrix: Matrix) -> NDArray[np.bool_]:
    """Tell which rows (n, d) are vectors: finite, and not zero."""
    import numpy as np

    from rekall.vectors import squared_lengths

    squares = squared_lengths(matrix)
    found: NDArray[np.bool_] = np.isfinite(squares) & (squares > 0)
    return found


def _common_letters(one: str, other: str) -> int:
    """Return how many letters two ids share at their beginning."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _load_sqlite_vec(connection: stdlib_sqlite3.Connection) -> bool:
    """Load the extension into `connection`; tell whether that worked."""
    if not find_spec("sqlite_vec") or not hasattr(connection, "enable_load_extension"):
        return False
    import sqlite_vec

    try:
        connection.enable_load_extension(True)
        try:
            sqlite_vec.load(connection)
        finally:
            connection.enable_load_extension(False)
    except sqlite3.Error:
        return False
    return True


def library_facts() -> str:
    """Say which SQLite is used, and whether sqlite-vec loads into it."""
    vec = "sqlite-vec loads" if open_memory_with_vec() else "sqlite-vec is not installed or does not load"
    return f"{sqlite3.sqlite_version} ({sqlite3.__name__}; {vec})"


def open_memory_with_vec() -> schema.Connection | None:
    """Return a connection to nothing but memory that has the extension, or None where it does not load."""
    connection = _connect(":memory:")
    return cast(schema.Connection, connection) if _load_sqlite_vec(connection) else None


# From here on FTS5 lets our triggers write its tables while everything else of a schema is mistrusted.
_CAN_MISTRUST = sqlite3.sqlite_version_info >= (3, 51)


def _connect(path: str, uri: bool = False) -> stdlib_sqlite3.Connection:
    """Open a file, once it is known that SQLite will do no harm by that, with no trust in what it holds."""
    if path != ":memory:" and not uri:  # which is opened only after the same file by its path
        base_trust.check_files(Path(path))
    connection: stdlib_sqlite3.Connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256, uri=uri
    )
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: stdlib_sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA secure_delete = ON")  # what is edited out is not left on free pages; Debian's default
    connection.execute("PRAGMA cell_size_check = ON")  # a page that was made to mislead is damage
    if _CAN_MISTRUST:
        connection.execute("PRAGMA trusted_schema = OFF")
    # FULL: a commit that was acknowledged survives a power cut, at the price of one fsync a commit (docs/promises.md).
    connection.execute("PRAGMA synchronous = FULL")


def open_file(path: Path) -> tuple[stdlib_sqlite3.Connection, bool]:
    """Open the file at `path`; return the connection, and whether it lies where nothing can be written.

    SQLite keeps a file beside a base that is read too. Where it cannot, a base that was closed well can be read all
    the same, for nobody can be writing it. Raises BaseUnusable for one that was not, and SQLite's errors.
    """
    is_writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    try:
        connection = _connect(str(path))  # reads the file's head
        return connection, not is_writable
    except sqlite3.Error as error:
        refused = getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY"))
        if not refused or not os.access(path, os.R_OK) or is_writable:
            raise
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise BaseUnusable(
            _(
                "base {path} was not closed well and nothing can be written beside it; copy it and {log} elsewhere"
            ).format(path=path, log=log.name)
        )
    return _connect(f"{path.absolute().as_uri()}?immutable=1", uri=True), True


@contextmanager
def readable_errors(path: Path | None) -> Iterator[None]:
    """Turn SQLite's errors into ones that name the file and the next step."""
    try:
        yield
    except sqlite3.Error as error:
        refused = getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB"
        raise (BaseRefused if refused else BaseUnusable)(base_file.explain(path, error)) from error
    except UnicodeDecodeError as error:  # SQLite's message quotes the bytes that are damaged
        raise BaseUnusable(base_file.explain(path, sqlite3.DatabaseError("malformed database schema"))) from error


def open_untouched(path: Path) -> stdlib_sqlite3.Connection:
    """Open somebody else's base to read it, so that neither it nor its folder is changed. Raises SQLite's errors.

    A base without a log is in nobody's hands and can be read without the files that SQLite keeps beside it. Where
    there is a log, `-shm` is there too, or comes.
    """
    base_trust.check_files(path)
    has_log = path.with_name(f"{path.name}-wal").exists()
    mode = "mode=ro" if has_log or not _is_closed_log_base(path) else "immutable=1"
    return _connect(f"{path.absolute().as_uri()}?{mode}", uri=True)


def _is_closed_log_base(path: Path) -> bool:
    """Tell whether the base works with a log, and no journal of an earlier kind was left beside it."""
    with path.open("rb") as file:
        head = file.read(20)
    return head[18:19] == b"\x02" and not path.with_name(f"{path.name}-journal").exists()


def copy_base(source: Path, target: Path, check: bool = False, untouched: bool = False) -> None:
    """Write a copy of the base at `source`, as it stands at one moment, to the new file `target` (0600).

    Safe while others write. The name appears once the copy is whole and on the disk. `check`: a copy in which SQLite
    finds damage is none. `untouched`: `source` is somebody else's, see open_untouched. Raises BaseUnusable,
    FileExistsError, OSError; a target that could not be finished is removed.
    """
    with readable_errors(source), backups.finished_copy(target) as part:
        reading = open_untouched(source) if untouched else open_file(source)[0]
        with closing(reading) as reader, closing(sqlite3.connect(part)) as writer:
            writer.execute("PRAGMA journal_mode = OFF")  # what is not finished is thrown away
            writer.execute("PRAGMA synchronous = OFF")  # and what is, is brought to the disk at once
            reader.backup(writer)
            writer.execute("PRAGMA journal_mode = DELETE")
            # Not quick_check: SQLite 3.40 takes each row of a WITHOUT ROWID table like `tags` for damaged in it.
            found = writer.execute("PRAGMA integrity_check(1)").fetchone()[0] if check else "ok"
        if found != "ok":
            raise BaseUnusable(
                _("base {path} is damaged ({error}); {way_back}").format(
                    path=source, error=" ".join(found.split()), way_back=base_file.way_back(source)
                )
            )
