"""The engines that turn text into vectors: the embedded MiniLM, and sentence-transformers.

Both cut long texts the same way, by tokens, so that no token of a long entry is lost to search, and
both return float32 rows of unit length. An engine is a resource: about 100 MB while it lives. Nothing
here is imported before a vector is needed.
"""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any  # Any: untyped libraries

from rekall.config import DEFAULT_MODEL
from rekall.errors import ModelUnavailable
from rekall.language import _
from rekall.parts import parts, shared

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from rekall.vectors import Matrix

SENTENCE_TRANSFORMERS = "sentence-transformers/"

# How passages are cut and put together. Another recipe makes other vectors: raise it with any change.
RECIPE = "2"

# At most this many tokens of the title stand at the head of each passage, to say what it is about.
TITLE_TOKENS = 48

# The graph's other output: what each token means, before the mean is taken.
TOKENS = "5.out"

# Characters that are cut into passages at once.
SLICE = 50_000

# Of a longer text the beginning is embedded, a thousand passages or half a minute's work; words find all of it.
LONGEST_EMBEDDED = 1_000_000

# Where a passage may end, best first: a blank line, a line end, a sentence, a blank.
_BREAKS = tuple(re.compile(pattern) for pattern in (r"\n\s*\n", r"\n", r"[.!?;:]\s", r"\s"))


class Engine(ABC):
    """One loaded embedding model."""

    name: str
    dimensions: int
    max_tokens: int
    pid: int | None = None  # of the process it has to itself
    _is_closed = False

    @property
    def is_alive(self) -> bool:
        """False: it can answer no more, and another is to be loaded."""
        return not self._is_closed

    def close(self) -> None:
        """Let go of what garbage collection does not. The engine answers no more."""
        self._is_closed = True

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors (n, d) of `texts`, each cut at max_tokens. Cost: see ext/minilm/README.md."""

    @abstractmethod
    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) in characters of each token of `text`, special tokens left out."""

    def encode_passage(self, text: str, begin: int) -> Matrix:
        """Return the vectors (p, d) of one passage, p ≥ 1: one for each part behind `begin`, where that is possible."""
        return self.encode([text])

    def encode_document(self, title: str, body: str) -> Matrix:
        """Return the vectors (p, d) of a document's passages, in order; p ≥ 1."""
        import numpy as np

        return np.concatenate([self.encode_passage(text, begin) for text, begin in _headed(self, title, body)])


def passages(engine: Engine, title: str, body: str) -> list[str]:
    """Cut a document into texts that fit the model's window, each under the title.

    The pieces of the body join to the whole body (LONGEST_EMBEDDED of it): every token stands in exactly one
    passage. A piece ends at a blank line where there is one in its second half, else at the best break there.
    """
    return [text for text, _begin in _headed(engine, title, body)]


def _headed(engine: Engine, title: str, body: str) -> list[tuple[str, int]]:
    """Return the passages, and where in each the piece under the title begins."""
    heading = title[: _end_of(engine.offsets(title)[:TITLE_TOKENS])]
    room = engine.max_tokens - 2 - len(engine.offsets(heading)) - 1  # two special tokens, one to spare
    pieces = _pieces(engine, body[:LONGEST_EMBEDDED], room)
    rest = title[len(heading) : LONGEST_EMBEDDED].strip()
    if rest and not body.startswith(title):
        pieces += _pieces(engine, rest, room)
    begin = len(heading) + 1
    texts = [(f"{heading}\n{piece}", begin) for piece in pieces] or [(heading, 0)]
    if body.startswith(title):  # an entry that was given no title has its first line as one: it is not said twice
        texts[0] = (texts[0][0][begin:], 0) if pieces else texts[0]
    return texts


def _pieces(engine: Engine, text: str, room: int) -> list[str]:
    """Cut `text` into pieces of at most `room` tokens that join to the whole of it.

    A long text goes through the tokenizer a slice at a time: its offsets take a hundred times its size.
    """
    pieces: list[str] = []
    start = 0
    while len(text) - start > SLICE:
        end = _break_before(text, start + SLICE // 2, start + SLICE)
        pieces += _pieces_of_slice(engine, text[start:end], room)
        start = end
    return pieces + _pieces_of_slice(engine, text[start:], room)


def _pieces_of_slice(engine: Engine, text: str, room: int) -> list[str]:
    spans = engine.offsets(text)
    pieces: list[str] = []
    start = first = 0
    while first < len(spans):
        after = first + room
        if after >= len(spans):
            pieces.append(text[start:])
            break
        end = _break_before(text, spans[first + room // 2][0], spans[after][0])
        pieces.append(text[start:end])
        start = end
        first = next(i for i in range(first + 1, after + 1) if spans[i][0] >= end)
    return [piece for piece in pieces if piece.strip()]


def _break_before(text: str, lowest: int, highest: int) -> int:
    """Return where to cut between the two places: behind the last of the best kind of break, else at `highest`."""
    for pattern in _BREAKS:
        ends = [match.end() for match in pattern.finditer(text, lowest, highest)]
        if ends:
            return ends[-1]
    return highest


def _end_of(spans: list[tuple[int, int]]) -> int:
    return spans[-1][1] if spans else 0


class MiniLM(Engine):
    """all-MiniLM-L6-v2 as an int8 ONNX graph, run by onnxruntime on one thread.

    The weights are memory-mapped; without the memory arena, and one text a run, the process stays
    near 100 MB for the same speed. Settings and figures: ext/minilm/README.md.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            self._tokenizer = _tokenizer(folder / "tokenizer.json")
            self._session = _session(folder / "minilm.onnx", threads)
        except Exception as error:  # each library raises kinds of its own
            raise ModelUnavailable(
                _("model {name} cannot be loaded ({error}); words still work: --words").format(
                    name=DEFAULT_MODEL, error=error
                )
            ) from error
        self.name = DEFAULT_MODEL
        self.dimensions = int(manifest["dimensions"])
        self.max_tokens = int(manifest["max_tokens"])

    def encode(self, texts: Sequence[str]) -> Matrix:
        import numpy as np

        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            ids = np.array([_first(self._tokenizer.encode(text).ids, self.max_tokens)], dtype=np.int64)
            rows[row] = self._run(["embedding"], ids)[0][0]
        return rows

    def encode_passage(self, text: str, begin: int) -> Matrix:
        """Return a vector for each part of a passage, of what its tokens mean in the whole of it.

        The passage goes through the model once; the mean of a part's tokens is its vector, as the mean of all is
        the passage's. So parts cost nothing but their room, and each knows the title and its neighbours.
        """
        import numpy as np

        encoded = self._tokenizer.encode(text)
        offsets = encoded.offsets[1:-1]  # without the special tokens
        spans = shared(parts(text, begin), offsets)
        if len(spans) < 2 or len(encoded.ids) > self.max_tokens:
            return self.encode([text])
        tokens = self._run([TOKENS], np.array([encoded.ids], dtype=np.int64))[0][0]
        starts = [start for start, _end in offsets]
        places = [1 + bisect_left(starts, start) for start, _end in spans]
        ends = [*places[1:], 1 + bisect_left(starts, spans[-1][1])]
        rows = np.stack([tokens[first:end].mean(axis=0) for first, end in zip(places, ends, strict=True)])
        unit: Matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def _run(self, outputs: list[str], ids: Any) -> Any:
        import numpy as np

        return self._session.run(outputs, {"input_ids": ids, "attention_mask": np.ones_like(ids)})

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)


def _first(ids: list[int], count: int) -> list[int]:
    """Cut a token list to `count`, its closing special token kept."""
    return ids if len(ids) <= count else [*ids[: count - 1], ids[-1]]


def _tokenizer(path: Path) -> Tokenizer:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _session(path: Path, threads: int) -> Any:
    # Nothing leaves the machine: set before the import, for the library writes its event files as it loads.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)  # errors only: stderr belongs to people
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class SentenceTransformer(Engine):
    """Any model of the sentence-transformers library, by its name or the path of its folder."""

    def __init__(self, name: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer as Loaded
        except ImportError as error:
            raise ModelUnavailable(
                _(
                    "model {name} needs the extra sentence-transformers; "
                    "install rekall-notes[sentence-transformers] or run: rekall config set embeddings.model {default}"
                ).format(name=name, default=DEFAULT_MODEL)
            ) from error
        self._model: Any = _offline_first(Loaded, name.removeprefix(SENTENCE_TRANSFORMERS))
        self.name = name
        # Renamed in sentence-transformers 5; older ones know the longer name alone.
        dimension = getattr(self._model, "get_embedding_dimension", self._model.get_sentence_embedding_dimension)
        self.dimensions = int(dimension())
        self.max_tokens = int(self._model.max_seq_length or 256)

    def encode(self, texts: Sequence[str]) -> Matrix:
        from rekall.vectors import unit_rows

        rows = self._model.encode(
            list(texts), convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
        )
        return unit_rows(rows)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        encoded = self._model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [(int(start), int(end)) for start, end in encoded["offset_mapping"]]


def _offline_first(load: Any, name: str) -> Any:
    """Load the model from what is on the disk; ask the network only if it is not there."""
    try:
        try:
            return load(name, device="cpu", local_files_only=True)
        except OSError:
            return load(name, device="cpu")
    except Exception as error:  # the library raises kinds of its own, of the network too
        raise ModelUnavailable(
            _(
                "model {name} cannot be loaded ({error}); fetch it once with a network, or run: "
                "rekall config set embeddings.model {default}"
            ).format(name=name, error=_one_line(error), default=DEFAULT_MODEL)
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def missing_files() -> list[str]:
    """Return which files of the embedded model are not there."""
    folder = Path(__file__).parent / "model"
    names = ("manifest.json", "tokenizer.json", "minilm.onnx", "minilm.bin")
    return [name for name in names if not (folder / name).is_file()]


def load_engine(name: str) -> Engine:
    """Return the engine for a model's name. Raises ModelUnavailable with the next step."""
    if name == DEFAULT_MODEL:
        return MiniLM(Path(__file__).parent / "model")
    if name.startswith(SENTENCE_TRANSFORMERS):
        return SentenceTransformer(name)
    raise ModelUnavailable(
        _(
            "model {name!r} is not known; the embedded one is {default}, others are written sentence-transformers/NAME"
        ).format(name=name, default=DEFAULT_MODEL)
    )
