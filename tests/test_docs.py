"""The documentation says what there is: every command, option, setting and variable, and nothing that is not."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import cast

import pytest
from prompt_toolkit.key_binding import KeyBindings
from test_imports import LAYERS

from rekall.config import SETTINGS
from rekall.manual import help_text
from rekall.picker_keys import keys_of
from rekall.picking import Picking
from rekall.repl import Repl
from rekall.usage import COMMANDS, TOPICS

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
    for source in (REPOSITORY / "ext").glob("*.c"):
        read |= set(re.findall(r"\"(REKALL_[A-Z_]*[A-Z])\"", source.read_text(encoding="utf-8")))
    assert read == set(re.findall(r"`(REKALL_[A-Z_]+)`", page()))
    assert {name for name in read if name not in help_text("environment")} == set()


# --- keys ---

# How the documentation writes the keys of prompt_toolkit.
_WRITTEN = {"up": "↑", "down": "↓", "pageup": "PgUp", "pagedown": "PgDn", "c-m": "Enter", "c-i": "Tab", "escape": "Esc"}


def written(keys: tuple[str, ...]) -> str:
    """Return a key, or Esc and another, as the documentation has it: `Ctrl-P`, `Alt-↑`."""
    if len(keys) == 2:
        assert keys[0] == "escape"
        return f"Alt-{written(keys[1:])}"
    (key,) = keys
    if key in _WRITTEN:
        return _WRITTEN[key]
    modifier, dash, rest = key.partition("-")
    if dash and modifier in ("c", "s"):
        return {"c": "Ctrl", "s": "Shift"}[modifier] + "-" + _WRITTEN.get(rest, rest.capitalize())
    return key.capitalize()


def bound(bindings: KeyBindings) -> set[str]:
    found = {tuple(str(getattr(key, "value", key)) for key in binding.keys) for binding in bindings.bindings}
    return {written(keys) for keys in found if not keys[0].isdecimal() and keys != ("<bracketed-paste>",)}


def names(text: str, key: str) -> bool:
    return bool(re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", text))


def test_every_key_of_the_picker_is_documented() -> None:
    keys = bound(keys_of(cast(Picking, None)))  # what a key does is not asked
    assert {"Ctrl-Y", "Alt-P", "Shift-↑", "Enter"} <= keys
    for text in ((REPOSITORY / "docs" / "picker.md").read_text(encoding="utf-8"), help_text("keys")):
        assert {key for key in keys if not names(text, key)} == set()


def test_every_key_of_the_repl_is_documented() -> None:
    keys = bound(Repl._keys(cast(Repl, None)))
    assert {"F2", "F4", "Alt-Enter"} <= keys
    for text in ((REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8"), help_text("keys")):
        assert {key for key in keys if not names(text, key)} == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_key_of_a_shell_is_documented(shell: str) -> None:
    script = (REPOSITORY / "shell" / f"rekall.{shell}").read_text(encoding="utf-8")
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("#"))
    keys = set(re.findall(r"\b(?:alt|ctrl)-(?:shift-)?[a-z]\b", code))
    assert keys == {"alt-k", "alt-shift-k", "ctrl-g"}
    for text in ((REPOSITORY / "docs" / "shell.md").read_text(encoding="utf-8"), help_text("shell")):
        assert {key for key in keys if not names(text, "-".join(part.capitalize() for part in key.split("-")))} == set()


def test_every_key_of_vim_is_documented() -> None:
    vim = REPOSITORY / "shell" / "vim"
    plugin = (vim / "plugin" / "rekall.vim").read_text(encoding="utf-8")
    finder = (vim / "autoload" / "rekall" / "view.vim").read_text(encoding="utf-8")
    reference = (vim / "doc" / "rekall.txt").read_text(encoding="utf-8")
    leaders, plugs = set(re.findall(r"<Leader>\w+", plugin)), set(re.findall(r"\(rekall-\w+\)", plugin))
    assert len(leaders) == 4 and len(plugs) == 5
    for text in (reference, (REPOSITORY / "docs" / "vim.md").read_text(encoding="utf-8"), help_text("vim", 100)):
        assert {key for key in leaders | plugs if key not in text} == set()
    keys = set(re.findall(r"'(<[A-Za-z-]+>)': '", finder))
    assert {"<CR>", "<C-Y>", "<Tab>"} <= keys
    assert {key for key in keys - {"<CR>"} if key not in reference} == set()


def test_no_page_names_a_file_that_is_not_there() -> None:
    for document in [*REPOSITORY.glob("README*.md"), *sorted((REPOSITORY / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} → {target}"


def test_the_task_list_names_files_and_tests_that_are_there() -> None:
    rows = (REPOSITORY / "docs" / "tasks.md").read_text(encoding="utf-8")
    numbers = {int(number) for number in re.findall(r"\bT(\d{3})\b", rows.partition("|---|")[2])}
    assert numbers == set(range(1, 38))
    for path, _colons, test in re.findall(r"`((?:rekall|tests|ext|docs)/[\w./-]+)(::)?(test_\w+)?`", rows):
        assert (REPOSITORY / path).exists(), path
        assert not test or f"def {test}(" in (REPOSITORY / path).read_text(encoding="utf-8"), test


def test_no_page_names_a_test_that_is_not_there() -> None:
    for document in [*REPOSITORY.glob("README*.md"), *sorted((REPOSITORY / "docs").rglob("*.md"))]:
        for name in re.findall(r"\btest_\w+\.py\b", document.read_text(encoding="utf-8")):
            assert (REPOSITORY / "tests" / name).exists(), f"{document.name} → {name}"


def test_the_design_has_every_module_in_its_layer() -> None:
    table = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8").partition("```\n")[2].partition("```")[0]
    shown = dict(enumerate(re.split(r"^layer \d, ", table.partition("ext/ ")[0], flags=re.MULTILINE)[1:]))
    for number, modules in enumerate(LAYERS):
        for name in {module.removeprefix("commands.") for module in modules.split()} - {"rekall", "__main__"}:
            assert re.search(rf"\b{name}\b", shown[number]), f"{name} in layer {number}"


def test_the_list_of_decisions_is_whole() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    listed = set(re.findall(r"\]\((\d\d\d-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in folder.glob("[0-9]*.md")}


def test_the_page_on_commands_names_every_topic() -> None:
    row = next(line for line in page().splitlines() if line.startswith("| `help "))
    assert set(TOPICS) <= set(re.findall(r"\w+", row))
