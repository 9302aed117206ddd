"""Measure the shipped model and the forms that were not chosen: speed, memory, closeness to fp32, retrieval.

    python ext/minilm/measure.py NOTES               a folder of .md or .txt files, searched recursively
    python ext/minilm/measure.py NOTES --eval SET    also MRR@10: SET holds queries.jsonl, corpus.jsonl, qrels.tsv
    python ext/minilm/measure.py NOTES --forms       also the other forms of the graph, taking turns

Speeds are the best of many runs on one thread: on a shared machine the median tells about the neighbours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from make import FULL_LIMIT, MODEL_DIR, TOKENIZER, Form, build, embed_ids, load_weights, save_model, session, source_dir
from numpy.typing import NDArray

LENGTHS = (16, 64, 128, 256)
MOST = 256  # tokens of one passage, [CLS] and [SEP] included
SHIPPED = "as shipped"
FORMS = {
    "full 8-bit range": Form(limit=FULL_LIMIT),
    "MultiHeadAttention": Form(attention="MultiHeadAttention"),
    "BiasGelu": Form(gelu="BiasGelu"),
    "FastGelu (tanh)": Form(gelu="FastGelu"),
    "SkipLayerNormalization": Form(norm="SkipLayerNormalization"),
    "SkipLayerNormalization + BiasGelu": Form(norm="SkipLayerNormalization", gelu="BiasGelu"),
}
SETTINGS: dict[str, dict[str, str]] = {
    "as rekall runs it": {},
    "without prepacking": {"session__disable_prepacking": "1"},
    "without spinning": {"session__intra_op__allow_spinning": "0"},
}
FRESH = """
import json, sys, time
folder, entries = sys.argv[1], json.loads(sys.argv[2])
t = [time.perf_counter()]
import numpy, onnxruntime, tokenizers
t.append(time.perf_counter())
tokenizer = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
options = onnxruntime.SessionOptions()
options.enable_cpu_mem_arena = options.enable_mem_pattern = False
options.intra_op_num_threads = options.inter_op_num_threads = 1
for name, value in entries.items():
    options.add_session_config_entry(name.replace("__", "."), value)
model = onnxruntime.InferenceSession(folder + "/minilm.onnx", options, providers=["CPUExecutionProvider"])
t.append(time.perf_counter())
def megabytes(field):
    return int(next(line for line in open("/proc/self/status") if line.startswith(field)).split()[1]) / 1024
def embed(n):
    ids = numpy.arange(1000, 1000 + n)[None]
    return model.run(None, {"input_ids": ids, "attention_mask": numpy.ones_like(ids)})
embed(12)
t.append(time.perf_counter())
idle = megabytes("VmRSS")
for _ in range(20):
    embed(256)
peak = megabytes("VmHWM")  # not ru_maxrss: that one remembers the parent before exec
print(f"import {t[1]-t[0]:.3f} s, load {t[2]-t[1]:.3f} s, first run {t[3]-t[2]:.4f} s, RSS {idle:.0f} / {peak:.0f} MB")
"""
Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[int]], Vectors]


def seconds(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def best_speeds(models: dict[str, Any], length: int, runs: int = 40) -> dict[str, float]:
    """Return tokens a second of each model's fastest run; the models take turns, so a busy moment hits all."""
    ids = np.random.default_rng(0).integers(1000, 20000, length).tolist()
    best = dict.fromkeys(models, float("inf"))
    for _ in range(runs):
        for name, model in models.items():
            best[name] = min(best[name], seconds(partial(embed_ids, model, ids)))
    return {name: length / least for name, least in best.items()}


def print_speeds(models: dict[str, Any]) -> None:
    """A table: a line for each model, a column for each length."""
    print(f"\n{'tokens/s, one thread':36}" + "".join(f"{n:>8}" for n in LENGTHS))
    columns = [best_speeds(models, n) for n in LENGTHS]
    for name in models:
        print(f"{name:36}" + "".join(f"{column[name]:8.0f}" for column in columns))


def print_fresh_processes() -> None:
    """Import, load and memory (idle / peak) of new processes; Linux only. A first one warms the page cache."""
    print()
    for name, entries in SETTINGS.items():
        command = [sys.executable, "-c", FRESH, str(MODEL_DIR), json.dumps(entries)]
        lines = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() for _ in range(2)]
        print(f"{name:20} {lines[-1]}")


def read_texts(folder: Path) -> list[str]:
    """Return the notes of a folder, in the order of their paths; exits when there is none."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".md", ".txt"))
    if not paths:
        sys.exit(f"measure.py: no .md or .txt file in {folder}")
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths]


def passages(ids: Sequence[int]) -> list[list[int]]:
    """Cut [CLS] … [SEP] into passages of at most 256 tokens, so that every token is in one."""
    inner, step = list(ids[1:-1]), MOST - 2
    return [[ids[0], *inner[at : at + step], ids[-1]] for at in range(0, max(len(inner), 1), step)]


def print_import_speed(model: Any, tokenizer: Any, texts: Sequence[str], most: int = 300) -> None:
    """Tokenise and embed every token of up to `most` notes, evenly taken; the best of three rounds."""
    some = texts[:: max(len(texts) // most, 1)][:most]
    tokens = sum(len(ids) for text in some for ids in passages(tokenizer.encode(text).ids))

    def embed_all() -> None:
        for text in some:
            for ids in passages(tokenizer.encode(text).ids):
                embed_ids(model, ids)

    took = min(seconds(embed_all) for _ in range(3))
    print(f"\nimport: {len(some)} notes, {tokens} tokens: {len(some) / took:.1f} notes/s, {tokens / took:.0f} tokens/s")


def torch_encoder(folder: Path) -> Encode:
    """The slow twin: the same weights in fp32 by torch and transformers."""
    import torch
    from transformers import BertModel

    torch.set_num_threads(1)
    model = BertModel.from_pretrained(folder, add_pooling_layer=False, local_files_only=True).eval()

    def encode(ids: Sequence[int]) -> Vectors:
        with torch.inference_mode():
            hidden = model(input_ids=torch.tensor([list(ids)])).last_hidden_state[0]
            vector: Vectors = torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy()
        return vector

    return encode


def vectors(encode: Encode, tokenizer: Any, texts: Sequence[str]) -> Vectors:
    """One vector a text, cut at 256 tokens."""
    return np.stack([encode(passages(tokenizer.encode(text).ids)[0]) for text in texts])


def mrr(queries: Vectors, corpus: Vectors, relevant: Sequence[set[int]]) -> tuple[float, float]:
    """Return MRR@10 and the share of queries with a hit among the ten best, by cosine alone."""
    ranks = []
    for row, right in zip(queries @ corpus.T, relevant, strict=True):
        best = np.argsort(-row, kind="stable")[:10].tolist()
        ranks.append(next((place for place, which in enumerate(best, 1) if which in right), None))
    found = [rank for rank in ranks if rank]
    return sum(1 / rank for rank in found) / len(ranks), len(found) / len(ranks)


def read_eval(folder: Path) -> tuple[list[str], list[str], list[set[int]]]:
    """Return queries, corpus and, for each query, the rows of the corpus that answer it."""
    queries, corpus = (
        {row["_id"]: row["text"] for row in map(json.loads, (folder / name).read_text("utf-8").splitlines())}
        for name in ("queries.jsonl", "corpus.jsonl")
    )
    place = {name: row for row, name in enumerate(corpus)}
    relevant: dict[str, set[int]] = {}
    for line in (folder / "qrels.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        if int(score) > 0 and query in queries:
            relevant.setdefault(query, set()).add(place[document])
    return [queries[query] for query in relevant], list(corpus.values()), list(relevant.values())


def print_closeness(encoders: dict[str, Encode], truth: Encode, tokenizer: Any, texts: Sequence[str]) -> None:
    """Compare with the slow twin on up to 100 texts, evenly taken."""
    some = texts[:: max(len(texts) // 100, 1)][:100]
    expected = vectors(truth, tokenizer, some)
    print(f"\n{f'cosine to fp32 torch, {len(some)} texts':36}    mean     min")
    for name, encode in encoders.items():
        cosine = (vectors(encode, tokenizer, some) * expected).sum(1)
        print(f"{name:36} {cosine.mean():.5f} {cosine.min():.5f}")


def print_retrieval(encoders: dict[str, Encode], tokenizer: Any, folder: Path) -> None:
    """Retrieval by meaning alone; the fp32 line takes minutes."""
    queries, corpus, relevant = read_eval(folder)
    print(f"\n{f'{len(queries)} queries, {len(corpus)} texts':36}  MRR@10  hit@10")
    for name, encode in encoders.items():
        score = mrr(vectors(encode, tokenizer, queries), vectors(encode, tokenizer, corpus), relevant)
        print(f"{name:36}  {score[0]:.4f}  {score[1]:.4f}", flush=True)


def open_forms(weights_dir: Path, folder: Path) -> dict[str, Any]:
    """Build each other form into its own folder and open it."""
    weights, models = load_weights(weights_dir), {}
    for number, (name, form) in enumerate(FORMS.items()):
        place = folder / str(number)
        place.mkdir()
        save_model(build(weights, form), place)
        models[name] = session(place)
    return models


def encoder(model: Any) -> Encode:
    """Bind a session to embed_ids."""
    return lambda ids: embed_ids(model, ids)


def measure(notes: Path, eval_dir: Path | None, forms: bool, temporary: Path) -> None:
    """Print every table asked for; other forms live in `temporary` meanwhile."""
    from tokenizers import Tokenizer

    source, texts = source_dir(), read_texts(notes)
    tokenizer = Tokenizer.from_file(str(MODEL_DIR / TOKENIZER))
    models = {SHIPPED: session(MODEL_DIR)} | (open_forms(source, temporary) if forms else {})
    encoders = {name: encoder(model) for name, model in models.items()}
    print_fresh_processes()
    print_import_speed(models[SHIPPED], tokenizer, texts)
    print_speeds(models)
    truth = torch_encoder(source)
    print_closeness(encoders, truth, tokenizer, texts)
    if eval_dir:
        print_retrieval({"fp32 torch": truth} | encoders, tokenizer, eval_dir)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="Measure the embedded model.")
    parser.add_argument("notes", type=Path, help="folder of .md or .txt files")
    parser.add_argument("--eval", type=Path, dest="eval_dir", help="folder of queries.jsonl, corpus.jsonl, qrels.tsv")
    parser.add_argument("--forms", action="store_true", help="measure the other forms of the graph too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(given.notes, given.eval_dir, given.forms, Path(name))


if __name__ == "__main__":
    main()
