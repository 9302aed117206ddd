"""Where things are, and how rekall is set."""

from __future__ import annotations

import os
import pwd
import tomllib
from pathlib import Path

import pytest

from rekall.config import SETTINGS, Base, Config, config_path, find_base, home, parsed, setting_named, write_setting
from rekall.errors import UsageError

Env = dict[str, str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where a configuration file may be; there is none yet."""
    return tmp_path / "rekall" / "config.toml"


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


# --- reading ---


def test_a_missing_file_gives_the_documented_defaults(file: Path):
    config = Config.load(file)
    assert {setting.key: config[setting.key] for setting in SETTINGS} == {
        "performance.cache_max_size": 1000,
        "performance.cache_ttl_seconds": 600,
        "performance.model_idle_timeout_minutes": 10,
        "performance.vector_backend": "auto",
        "embeddings.model": "all-MiniLM-L6-v2",
        "backup.keep": 5,
        "backup.max_megabytes": 1000,
        "history.keep_days": 365,
        "server.idle_timeout_minutes": 60,
    }
    assert not file.exists()
    assert not any(config.is_set(setting.key) for setting in SETTINGS)


@pytest.mark.parametrize(
    ("other", "key", "text", "value"),
    [
        ("cache_ttl", "performance.cache_ttl_seconds", "2.5", 2.5),
        ("model_timeout", "performance.model_idle_timeout_minutes", "0.05", 0.05),
        ("vector_index_backend", "performance.vector_backend", '"numpy"', "numpy"),
    ],
)
def test_a_setting_is_read_by_its_other_name(file: Path, other: str, key: str, text: str, value: float | str):
    config = Config.load(written(file, f"[performance]\n{other} = {text}\n"))
    assert config[key] == value
    assert config.is_set(key)
    assert setting_named(f"performance.{other}").key == key


@pytest.mark.parametrize(
    "lines", ["cache_ttl = 1\ncache_ttl_seconds = 2", "cache_ttl_seconds = 2\ncache_ttl = 1"], ids=["last", "first"]
)
def test_the_name_of_today_wins_over_the_other_wherever_it_stands(file: Path, lines: str):
    assert Config.load(written(file, f"[performance]\n{lines}\n"))["performance.cache_ttl_seconds"] == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[performance\n", "line 1"),
        ("[performance]\ncache_max_size = 'ten'\n", "performance.cache_max_size"),
        ("[performance]\ncache_max_size = 0\n", "performance.cache_max_size"),
        ("[performance]\ncache_max_size = 1.5\n", "performance.cache_max_size"),
        ("[performance]\ncache_max_size = true\n", "performance.cache_max_size"),
        ("[performance]\nmodel_timeout = -1\n", "performance.model_idle_timeout_minutes"),
        ("[performance]\nmodel_timeout = nan\n", "performance.model_idle_timeout_minutes"),
        ("[performance]\nvector_backend = 'faiss'\n", "auto kernel sqlite-vec numpy"),
        ("[embeddings]\nmodel = ''\n", "embeddings.model"),
    ],
)
def test_a_value_that_cannot_be_used_is_an_error_that_names_file_and_place(file: Path, text: str, named: str):
    with pytest.raises(UsageError) as caught:
        Config.load(written(file, text))
    assert str(file) in str(caught.value)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_an_error_that_names_the_file(file: Path):
    written(file, "").write_bytes(b"\xff\xfe[performance]")
    with pytest.raises(UsageError, match=r"config\.toml"):
        Config.load(file)


def test_a_folder_in_the_files_place_is_an_error_that_names_it(file: Path):
    file.mkdir(parents=True)
    with pytest.raises(UsageError, match=r"config\.toml"):
        Config.load(file)


def test_what_this_version_does_not_know_is_passed_over(file: Path):
    text = "top = 1\nperformance_x = 2\n[performance]\nspeed = 'ludicrous'\ncache_max_size = 7\n[a.b]\nc = 1\n"
    assert Config.load(written(file, text))["performance.cache_max_size"] == 7


# --- the command line's side ---


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("performance.model_idle_timeout_minutes", "0.05", 0.05),
        ("performance.model_idle_timeout_minutes", "3", 3),
        ("performance.cache_max_size", "5000", 5000),
        ("performance.vector_backend", "sqlite-vec", "sqlite-vec"),
        ("embeddings.model", "sentence-transformers/all-mpnet-base-v2", "sentence-transformers/all-mpnet-base-v2"),
    ],
)
def test_a_value_typed_is_the_value_read_back(file: Path, key: str, text: str, value: float | str):
    setting = setting_named(key)
    assert parsed(setting, text) == value
    write_setting(file, setting, parsed(setting, text))
    assert Config.load(file)[key] == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("performance.cache_max_size", "1.5"),
        ("performance.cache_max_size", "0"),
        ("performance.cache_max_size", "many"),
        ("performance.model_idle_timeout_minutes", "nan"),
        ("performance.model_idle_timeout_minutes", "inf"),
        ("performance.model_idle_timeout_minutes", "-1"),
        ("performance.vector_backend", "annoy"),
        ("embeddings.model", ""),
    ],
)
def test_a_value_typed_wrongly_is_refused_with_what_would_do(key: str, text: str):
    with pytest.raises(UsageError, match="takes"):
        parsed(setting_named(key), text)


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(UsageError, match=r"performance\.cache_max_size"):
        setting_named("performance.cache_maxsize")
    with pytest.raises(UsageError, match="config list"):
        setting_named("zzz")


# --- writing ---


def test_writing_leaves_comments_order_and_unknown_keys_alone(file: Path):
    text = "# mine\nfuture = [1,\n  2]\n\n[performance] # fast\nspeed = 'x'   # keep\ncache_max_size = 5 # few\n\n[z]\nq = 1\n"
    write_setting(written(file, text), setting_named("performance.cache_max_size"), 9)
    assert file.read_text() == text.replace("cache_max_size = 5", "cache_max_size = 9")


def test_writing_takes_the_other_name_out(file: Path):
    write_setting(written(file, "[performance]\ncache_ttl = 1\n"), setting_named("performance.cache_ttl_seconds"), 2)
    assert tomllib.loads(file.read_text()) == {"performance": {"cache_ttl_seconds": 2}}


def test_writing_keeps_the_line_ends_of_the_file(file: Path):
    write_setting(
        written(file, "# a\r\n[performance]\r\ncache_max_size = 5\r\n"), setting_named("performance.cache_max_size"), 9
    )
    assert file.read_bytes() == b"# a\r\n[performance]\r\ncache_max_size = 9\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "performance.cache_max_size = 5\n",
        "performance = { cache_max_size = 5 }\n",
        "[performance]\ncache_max_size = 5\n[server]\nidle_timeout_minutes = 1\n[performance.later]\nx = 1\n",
        "[performance.later]\nx = 1\n",
        "",
    ],
    ids=["dotted", "inline", "out of order", "only a subtable", "empty"],
)
def test_every_way_to_write_a_table_can_be_set(file: Path, text: str):
    write_setting(written(file, text), setting_named("performance.cache_max_size"), 9)
    before, after = tomllib.loads(text), tomllib.loads(file.read_text())
    assert after["performance"].pop("cache_max_size") == 9
    before.get("performance", {}).pop("cache_max_size", None)
    assert after == before | ({} if "performance" in before else {"performance": {}})


@pytest.mark.parametrize("text", ["[performance\n", "performance = 3\n"])
def test_writing_into_a_file_that_is_wrong_changes_nothing_and_says_so(file: Path, text: str):
    with pytest.raises(UsageError, match=r"config\.toml"):
        write_setting(written(file, text), setting_named("performance.cache_max_size"), 9)
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def test_writing_follows_a_link_to_where_the_file_really_is(file: Path, tmp_path: Path):
    real = written(tmp_path / "dotfiles" / "rekall.toml", "")
    file.parent.mkdir(parents=True)
    file.symlink_to(real)
    write_setting(file, setting_named("performance.cache_max_size"), 9)
    assert file.is_symlink()
    assert "cache_max_size = 9" in real.read_text()


# --- where things are ---


def test_home_is_the_password_databases_when_home_is_unset_or_relative():
    real = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert home({"HOME": "/x"}) == Path("/x")
    assert home({}) == home({"HOME": ""}) == home({"HOME": "relative"}) == real


@pytest.mark.parametrize(
    ("env", "path"),
    [
        ({"HOME": "/h"}, "/h/.config/rekall/config.toml"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}, "/c/rekall/config.toml"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": ""}, "/h/.config/rekall/config.toml"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "c"}, "/h/.config/rekall/config.toml"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/c", "REKALL_CONFIG": "/x.toml"}, "/x.toml"),
        ({"HOME": "/h", "REKALL_CONFIG": ""}, "/h/.config/rekall/config.toml"),
    ],
)
def test_where_the_configuration_is(env: Env, path: str):
    assert config_path(env) == Path(path)


@pytest.mark.parametrize(
    ("env", "option", "base"),
    [
        ({}, None, Base(Path("/h/.local/share/rekall/rekall.db"), "user")),
        ({"XDG_DATA_HOME": "/d"}, None, Base(Path("/d/rekall/rekall.db"), "user")),
        ({"XDG_DATA_HOME": ""}, None, Base(Path("/h/.local/share/rekall/rekall.db"), "user")),
        ({"XDG_DATA_HOME": "d"}, None, Base(Path("/h/.local/share/rekall/rekall.db"), "user")),
        ({"REKALL_DB": "/r.db"}, None, Base(Path("/r.db"), "environment")),
        ({"REKALL_DB": "r.db"}, None, Base(Path("/h/w/r.db"), "environment")),
        ({"REKALL_DB": ""}, None, Base(Path("/h/.local/share/rekall/rekall.db"), "user")),
        ({"REKALL_DB": "/r.db"}, "/o.db", Base(Path("/o.db"), "option")),
        ({}, "o.db", Base(Path("/h/w/o.db"), "option")),
    ],
)
def test_which_base_without_a_project(env: Env, option: str | None, base: Base):
    assert find_base(Path("/h/w"), {"HOME": "/h"} | env, option) == base


@pytest.fixture
def work(home: Env) -> Path:
    """Return a folder two levels below HOME, in a project one level below it."""
    deep = Path(home["HOME"]) / "work" / "deep"
    deep.mkdir(parents=True)
    (deep.parent / ".rekall").mkdir()
    return deep


def origin(cwd: Path, env: Env, **options: bool) -> str:
    return find_base(cwd, env, **options).origin


def test_a_project_folder_above_decides_and_nothing_is_created(home: Env, work: Path):
    assert find_base(work, home) == Base(work.parent / ".rekall" / "rekall.db", "project")
    assert list((work.parent / ".rekall").iterdir()) == []


def test_the_nearest_project_folder_decides(home: Env, work: Path):
    (work / ".rekall").mkdir()
    assert find_base(work, home).path == work / ".rekall" / "rekall.db"


def test_option_and_environment_go_before_the_project_and_global_skips_it(home: Env, work: Path):
    assert find_base(work, home, "x.db") == Base(work / "x.db", "option")
    assert origin(work, home | {"REKALL_DB": "/r.db"}) == "environment"
    assert origin(work, home, skip_project=True) == "user"


def test_a_project_folder_in_home_itself_or_outside_decides_nothing(home: Env, tmp_path: Path):
    for folder in (Path(home["HOME"]), tmp_path, tmp_path / "elsewhere"):
        (folder / ".rekall").mkdir(parents=True)
    (Path(home["HOME"]) / "work").mkdir()
    assert origin(Path(home["HOME"]), home) == "user"
    assert origin(Path(home["HOME"]) / "work", home) == "user"
    assert origin(tmp_path / "elsewhere", home) == "user"


def test_a_project_folder_of_somebody_else_decides_nothing(home: Env, work: Path, monkeypatch: pytest.MonkeyPatch):
    stranger = os.getuid() + 1  # a folder of another user's takes root to make
    monkeypatch.setattr(os, "getuid", lambda: stranger)
    assert origin(work, home) == "user"


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_a_file_of_that_name_decides_nothing(home: Env, work: Path, tmp_path: Path, kind: str):
    (work.parent / ".rekall").rmdir()
    (tmp_path / "target").mkdir()
    if kind == "link":
        (work.parent / ".rekall").symlink_to(tmp_path / "target")
    else:
        (work.parent / ".rekall").touch()
    assert origin(work, home) == "user"


def test_a_home_reached_through_a_link_is_the_same_home(home: Env, work: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(home["HOME"])
    assert origin(tmp_path / "link" / "work" / "deep", home) == "project"
    assert origin(work, home | {"HOME": str(tmp_path / "link")}) == "project"
