"""Every way rekall tells a user that something went wrong.

An error names the thing, what was found, and the next step, in one line. The door prints it on
stderr and exits with `status`; nobody but a developer of rekall should ever see a traceback.
"""

from __future__ import annotations

FOUND = 0
NOTHING_FOUND = 1
ERROR = 2
CANCELLED = 130


class RekallError(Exception):
    """A failure the user can act on. The message is one line and ends with the next step."""

    status = ERROR


class UsageError(RekallError):
    """The command line, a setting or a query could not be understood."""


class Cancelled(RekallError):
    """The caller has gone, or does not want the answer any more."""

    status = CANCELLED


class EntryNotFound(RekallError):
    """No entry has this id, or a shortened id fits several."""


class NothingToUndo(RekallError):
    """Nothing was done yet, or all of it is taken back, or no deed has this number."""

    status = NOTHING_FOUND


class UndoRefused(RekallError):
    """Taking back a deed would lose what was changed after it."""


class InvalidEntry(RekallError):
    """A field of an entry does not hold what it must."""


class BaseRefused(RekallError):
    """The file is no base of ours, or of a newer rekall; it was not touched."""


class BaseUnusable(RekallError):
    """The base cannot be read or written now: locked, read-only, full or damaged."""


class ModelUnavailable(RekallError):
    """The embedding model cannot be loaded or run; words still work."""


class BackendUnavailable(RekallError):
    """The vector backend that is asked for cannot run here."""


class InvalidVector(RekallError):
    """A vector has the wrong number of dimensions, is zero, or is not finite."""
