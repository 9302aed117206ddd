"""Where things are and how rekall is set: the base, the configuration file, the settings.

Settings live in one TOML file. A key that this version does not know is kept; a value that cannot be
used is an error that names the file and the key, never a silent default.
"""

from __future__ import annotations

import difflib
import os
import pwd
import stat
import tempfile
import tomllib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # what a TOML file may hold

from rekall.entry import clean_text
from rekall.errors import UsageError
from rekall.language import _
from rekall.places import make_private

PROJECT_FOLDER = ".rekall"
BASE_NAME = "rekall.db"
OLDER_BASE_NAME = "knowledge.db"
DEFAULT_MODEL = "all-MiniLM-L6-v2"
BACKENDS = ("auto", "kernel", "sqlite-vec", "numpy")


@dataclass(frozen=True)
class Setting:
    """One key of the configuration: its default (whose type it must have), other names, limits."""

    key: str
    default: int | float | str
    meaning: str
    other_names: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    minimum: float = 0


SETTINGS = (
    Setting("performance.cache_max_size", 1000, "query and entry vectors kept in memory", minimum=1),
    Setting("performance.cache_ttl_seconds", 600.0, "seconds a cached vector is kept", ("cache_ttl",)),
    Setting(
        "performance.model_idle_timeout_minutes",
        10.0,
        "minutes without use until the model leaves memory",
        ("model_timeout",),
    ),
    Setting("performance.vector_backend", "auto", "what searches the vectors", ("vector_index_backend",), BACKENDS),
    Setting(
        "embeddings.model", DEFAULT_MODEL, "the embedding model; sentence-transformers/NAME takes the other engine"
    ),
    Setting(
        "backup.keep", 5, "backups made before an import, a merge, a restore or a repair that are kept; 0: none is made"
    ),
    Setting("backup.max_megabytes", 1000.0, "what they may take together; the newest of each kind stays"),
    Setting("history.keep_days", 365.0, "days that what was there before a change is kept; 0: for ever"),
    Setting("server.idle_timeout_minutes", 60.0, "minutes without a request until the warm process ends"),
)
_BY_KEY = {setting.key: setting for setting in SETTINGS}
_BY_OTHER_NAME = {
    f"{setting.key.rsplit('.', 1)[0]}.{name}": setting for setting in SETTINGS for name in setting.other_names
}


class Config:
    """The settings of one configuration file, read once.

    `config["performance.cache_max_size"]` is the value set, or the default. A missing file is an
    empty one.
    """

    def __init__(self, path: Path, values: Mapping[str, int | float | str]) -> None:
        self.path = path
        self._values = dict(values)

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read `path`. Raises UsageError naming the file, and the line or the key that is wrong."""
        return cls(path, dict(_known_values(_read_toml(path), path)))

    def __getitem__(self, key: str) -> int | float | str:
        return self._values.get(key, _BY_KEY[key].default)

    def number(self, key: str) -> float:
        """Return the value of a key that holds a number."""
        return float(self[key])

    def text(self, key: str) -> str:
        """Return the value of a key that holds a string."""
        return str(self[key])

    def same_as(self, other: Config) -> bool:
        """Tell whether both give every key the same value."""
        return self._values == other._values

    def is_set(self, key: str) -> bool:
        """Tell whether the file itself gives `key` a value."""
        return key in self._values


def setting_named(key: str) -> Setting:
    """Return the setting with this key or other name. Raises UsageError with the nearest key."""
    setting = _BY_KEY.get(key) or _BY_OTHER_NAME.get(key)
    if setting:
        return setting
    near = difflib.get_close_matches(key, _BY_KEY, n=1, cutoff=0.5)
    hint = _("did you mean {key}?").format(key=near[0]) if near else _("rekall config list shows all keys")
    raise UsageError(_("setting {key!r} is not known; {hint}").format(key=key, hint=hint))


def parsed(setting: Setting, text: str) -> int | float | str:
    """Return the value that `text`, from a command line, gives to `setting`. Raises UsageError."""
    value: int | float | str = text
    if clean_text(text) != text or not text.strip():  # bytes that are no UTF-8, or a NUL
        raise UsageError(_wrong_value(setting, clean_text(text)))
    if not isinstance(setting.default, str):
        try:
            number = float(text)
        except ValueError:
            raise UsageError(_wrong_value(setting, text)) from None
        value = int(number) if number.is_integer() else number
    return _fitting(setting, value)


def write_setting(path: Path, setting: Setting, value: int | float | str) -> None:
    """Set one key in the file and leave every other byte of it alone, comments included.

    The new file takes the old one's place in one step: a crash leaves either, never a part.
    """
    import tomlkit

    _read_toml(path)  # says what is wrong with the file, if it is
    document = tomlkit.parse(path.read_bytes().decode("utf-8") if path.exists() else "")
    section, name = setting.key.rsplit(".", 1)
    table = document.setdefault(section, tomlkit.table())
    if not isinstance(table, MutableMapping):
        raise UsageError(_("{path}: {key} is not a table; mend the file by hand").format(path=path, key=section))
    for other in setting.other_names:
        table.pop(other, None)
    table[name] = value
    try:
        _replace_file(path, tomlkit.dumps(document))
    except OSError as error:
        raise UsageError(_("{path} cannot be written: {reason}").format(path=path, reason=error.strerror)) from None


def _replace_file(path: Path, text: str) -> None:
    path = Path(os.path.realpath(path))  # a link stays a link
    make_private(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".config-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))  # a bare CR is no line end in TOML
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise UsageError(
            _("{path} is not valid TOML ({error}); mend or remove it").format(path=path, error=error)
        ) from None
    except OSError as error:
        raise UsageError(_("{path} cannot be read: {error}").format(path=path, error=error.strerror)) from None


def _known_values(document: dict[str, Any], path: Path) -> dict[str, int | float | str]:
    values: dict[str, int | float | str] = {}
    for section, table in document.items():
        for name, value in table.items() if isinstance(table, dict) else ():
            key = f"{section}.{name}"
            setting = _BY_KEY.get(key) or _BY_OTHER_NAME.get(key)
            if setting and (key in _BY_KEY or setting.key not in values):
                try:
                    values[setting.key] = _fitting(setting, value)
                except UsageError as error:
                    raise UsageError(f"{path}: {error}") from None
    return values


def _fitting(setting: Setting, value: Any) -> int | float | str:
    """Return `value` if `setting` may hold it. Raises UsageError otherwise."""
    if isinstance(setting.default, str):
        fits = isinstance(value, str) and bool(value) and (not setting.choices or value in setting.choices)
    else:
        whole = isinstance(setting.default, int)
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        fits = fits and abs(value) < 1e15 and value >= setting.minimum  # a NaN compares as false
    if not fits:
        raise UsageError(_wrong_value(setting, value))
    return value  # type: ignore[no-any-return]  # its kind was checked just above


def _wrong_value(setting: Setting, value: Any) -> str:
    if setting.choices:
        wanted = _("one of: {choices}").format(choices=" ".join(setting.choices))
    elif isinstance(setting.default, str):
        wanted = _("a name")
    elif isinstance(setting.default, int):
        wanted = _("a whole number from {minimum:g}").format(minimum=setting.minimum)
    else:
        wanted = _("a number from {minimum:g}").format(minimum=setting.minimum)
    return _("setting {key} takes {wanted}; found {value!r}").format(key=setting.key, wanted=wanted, value=value)


def home(env: Mapping[str, str]) -> Path:
    """Return the user's home: $HOME if it is absolute, else the one in the password database."""
    named = env.get("HOME", "")
    if os.path.isabs(named):
        return Path(named)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise UsageError(
            _("HOME is not set and user {uid} has no home; set HOME or pass --db").format(uid=os.getuid())
        ) from None


def config_path(env: Mapping[str, str]) -> Path:
    """Return the configuration file: REKALL_CONFIG, else rekall/config.toml in XDG_CONFIG_HOME."""
    if env.get("REKALL_CONFIG"):
        return Path(env["REKALL_CONFIG"])
    return _xdg(env, "XDG_CONFIG_HOME", ".config") / "rekall" / "config.toml"


@dataclass(frozen=True)
class Base:
    """Which file holds the entries, and why that one was chosen."""

    path: Path
    origin: str  # option, environment, project or user


def find_base(cwd: Path, env: Mapping[str, str], option: str | None = None, skip_project: bool = False) -> Base:
    """Return the base a command works on: --db, REKALL_DB, the project's, the user's, in that order.

    The project's is the nearest `.rekall` folder of the working directory or a parent, below the
    home directory and owned by the user, so that a folder in /tmp or of somebody else decides
    nothing. Nothing is created.
    """
    if option:
        return Base(cwd / option, "option")
    if env.get("REKALL_DB"):
        return Base(cwd / env["REKALL_DB"], "environment")
    project = None if skip_project else _project_folder(cwd, home(env))
    if project:
        return Base(project / BASE_NAME, "project")
    return Base(data_folder(env) / BASE_NAME, "user")


def data_folder(env: Mapping[str, str]) -> Path:
    """Return the folder of the user's base: rekall/ in XDG_DATA_HOME."""
    return _xdg(env, "XDG_DATA_HOME", ".local/share") / "rekall"


def state_folder(env: Mapping[str, str]) -> Path:
    """Return the folder of what is worth keeping but no data: rekall/ in XDG_STATE_HOME."""
    return _xdg(env, "XDG_STATE_HOME", ".local/state") / "rekall"


def _xdg(env: Mapping[str, str], name: str, default: str) -> Path:
    """Return an XDG base folder. The specification says that relative paths are to be ignored."""
    return Path(env[name]) if os.path.isabs(env.get(name, "")) else home(env) / default


def _project_folder(cwd: Path, top: Path) -> Path | None:
    here, top = Path(os.path.realpath(cwd)), Path(os.path.realpath(top))
    if top not in here.parents:
        return None
    for folder in (here, *here.parents):
        if folder == top:
            return None
        candidate = folder / PROJECT_FOLDER
        try:
            status = candidate.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
            return candidate
    return None
