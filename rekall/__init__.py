"""rekall: a developer's own memory at the shell prompt, in one SQLite file."""

__version__ = "0.4.0.dev0"
