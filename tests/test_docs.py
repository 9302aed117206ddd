"""The documentation says what there is: every command, option, setting and variable, and nothing that is not."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from rekall.config import SETTINGS
from rekall.usage import COMMANDS

REPOSITORY = Path(__file__).parent.parent
COMMANDS_PAGE = REPOSITORY / "docs" / "commands.md"

pytestmark = pytest.mark.skipif(not COMMANDS_PAGE.exists(), reason="away from a checkout there are no docs")


def page() -> str:
    return COMMANDS_PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_and_option_is_documented(command) -> None:  # type: ignore[no-untyped-def]  # a Command
    parser = argparse.ArgumentParser(add_help=False)
    command.takes(parser)
    options = {option for action in parser._actions for option in action.option_strings}
    assert f"`{command.name}" in page()
    missing = {option for option in options if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", page())}
    assert missing == set()


def test_every_setting_is_documented_with_its_default_and_other_names() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.*)$", page(), re.MULTILINE))
    assert {setting.key for setting in SETTINGS} == {key for key in rows if "." in key}
    for setting in SETTINGS:
        default = f"{setting.default:g}" if isinstance(setting.default, float) else str(setting.default)
        assert rows[setting.key].startswith(f"{default} |"), setting.key
        assert all(f"`{name}`" in rows[setting.key] for name in setting.other_names), setting.key


def test_every_variable_that_is_read_is_documented_and_the_other_way_round() -> None:
    read: set[str] = set()
    for source in [*(REPOSITORY / "rekall").rglob("*.py"), *filter(Path.is_file, (REPOSITORY / "shell").rglob("*"))]:
        read |= set(re.findall(r"\bREKALL_[A-Z_]+\b", source.read_text(encoding="utf-8")))
    assert read == set(re.findall(r"`(REKALL_[A-Z_]+)`", page()))


def test_no_page_names_a_file_that_is_not_there() -> None:
    for document in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} → {target}"


def test_the_task_list_names_files_and_tests_that_are_there() -> None:
    rows = (REPOSITORY / "docs" / "tasks.md").read_text(encoding="utf-8")
    numbers = {int(number) for number in re.findall(r"\bT(\d{3})\b", rows.partition("|---|")[2])}
    assert numbers == set(range(1, 38))
    for path, _colons, test in re.findall(r"`((?:rekall|tests|ext|docs)/[\w./-]+)(::)?(test_\w+)?`", rows):
        assert (REPOSITORY / path).exists(), path
        assert not test or f"def {test}(" in (REPOSITORY / path).read_text(encoding="utf-8"), test
