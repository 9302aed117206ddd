"""Who may know whom: the layers of rekall/, read from its source with ast.

The table is the design (docs/design.md): imports run downwards, or sideways without a circle; those inside
functions and under TYPE_CHECKING count too. A new module takes its place here before it is merged.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SOURCES = sorted((REPOSITORY / "rekall").rglob("*.py"))

LAYERS = (
    "rekall errors entry config protocol query language typed_line options usage command_line manual completion frames "
    "places stdin_pipe memory "
    "redact prints secret_shapes secret_places printed error_marks error_lines fingerprint likeness parts shellinit context",
    "schema rows typos words vectors cache vec_table searchers kernel vector_index engine worker model_manager "
    "old_rekall history_schema mending migrations base_parts base_trust history versions error_table pick_table backups base_file db "
    "client",
    "verify duplicates repair restoring nearness ahead embeddings ranking use known_items sample_facts sample_entries evidence capture sources exchange exports states merging explain render",
    "commands commands.editor commands.answering commands.complete commands.find commands.keep commands.move "
    "commands.pick commands.pipe commands.room commands.safety commands.showing commands.tend commands.serve "
    "commands.bench commands.generate commands.back commands.merge",
    "cli __main__ door fzf rooms embedder socket_sink pool conversation server desk screens interactive sheet "
    "picker_view preview clipboard picking picker_keys picker repl repl_history repl_words",
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names.split()}
SQLITE = {"sqlite3", "_sqlite3", "pysqlite3", "sqlite_vec", "apsw"}
OUTSIDE = {
    "numpy",
    "prompt_toolkit",
    "pygments",
    "onnxruntime",
    "tokenizers",
    "sentence_transformers",
    "yaml",
    "tomlkit",
    "tqdm",
    *SQLITE,
}
# Third-party libraries, and where they are at home.
HOMES = {
    "numpy": {
        "vectors",
        "cache",
        "searchers",
        "kernel",
        "vector_index",
        "engine",
        "worker",
        "db",
        "verify",
        "nearness",
        "duplicates",
        "embeddings",
        "sample_entries",
    },
    "onnxruntime": {"engine"},
    "tokenizers": {"engine"},
    "sentence_transformers": {"engine"},
    "yaml": {"capture"},
    "tomlkit": {"config"},
    "tqdm": {"commands.move"},
    "prompt_toolkit": {"screens", "sheet", "picking", "picker_keys", "picker", "repl", "repl_history", "repl_words"},
    "pygments": {"preview"},
    **{library: {"db"} for library in SQLITE},
}


def name_of(path: Path) -> str:
    """Return a module's name below rekall: `db`, `commands.find`; `rekall` for the package itself."""
    parts = path.relative_to(REPOSITORY / "rekall").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "rekall"


def imports_of(path: Path) -> set[str]:
    """Return the full names of everything a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            assert name_of(path) in ("commands", "db", "rooms", "conversation"), (
                f"{path}: an import that this test cannot read"
            )
    return found


def ours(imported: str) -> str | None:
    """Return the module of rekall that an import names, or None: `rekall.db.Database` gives `db`."""
    if imported.split(".")[0] != "rekall":
        return None
    parts = imported.split(".")[1:]
    modules = {name_of(path) for path in SOURCES}
    while parts and ".".join(parts) not in modules:
        parts.pop()
    return ".".join(parts) or "rekall"


IMPORTS = {name_of(path): imports_of(path) for path in SOURCES}
KNOWS = {name: {module for x in found if (module := ours(x))} - {name} for name, found in IMPORTS.items()}


def test_every_module_has_its_place_in_the_table() -> None:
    assert set(IMPORTS) == set(LAYER_OF)


@pytest.mark.parametrize("name", sorted(IMPORTS))
def test_imports_run_downwards(name: str) -> None:
    assert {other for other in KNOWS[name] if LAYER_OF[other] > LAYER_OF[name]} == set()


def test_no_modules_know_each_other_in_a_circle() -> None:
    order = list(TopologicalSorter(KNOWS).static_order())
    assert set(order) >= set(IMPORTS)


@pytest.mark.parametrize("name", LAYERS[0].split())
def test_nouns_need_the_standard_library_only(name: str) -> None:
    outside = {x.split(".")[0] for x in IMPORTS[name]} - set(sys.stdlib_module_names) - {"rekall"}
    assert outside <= {"tomlkit"} if name == "config" else not outside  # tomlkit: to write a setting, when asked to
    assert not {x.split(".")[0] for x in IMPORTS[name]} & SQLITE


def test_one_module_alone_imports_an_sqlite_library() -> None:
    users = {name for name, found in IMPORTS.items() if {x.split(".")[0] for x in found} & SQLITE}
    assert users == {"db"}


def test_every_library_has_its_home() -> None:
    known = set(sys.stdlib_module_names) - SQLITE | {"rekall"}
    for name, found in IMPORTS.items():
        for library in {x.split(".")[0] for x in found} - known:
            assert name in HOMES.get(library, set()), f"{name} imports {library}"


def test_nothing_leads_out_of_the_package() -> None:
    for path in SOURCES:
        assert not {x.split(".")[0] for x in IMPORTS[name_of(path)]} & {"tests", "conftest", "ext", "shared", "demo"}
        assert "../shared" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import rekall.cli", OUTSIDE),
        ("from rekall.cli import main; main(['--help'])", OUTSIDE),
        ("from rekall.cli import main; main(['--db', '/no/base', 'list'])", OUTSIDE - SQLITE),
        ("from rekall.cli import main; main(['--db', '/no/base', 'search', '--words', 'x'])", OUTSIDE - SQLITE),
    ],
    ids=["import", "help", "list", "search by words"],
)  # fmt: skip
def test_what_is_not_needed_is_not_imported(code: str, absent: set[str]) -> None:
    script = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert {name.split(".")[0] for name in done.stderr.split()} & absent == set()
