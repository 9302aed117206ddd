"""What a command line may be, as tables: words in, options out."""

from __future__ import annotations

from typing import Any  # values of options

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.command_line import parse
from rekall.entry import RELATIONS, TYPES
from rekall.errors import RekallError, UsageError
from rekall.language import speaking
from rekall.manual import help_text, overview
from rekall.usage import COMMANDS, TOPICS, find_command


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {"command": ""}),
        ("--db x", {"command": "", "db": "x"}),
        ("-h", {"command": "help", "topic": None}),
        ("--help", {"command": "help", "topic": None}),
        ("search --help x", {"command": "help", "topic": "search"}),
        ("--version", {"command": "--version"}),
        ("help", {"command": "help", "topic": None}),
        ("help add", {"command": "help", "topic": "add"}),
        ("search", {"query": [], "limit": 10, "arm": "both", "format": "text", "type": [], "literal": False}),
        ("search a b", {"query": ["a", "b"]}),
        ("search -n 3 a --words b --json", {"query": ["a", "b"], "limit": 3, "arm": "words", "format": "json"}),
        ("search a -n5 --semantic -0", {"limit": 5, "arm": "meaning", "format": "nul"}),
        ("search a --limit=5 --explain --no-context", {"limit": 5, "explain": True, "no_context": True}),
        ("search a -t bug --type til --tag x -p p", {"type": ["bug", "til"], "tag": ["x"], "project": ["p"]}),
        ("search a --since 30d --until 2026-01-01", {"since": "30d", "until": "2026-01-01"}),
        ("search -", {"query": ["-"], "literal": False}),
        ("search - --each-line", {"query": ["-"], "each_line": True}),
        ("search -- -", {"query": ["-"], "literal": True}),
        ("search a -- --json -- b", {"query": ["a", "--json", "--", "b"], "format": "text", "literal": True}),
        ("pick", {"query": [], "what": "answer", "height": "40%", "nul": False}),
        ("pick a --print json --height 12 -0 b", {"query": ["a", "b"], "what": "json", "height": "12", "nul": True}),
        ("pick --full -- --print", {"query": ["--print"], "height": "100%"}),
        ("search a --db x", {"db": "x", "query": ["a"]}),
        ("--db=x search a", {"db": "x"}),
        ("--global search a", {"skip_project": True}),
        ("search a --global", {"skip_project": True, "query": ["a"]}),
        ("add til a b", {"type": "til", "title": ["a", "b"], "tags": None, "content": None, "edit": False}),
        ("add -t x,y til a -p p b -c -", {"title": ["a", "b"], "tags": "x,y", "project": "p", "content": "-"}),
        ("add til -- -a", {"title": ["-a"], "literal": True}),
        ("add bug a --error E1 --error E2 --file f", {"error": ["E1", "E2"], "file": ["f"]}),
        ("add til a --situation s --solution t", {"situation": "s", "solution": "t", "what_failed": None}),
        ("add til a --what-failed w --source u --edit", {"what_failed": "w", "source": "u", "edit": True}),
        ("edit ID --title x --type bug --status obsolete", {"new_title": "x", "type": "bug", "status": "obsolete"}),
        ("tag ID +a -b", {"id": "ID", "changes": ["+a", "-b"]}),
        ("tag ID", {"id": "ID", "changes": []}),
        ("link A B", {"source": "A", "target": "B", "relation": "related", "reason": None}),
        ("link A -r supersedes B --reason why", {"relation": "supersedes", "reason": "why"}),
        ("unlink A B", {"relation": None}),
        ("list", {"limit": None, "status": None}),
        ("list --status obsolete -n 2", {"limit": 2, "status": "obsolete"}),
        ("import p --no-wait", {"path": "p", "no_wait": True}),
        ("export", {"output": None, "format": "jsonl"}),
        ("export -o f --format markdown", {"output": "f", "format": "markdown"}),
        ("index rebuild --embed", {"action": "rebuild", "embed": True}),
        ("index verify --json", {"action": "verify", "json": True}),
        ("stats --memory --json", {"memory": True, "json": True}),
        ("config get k", {"action": "get", "key": "k", "value": None}),
        ("config set k v", {"action": "set", "key": "k", "value": "v"}),
        ("backup -o f", {"output": "f"}),
    ],
)  # fmt: skip
def test_a_line_is_taken_apart(line: str, expected: dict[str, Any]) -> None:
    options = vars(parse(line.split()))
    assert {name: options[name] for name in expected} == expected


@pytest.mark.parametrize(
    "line",
    [
        "serach", "--nonsense", "-- x", "--db", "search --db=", "search --json --tsv", "search --words --semantic",
        "search -n", "search -n 0", "search -n -1", "search -n 1.5", "search -n x", "search --nonsense", "search --jso",
        "add", "add nonsense title", "add til a --nonsense", "show", "show a b", "link a", "link a b -r friend",
        "index", "index mend", "config", "config drop", "export --format xml", "list --status gone", "list -- x",
        "import", "link a b c",
    ],
)  # fmt: skip
def test_a_line_that_is_not_understood_names_the_next_step(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line.split())
    message = str(caught.value)
    assert "\n" not in message and ("rekall " in message or "did you mean" in message or "--db" in message)


WORDS = st.sampled_from(["--", "-", "--db", "search", "add", "til", "tag", "-n", "-c", "--json", "-0"])


@given(st.lists(st.one_of(WORDS, st.text(max_size=6)), max_size=6))
def test_no_line_raises_anything_else(words: list[str]) -> None:
    try:
        options = parse(words)
    except RekallError as error:
        assert error.status == 2
    else:
        assert options.command in {"", "--version", *(command.name for command in COMMANDS)}


@pytest.mark.parametrize(
    ("typo", "near"), [("serach", "search"), ("lits", "list"), ("improt", "import"), ("ad", "add")]
)
def test_a_typo_is_answered_with_the_command_meant(typo: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {near}"):
        find_command(typo)


@pytest.mark.parametrize(("other", "ours"), [("rm", "delete"), ("find", "search"), ("ls", "list"), ("new", "add")])
def test_the_name_that_another_program_has_is_answered_with_ours(other: str, ours: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {ours}"):
        find_command(other)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("search x --jsn", "option --jsn is not known; did you mean --json?"),
        ("search x --wrods", "option --wrods is not known; did you mean --words?"),
        ("search x --limti=3", "option --limti is not known; did you mean --limit?"),
        ("show --jsno", "option --jsno is not known; did you mean --json?"),  # before: the id is missing
        ("search x --no-serverr", "option --no-serverr is not known; did you mean --no-server?"),
        ("--versoin", "option --versoin is not known; did you mean --version?"),
        ("--hlep", "option --hlep is not known; did you mean --help?"),
        ("list --colour red", "option --colour is not known; see: rekall help list"),
        ("list -x", "option -x is not known; see: rekall help list"),
        ("--frobnicate", "option --frobnicate is not known; see: rekall help search"),
        ("--words undo", "no command before --words; see: rekall help"),
        ("add bgu title", "'bgu' is none of: bug pattern decision pitfall config reference snippet til; did you mean bug?"),
        ("add thought title", "'thought' is none of: bug pattern decision pitfall config reference snippet til; see: rekall help add"),
        ("index verfy", "'verfy' is none of: rebuild status verify; did you mean verify?"),
        ("init bsh", "'bsh' is none of: bash zsh fish vim; did you mean bash?"),
        ("link a b -r friend", "-r/--relation: 'friend' is none of: related supersedes derived_from contradicts; see: rekall help link"),
        ("show", "missing: ID; see: rekall help show"),
        ("index", "missing: rebuild|status|verify; see: rekall help index"),
        ("show a b", "'b' is one word too many; see: rekall help show"),
        ("search -n", "-n/--limit needs a value; see: rekall help search"),
        ("search -n x", "-n/--limit: a number from 1 is wanted, found 'x'; see: rekall help search"),
        ("search --json --tsv", "--tsv excludes --json; see: rekall help search"),
        ("search x --json=y", "--json takes no value; see: rekall help search"),
        ("query", "command 'query' is not known; to read about it: rekall help query"),
    ],
)  # fmt: skip
def test_what_was_mistyped_is_named_with_what_was_meant(line: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line.split())
    assert str(caught.value) == said


FRENCH = {"LC_ALL": "fr_FR.UTF-8"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("search x --jsn", "l’option --jsn est inconnue\xa0; s’agit-il de --json\xa0?"),
        ("show", "il manque ID\xa0; voir\xa0: rekall help show"),
        ("search -n", "-n/--limit attend une valeur\xa0; voir\xa0: rekall help search"),
        ("search --json --tsv", "--tsv exclut --json\xa0; voir\xa0: rekall help search"),
        ("search x --json=y", "--json ne prend pas de valeur\xa0; voir\xa0: rekall help search"),
        ("show a b", "'b' est un mot de trop\xa0; voir\xa0: rekall help show"),
        ("index verfy", "'verfy' n’est pas parmi\xa0: rebuild status verify\xa0; s’agit-il de verify\xa0?"),
    ],
)
def test_what_is_not_understood_is_said_in_french(line: str, said: str) -> None:
    with speaking(FRENCH), pytest.raises(UsageError) as caught:
        parse(line.split())
    assert str(caught.value) == said


def test_a_value_or_text_may_look_like_an_option() -> None:
    assert parse(["add", "til", "--no-verify skips hooks"]).title == ["--no-verify skips hooks"]
    assert parse(["add", "til", "x", "--solution=--no-verify"]).solution == "--no-verify"
    assert parse(["search", "--", "--jsn"]).query == ["--jsn"]


@pytest.mark.parametrize("env", [{}, FRENCH], ids=["English", "French"])
def test_the_help_is_one_screen_that_names_every_command_and_topic(env: dict[str, str]) -> None:
    with speaking(env):
        lines = overview().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    shown = {word for line in lines for word in (line[2:13].strip(), line[41:52].strip())}
    assert {command.name for command in COMMANDS if not command.is_hidden} <= shown
    assert set(TOPICS) <= set(" ".join(lines).split())


def test_every_command_is_explained() -> None:
    for command in COMMANDS:
        text = help_text(command.name)
        assert text.startswith(f"rekall {command.name} – {command.summary}\n")
        assert f"rekall {command.name}" in text.splitlines()[1]
    assert all(name in help_text("add") for name in TYPES)
    assert all(name in help_text("link") for name in RELATIONS)


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("qeury", "there is no help on 'qeury'; did you mean query?"),
        ("serach", "there is no help on 'serach'; did you mean search?"),
        ("rm", "there is no help on 'rm'; did you mean delete?"),
        ("xyzzy", "there is no help on 'xyzzy'; rekall help lists what there is"),
    ],
)
def test_a_mistyped_topic_is_answered_with_the_one_meant(topic: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        help_text(topic)
    assert str(caught.value) == said
