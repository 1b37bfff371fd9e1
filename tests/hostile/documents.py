"""Hostile model folders, run folders, recipes and manifests."""

# ruff: noqa: S311 -- damage is drawn from a seed

import bz2
import copy
import functools
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import re
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper
from pyarrow import parquet
from tests.hostile.containers import gz
from tests.hostile.drafts import SEED, Draft, hole, link, turn

#: In JSON a number of any length is a number.
_LONG = 10**400
_DEEP = 100_000


# Model folders


def model_drafts(model):
    """Yield hostile copies of a model folder.

    Args:
        model: The sound one.
    """
    info = json.loads((model / "model.json").read_text())
    yield from _meanings(model, info)
    yield from _broken_documents(model)
    yield from _networks(model)
    yield from _special_parts(model)


def _copied(model, change):
    """Return a maker of a copy of a folder that ``change`` then spoils."""

    def make(path):
        shutil.copytree(model, path, copy_function=os.link)
        change(path)

    return make


def _replace(path, content):
    """Put something in the place of a file, which may be linked from elsewhere."""
    path.unlink(missing_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)


def _with_info(model, info):
    text = json.dumps(info).encode("utf-8", "surrogatepass")
    return _copied(model, lambda path: _replace(path / "model.json", text))


def _with_file(model, name, content, *, listed=True):
    """Return a maker of a copy with another file, whose checksum ``model.json`` lists."""

    def change(path):
        _replace(path / name, content)
        if listed and (path / name).is_file():
            info = json.loads((path / "model.json").read_bytes())
            digest = hashlib.sha256((path / name).read_bytes()).hexdigest()
            info["files"][name] = digest
            if name == "model.safetensors":
                info["weights_sha256"] = digest
            _replace(path / "model.json", json.dumps(info).encode())

    return _copied(model, change)


def _put(info, place, value):
    changed = copy.deepcopy(info)
    functools.reduce(lambda node, key: node[key], place[:-1], changed)[place[-1]] = value
    return changed


def _drop(info, *place):
    changed = copy.deepcopy(info)
    del functools.reduce(lambda node, key: node[key], place[:-1], changed)[place[-1]]
    return changed


def _meanings(model, info):
    for name, place, value in (
        ("classes-twice", ("class_names",), ["benign", "benign"]),
        ("classes-one", ("class_names",), ["benign"]),
        ("classes-none", ("class_names",), []),
        ("classes-three", ("class_names",), ["benign", "malignant", "third"]),
        ("classes-empty-name", ("class_names",), ["", "malignant"]),
        ("classes-numbers", ("class_names",), [1, 2]),
        ("classes-text", ("class_names",), "benign"),
        ("classes-surrogate", ("class_names",), ["\ud800", "malignant"]),
        ("classes-line", ("class_names",), ["be\nINJECTED", "malignant"]),
        ("classes-blank", ("class_names",), [" benign", "malignant"]),
        ("positive-unknown", ("positive",), "cancer"),
        ("positive-number", ("positive",), 1),
        ("mean-one", ("preprocessing", "mean"), [0.5]),
        ("mean-four", ("preprocessing", "mean"), [0.5] * 4),
        ("mean-none", ("preprocessing", "mean"), []),
        ("std-two", ("preprocessing", "std"), [1.0, 1.0]),
        ("channels-none", ("preprocessing", "channels"), []),
        ("channels-two", ("preprocessing", "channels"), ["R", "G"]),
        ("channels-twice", ("preprocessing", "channels"), ["R", "R", "R"]),
        ("size-32", ("preprocessing", "input_px"), [32, 32]),
        ("size-one", ("preprocessing", "input_px"), [64]),
        ("size-million", ("preprocessing", "input_px"), [1_000_000, 1_000_000]),
        ("size-real", ("preprocessing", "input_px"), [64.5, 64.5]),
        ("resize", ("preprocessing", "resize"), "crop-somehow"),
        ("interpolation", ("preprocessing", "interpolation"), "psychic"),
        ("stain", ("preprocessing", "stain"), {"method": "macenko"}),
        ("stain-text", ("preprocessing", "stain"), "macenko"),
        ("planes", ("preprocessing", "planes"), {"chosen": [99], "n_stored": 1, "bits": 8}),
        ("magnifications", ("preprocessing", "magnifications"), ["40", "40"]),
        ("modality", ("modality",), "telepathy"),
        ("version-9", ("format_version",), "9.0"),
        ("version-number", ("format_version",), 1.0),
        ("version-text", ("format_version",), "one"),
        ("version-long", ("format_version",), "9" * 5000),
        ("architecture", ("architecture",), "../../etc/passwd"),
        ("architecture-number", ("architecture",), 5),
        ("arguments-list", ("arguments",), [1, 2]),
        ("arguments-odd", ("arguments",), {"__class__": "os.system"}),
        ("files-outside", ("files",), {"../../../etc/passwd": "0" * 64}),
        ("files-none", ("files",), {}),
        ("files-number", ("files",), 7),
        ("files-odd", ("files", "model.onnx"), "zz"),
        ("files-null", ("files",), None),
        ("temperature-source", ("temperature_source",), "astrology"),
        ("threshold-null", ("threshold",), None),
        ("quantiles", ("abstention", "quantiles"), {"benign": float("nan"), "malignant": 2.0}),
        ("quantiles-unknown", ("abstention", "quantiles"), {"cat": 0.5}),
        ("test-time", ("test_time",), "forever"),
        ("transfer", ("transfer_chain",), [{"a": 1}]),
        ("use-line", ("intended_use",), "x\nINJECTED\r\nINJECTED"),
        ("use-long", ("intended_use",), "x" * 1_000_000),
        ("simulated", ("simulated",), "perhaps"),
        ("temperature-zero", ("temperature",), 0),
        ("temperature-long", ("temperature",), _LONG),
        ("std-huge", ("preprocessing", "std", 1), 1e308),
        ("scale-infinite", ("preprocessing", "scale"), float("inf")),
        ("threshold-text", ("threshold", "value"), "5x"),
        ("mpp-negative", ("mpp",), -1.0),
        ("mpp-nan", ("mpp",), float("nan")),
    ):
        refused = name not in {
            "classes-blank",
            "use-line",
            "use-long",
            "files-null",
            "threshold-null",
            "classes-line",
            "channels-twice",
            "test-time",
            "architecture",
            "arguments-odd",
            "temperature-source",
        }
        yield Draft(
            "model-meaning", name, _with_info(model, _put(info, place, value)), refused=refused
        )
    for key in info:
        refused = key in {"format_version", "class_names", "preprocessing", "temperature"}
        yield Draft(
            "model-key", f"without-{key}", _with_info(model, _drop(info, key)), refused=refused
        )
    for key in info["preprocessing"]:
        maker = _with_info(model, _drop(info, "preprocessing", key))
        yield Draft("model-key", f"without-preprocessing-{key}", maker)
    yield Draft("model-key", "further", _with_info(model, {**info, "further": {"a": [1]}}))


def _broken_documents(model):
    sound = (model / "model.json").read_bytes()
    profile = (model / "profile.json").read_bytes()
    for name, content in _broken_json(sound):
        maker = _copied(model, functools.partial(_spoil, "model.json", content))
        refused = name not in {"mark", "utf16-mark", "large"}
        yield Draft("model-json", name, maker, refused=refused)
    twice = sound.rstrip()[:-1] + b', "temperature": NaN}'
    maker = _copied(model, functools.partial(_spoil, "model.json", twice))
    yield Draft("model-json", "key-twice", maker, refused=True)
    for name, content in _broken_json(profile):
        maker = _with_file(model, "profile.json", content)
        yield Draft("model-profile", name, maker)
    data = json.loads(profile)
    for name, place, value in (
        ("quantiles-short", ("appearance", "red", "quantiles"), [1.0]),
        ("mean-nan", ("appearance", "red", "mean"), float("nan")),
        ("mean-long", ("appearance", "red", "mean"), _LONG),
        ("spread-negative", ("appearance", "red", "spread"), -1.0),
        ("images-negative", ("appearance", "red", "n_images"), -1),
        ("measured", ("measured",), "by eye"),
        ("appearance", ("appearance",), []),
    ):
        content = json.dumps(_put(data, place, value)).encode()
        yield Draft("model-profile", name, _with_file(model, "profile.json", content))


def _spoil(name, content, path):
    _replace(path / name, content)


def _broken_json(sound):
    """Yield names and contents of what is no sound JSON document."""
    yield "empty", b""
    yield "cut", sound[: len(sound) // 2]
    yield "list", b"[1, 2]"
    yield "number", b"7"
    yield "null", b"null"
    yield "deep-lists", b"[" * _DEEP
    yield "deep", b'{"a":' * _DEEP
    yield "deep-closed", b"[" * _DEEP + b"]" * _DEEP
    yield "digits", b'{"format_version": ' + b"9" * 100_000 + b"}"
    yield "mark", b"\xef\xbb\xbf" + sound
    yield "utf16-mark", sound.decode().encode("utf-16")
    yield "nul", sound.replace(b"benign", b"ben\0ign", 1).replace(b'"red"', b'"r\0d"', 1)
    yield "binary", random.Random(SEED).randbytes(5000)
    yield "latin", sound.replace(b"{", b'{"\xe9": 1, ', 1)
    yield "other", b'{"format_version": "1.0"}'
    yield "large", sound.rstrip()[:-1] + b', "x": "' + b"y" * 30_000_000 + b'"}'


def _networks(model):
    data = (model / "model.onnx").read_bytes()
    chance = random.Random(SEED)
    for cut in (0, 1, 100, len(data) // 2, len(data) - 1):
        yield _onnx(model, f"cut-{cut}", data[:cut])
    for number in range(6):
        yield _onnx(
            model, f"flip-{number}", turn(data, chance, 4**number, 0, len(data)), refused=False
        )
    yield _onnx(model, "text", b"no network\n")
    yield _onnx(model, "deep", _nested_protobuf())
    maker = _with_file(model, "model.onnx", data + b"\0", listed=False)
    yield Draft("model-onnx", "unlisted", maker, refused=True)
    for name, graph in _graphs(data):
        yield _onnx(model, name, graph)
    weights = (model / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", weights[:8])
    header = json.loads(weights[8 : 8 + length])
    for name, content in (
        ("empty", b""),
        ("cut", weights[: len(weights) // 2]),
        ("length-huge", struct.pack("<Q", 2**63) + weights[8:]),
        ("length-0", bytes(8) + weights[8:]),
        ("header-text", _safetensors(b"no json")),
        ("header-deep", _safetensors(b"[" * _DEEP)),
        ("header-empty", _safetensors(b"{}")),
        (
            "offsets",
            _safetensors(
                json.dumps(
                    {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 2**60]}}
                ).encode()
            ),
        ),
        (
            "shape",
            _safetensors(
                json.dumps(
                    {"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}
                ).encode()
            ),
        ),
        ("pickle", b"cos\nsystem\n(S'touch UNPICKLED'\ntR."),
        ("nan", weights[: 8 + length] + b"\xff" * (len(weights) - 8 - length)),
        (
            "fewer",
            _safetensors(
                json.dumps(dict(list(header.items())[:3])).encode(), weights[8 + length :]
            ),
        ),
    ):
        yield Draft("model-weights", name, _with_file(model, "model.safetensors", content))
        yield Draft(
            "model-weights",
            f"{name}-alone",
            _alone(_with_file(model, "model.safetensors", content)),
            refused=name != "nan",
        )


def _onnx(model, name, content, *, refused=True):
    maker = _with_file(model, "model.onnx", content)
    return Draft("model-onnx", name, maker, refused=refused, sampled=name in {"loop", "external"})


def _alone(maker):
    """Return a maker of the same folder without its ONNX file."""

    def make(path):
        maker(path)
        info = json.loads((path / "model.json").read_bytes())
        info["files"].pop("model.onnx")
        _replace(path / "model.json", json.dumps(info).encode())
        (path / "model.onnx").unlink()

    return make


def _safetensors(header, body=bytes(16)):
    return struct.pack("<Q", len(header)) + header + body


def _nested_protobuf():
    data = b"\x0a\0"
    for _ in range(30):
        data = b"\x3a" + _varint(len(data)) + data
    return b"\x08\x08" + data


def _varint(number):
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _graphs(data):
    """Yield networks of another shape, or that do what no classifier of images needs."""
    for name, size, classes, channels in (
        ("size-32", 32, 2, 3),
        ("classes-5", 64, 5, 3),
        ("classes-1", 64, 1, 3),
        ("channels-1", 64, 2, 1),
    ):
        yield f"other-{name}", _flat(size, classes, channels)
    yield "input-name", _flat(64, 2, 3, given="pictures")
    yield "output-name", _flat(64, 2, 3, made="answers")
    yield "input-double", _flat(64, 2, 3, kind=TensorProto.DOUBLE)
    yield "external", _flat(64, 2, 3, place="../../../../../../etc/passwd")
    yield "external-zero", _flat(64, 2, 3, place="/dev/zero")
    yield "claims-terabyte", _flat(64, 2, 3, claimed=(1 << 20, 1 << 20))
    yield "unknown-operator", _flat(64, 2, 3, operator="Telepathy")
    yield "loop", _loop()
    yield "if", _branch()
    yield "scan", _scan()
    yield "function", _function()
    yield "grows", _grows()
    changed = onnx.load_from_string(data)
    changed.ir_version = 999
    yield "version", changed.SerializeToString()
    changed = onnx.load_from_string(data)
    changed.opset_import[0].version = 9999
    yield "opset", changed.SerializeToString()
    changed = onnx.load_from_string(data)
    del changed.graph.node[2:]
    yield "short", changed.SerializeToString()
    changed = onnx.load_from_string(data)
    changed.graph.node[0].input[0] = changed.graph.node[-1].output[0]
    yield "cycle", changed.SerializeToString()


def _values(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def _packed(nodes, initializers, given, made, functions=()):
    graph = helper.make_graph(nodes, "g", given, made, initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=functions)
    model.ir_version = 8
    return model.SerializeToString()


def _flat(
    size,
    classes,
    channels,
    *,
    given="images",
    made="logits",
    kind=TensorProto.FLOAT,
    place=None,
    claimed=None,
    operator="MatMul",
):
    """A network of one layer."""
    kind_of_numbers = np.float64 if kind == TensorProto.DOUBLE else np.float32
    weights = numpy_helper.from_array(
        np.zeros((channels * size * size, classes), kind_of_numbers), "w"
    )
    if place is not None:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=place)
    if claimed is not None:
        weights.dims[:] = claimed
    nodes = [
        helper.make_node("Flatten", [given], ["flat"]),
        helper.make_node(operator, ["flat", "w"], [made]),
    ]
    ends = (
        [_values(given, ["N", channels, size, size], kind)],
        [_values(made, ["N", classes], kind)],
    )
    return _packed(nodes, [weights], *ends)


def _ends():
    return [_values("images", ["N", 3, 64, 64])], [_values("logits", ["N", 2])]


def _head():
    """Nodes and weights from the images to ``once`` (N, 2)."""
    weights = numpy_helper.from_array(np.zeros((3 * 64 * 64, 2), np.float32), "w")
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["once"]),
    ]
    return nodes, [weights]


def _loop():
    """A network that counts to 2 ** 62."""
    nodes, weights = _head()
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [
            _values("i", [], TensorProto.INT64),
            _values("go", [], TensorProto.BOOL),
            _values("x", ["N", 2]),
        ],
        [_values("on", [], TensorProto.BOOL), _values("y", ["N", 2])],
    )
    weights += [
        numpy_helper.from_array(np.array(2**62, np.int64), "most"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    nodes.append(helper.make_node("Loop", ["most", "yes", "once"], ["logits"], body=body))
    return _packed(nodes, weights, *_ends())


def _branch():
    nodes, weights = _head()
    branches = [
        helper.make_graph(
            [helper.make_node("Identity", ["once"], [name])], name, [], [_values(name, ["N", 2])]
        )
        for name in ("a", "b")
    ]
    weights.append(numpy_helper.from_array(np.array(True), "yes"))
    nodes.append(
        helper.make_node(
            "If", ["yes"], ["logits"], then_branch=branches[0], else_branch=branches[1]
        )
    )
    return _packed(nodes, weights, *_ends())


def _scan():
    nodes, weights = _head()
    body = helper.make_graph(
        [helper.make_node("Identity", ["row"], ["done"])],
        "body",
        [_values("row", [2])],
        [_values("done", [2])],
    )
    nodes.append(helper.make_node("Scan", ["once"], ["logits"], body=body, num_scan_inputs=1))
    return _packed(nodes, weights, *_ends())


def _function():
    """A loop that hides in a function of the model's own."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [
            _values("i", [], TensorProto.INT64),
            _values("go", [], TensorProto.BOOL),
            _values("x", None),
        ],
        [_values("on", [], TensorProto.BOOL), _values("y", None)],
    )
    own = helper.make_function(
        "own",
        "Twist",
        ["a", "m", "c"],
        ["b"],
        [helper.make_node("Loop", ["m", "c", "a"], ["b"], body=body)],
        [helper.make_opsetid("", 17)],
    )
    nodes, weights = _head()
    weights += [
        numpy_helper.from_array(np.array(2**62, np.int64), "most"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    nodes.append(helper.make_node("Twist", ["once", "most", "yes"], ["logits"], domain="own"))
    return _packed(nodes, weights, *_ends(), functions=[own])


def _grows():
    """A network whose product of two small matrices has 40 GB."""
    nodes, weights = _head()
    weights += [
        numpy_helper.from_array(np.zeros((2, 1), np.float32), "column"),
        numpy_helper.from_array(np.array([1, 10_000_000_000], np.int64), "many"),
        numpy_helper.from_array(np.array([1], np.int64), "axis"),
    ]
    nodes += [
        helper.make_node("MatMul", ["once", "column"], ["single"]),
        helper.make_node("Expand", ["single", "many"], ["wide"]),
        helper.make_node("ReduceSum", ["wide", "axis"], ["sum"], keepdims=1),
        helper.make_node("Add", ["once", "sum"], ["logits"]),
    ]
    return _packed(nodes, weights, *_ends())


def _special_parts(model):
    for name in ("model.json", "model.onnx", "profile.json", "model.safetensors", "card.md"):
        refused = name in {"model.json", "model.onnx"}
        for kind, content in _SPECIAL.items():
            maker = _copied(model, functools.partial(_spoil, name, content))
            sampled = (name, kind) in {("model.json", "pipe"), ("model.onnx", "zero")}
            yield Draft("model-special", f"{name}-{kind}", maker, refused=refused, sampled=sampled)
    yield Draft("model-special", "empty", Path.mkdir, refused=True)
    yield Draft("model-special", "pipe", os.mkfifo, refused=True)
    yield Draft("model-special", "file", b"no folder", refused=True)
    yield Draft("model-special", "zero", link("/dev/zero"), refused=True)
    yield Draft("model-special", "itself", link("itself"), refused=True)


_SPECIAL = {
    "pipe": os.mkfifo,
    "zero": link("/dev/zero"),
    "folder": Path.mkdir,
    "dangling": link("nowhere"),
    "stdin": link("/dev/stdin"),
    "hole": hole(b"{"),
}


# Run folders

#: Files of a run folder that its report is made of.
RUN_FILES = (
    "audit.json",
    "balance.json",
    "environment.json",
    "history.csv",
    "layers.json",
    "logits.parquet",
    "manifest.csv",
    "metrics.json",
    "predictions.csv",
    "recipe.toml",
    "split.json",
    "samples/index.json",
    "samples/example-00.jpg",
    "model/model.json",
    "model/profile.json",
)
#: Of these what no report can do without, or must not show when it is damaged.
_NEEDED = {
    "metrics.json",
    "recipe.toml",
    "manifest.csv",
    "history.csv",
    "predictions.csv",
    "audit.json",
    "environment.json",
    "split.json",
}

_SAMPLED = {"history.csv", "manifest.csv", "metrics.json", "recipe.toml"}


def run_drafts(run):
    """Yield hostile copies of a run folder.

    Args:
        run: The sound one.
    """
    for name in RUN_FILES:
        sound = (run / name).read_bytes()
        half = sound[: len(sound) // 2].rstrip(b"\r\n")
        half = half[: half.rindex(b",")] if name.endswith(".csv") else half
        damage = {
            "cut": half,
            "emptied": b"",
            "binary": random.Random(SEED).randbytes(3000),
            "swapped": (
                run / ("recipe.toml" if name != "recipe.toml" else "metrics.json")
            ).read_bytes(),
            "pipe": os.mkfifo,
            "zero": link("/dev/zero"),
            "folder": Path.mkdir,
        }
        if name.endswith(".json"):
            damage |= {"list": b"[]", "deep": b"[" * _DEEP, "object": b'{"format_version": "1.0"}'}
            damage |= {
                "newer": sound.replace(b'"1.0"', b'"9.0"', 1),
                "nan": _first_number(sound, b"NaN"),
            }
        if name.endswith(".csv"):
            damage |= {"header": sound.splitlines()[0], "nul": sound.replace(b",", b",\0", 3)}
            damage |= {"words": _words(sound)}
        for kind, content in damage.items():
            maker = _run_with(run, name, content)
            refused = name in _NEEDED and kind not in {"newer", "nan", "words", "nul", "object"}
            yield Draft(
                "run",
                f"{name.replace('/', '-')}-{kind}",
                maker,
                refused=refused,
                names=Path(name).name,
                sampled=name in _SAMPLED and kind == "cut",
            )
        yield Draft("run", f"{name.replace('/', '-')}-absent", _run_with(run, name, None))
    yield Draft("run-odd", "empty", Path.mkdir, refused=True)
    yield Draft("run-odd", "file", b"no folder", refused=True)
    yield Draft("run-odd", "pipe", os.mkfifo, refused=True)


def _run_with(run, name, content):
    def make(path):
        ignored = shutil.ignore_patterns("checkpoints", "figures", "report.html", "model.onnx")
        shutil.copytree(run, path, ignore=ignored, copy_function=os.link)
        for card in ("card.html", "card.md"):  # the report writes them anew
            shutil.copy(run / "model" / card, path / "model" / f"{card}.new")
            (path / "model" / f"{card}.new").replace(path / "model" / card)
        (path / name).unlink()
        if content is not None:
            _replace(path / name, content)

    return make


def _first_number(data, value):
    return re.sub(rb": -?\d[\d.e-]*", b": " + value, data, count=1)


def _words(data):
    lines = data.splitlines()
    cells = lines[1].split(b",")
    return b"\n".join([lines[0], b",".join(b"word" for _ in cells), *lines[2:]]) + b"\n"


# Recipes


def recipe_drafts(sound):
    """Yield hostile recipes.

    Args:
        sound: Text of one that is planned without an error.
    """
    data = sound.encode()
    for name, content in {
        "empty": b"",
        "cut": data[: len(data) // 3],
        "nul": data.replace(b"tiny", b"ti\0ny", 1),
        "utf16": sound.encode("utf-16"),
        "latin": data.replace(b"tiny", b"t\xefny", 1),
        "deep-list": data + b"\nx = " + b"[" * _DEEP,
        "deep-table": data + b"\n[" + b"a." * 20_000 + b"a]\n",
        "deep-inline": data + b"\nx = " + b"{a=" * _DEEP,
        "digits": data.replace(b"seed = 3", b"seed = " + b"9" * 100_000),
        "digits-real": data.replace(b"lr = 0.001", b"lr = 0." + b"9" * 100_000 + b"e99999"),
        "key-long": data + b"\n" + b"k" * 1_000_000 + b" = 1\n",
        "value-long": data.replace(b'"tiny"', b'"' + b"v" * 1_000_000 + b'"'),
        "surrogate": data.replace(b'"tiny"', b'"\\ud800"', 1),
        "bytes": data.replace(b'"tiny"', b'"\xed\xa0\x80"', 1),
        "section-list": data.replace(b"[train]", b"[[train]]", 1),
        "section-twice": data + b"\n[train]\nepochs = 1\n",
        "section-value": b"train = 5\n" + data.replace(b"[train]", b"[other]", 1),
        "section-unknown": data + b"\n[trian]\n",
        "key-unknown": data.replace(b"epochs", b"epoch", 1),
        "json": b'{"name": "tiny"}',
        "xml": b"<recipe/>",
        "binary": random.Random(SEED).randbytes(3000),
        "yaml": b"name: tiny\n",
        "name-path": data.replace(b'"tiny"', b'"../../x"', 1),
        "name-nul": data.replace(b'"tiny"', b'"a\\u0000b"', 1),
        "root-nul": _set(data, b"root", b'"a\\u0000b"'),
        "zeros": bytes(1000),
        "keys-many": data + b"".join(b"\nx%d = 1" % n for n in range(20_000)),
    }.items():
        sampled = name in {"deep-list", "digits", "utf16"}
        yield Draft("recipe", f"{name}.toml", content, refused=True, sampled=sampled)
    yield Draft("recipe", "mark.toml", b"\xef\xbb\xbf" + data)
    yield Draft("recipe", "name-escape.toml", data.replace(b'"tiny"', b'"\\u001b[31m"', 1))
    for name, content in (
        # A pipe is waited for: a recipe may be a process's output.
        ("folder", Path.mkdir),
        ("zero", link("/dev/zero")),
        ("dangling", link("nowhere")),
        ("hole", hole(b"x = 1\n")),
    ):
        yield Draft("recipe-special", f"{name}.toml", content, refused=True)


def _set(data, key, value):
    lines = data.split(b"\n")
    place = next(n for n, line in enumerate(lines) if line.startswith(key + b" = "))
    end = place + 1
    if lines[place].endswith(b"["):
        end = next(n for n in range(place, len(lines)) if lines[n] == b"]") + 1
    return b"\n".join([*lines[:place], key + b" = " + value, *lines[end:]])


# Manifests


def manifest_drafts(images):
    """Yield hostile tables.

    Args:
        images: Four sound images of a folder, by their names; tables lie beside it.
    """
    rows = [f"{path},{label}" for path, label in zip(images, "abab", strict=True)]
    sound = "\n".join(["path,label", *rows]) + "\n"
    data = sound.encode()
    first = rows[0]

    def more(*lines):
        return "\n".join(["path,label", *rows, *lines, ""]).encode("utf-8", "surrogateescape")

    def odd(cell, label="a"):
        return more(f"{cell},{label}")

    for name, content in {
        "empty": b"",
        "blank": b"\n\n \n",
        "header": b"path,label\n",
        "no-header": "\n".join(rows).encode(),
        "cut": data[:-4],
        "columns-twice": data.replace(b"path,label", b"path,path"),
        "label-twice": b"path,label,label\n" + first.encode() + b",a\n",
        "case-twice": b"path,label,Path\n" + first.encode() + b",x\n",
        "nul": data.replace(b",a", b",\0a", 1),
        "nul-path": odd("a\0b.png"),
        "carriage": data.replace(b"\n", b"\r"),
        "carriage-cell": odd('"a\rb.png"'),
        "line-cell": odd('"a\nINJECTED.png"'),
        "quote-open": data + b'"open,a\n',
        "quote-inside": odd('a"b.png'),
        "quotes-many": odd('"' * 99_999),
        "utf16": sound.encode("utf-16"),
        "utf16-bare": sound.encode("utf-16-le"),
        "utf32": sound.encode("utf-32"),
        "mark": b"\xef\xbb\xbf" + data,
        "latin": odd("lait\udce9.png"),
        "surrogates": odd("\udced\udca0\udc80.png"),
        "binary": random.Random(SEED).randbytes(9000),
        "cell-huge": odd("x" * 10_000_000),
        "cell-long": odd("x" * 5000),
        "cells-many": odd("x" + "," * 1_000_000),
        "columns-many": b",".join(b"c%d" % n for n in range(20_000)) + b"\n",
        "rows-long": more(*["x.png,a"] * 20_000),
        "formula": odd("=cmd|' /C calc'!A0", "=1+1"),
        "formula-at": odd("@SUM(1)", "+1"),
        "label-formula": more(f"{first}", f"{images[1]},=1+1"),
        "zero": odd("/dev/zero"),
        "stdin": odd("/dev/stdin"),
        "pipe": odd("pipe.png"),
        "folder": odd("."),
        "itself": odd("itself.csv"),
        "above": odd("../" * 200 + "etc/passwd"),
        "url": odd("http://localhost/x.png"),
        "file-url": odd("file:///dev/zero"),
        "home": odd("~/x.png"),
        "variable": odd("$HOME/x.png"),
        "index-digits": odd("a.h5#" + "9" * 5000),
        "index-negative": odd("a.h5#-1"),
        "index-unicode": odd("a.h5#²"),
        "index-arabic": odd("a.h5#٣"),
        "index-pipe": odd("pipe.h5#0"),
        "index-zero": odd("zero.h5#0"),
        "index-idx": odd("a.idx#" + "9" * 30),
        "index-of-image": odd(f"{images[0]}#0"),
        "bundle": odd(f"{images[0]}|{images[1]}"),
        "bundle-empty": odd("|||"),
        "bundle-zero": odd(f"{images[0]}|/dev/zero"),
        "label-empty": odd(images[0], ""),
        "label-long": odd(images[0], "y" * 100_000),
        "label-line": odd(images[0], '"a\nINJECTED"'),
        "label-bidi": odd(images[0], "\u202ea"),
        "label-html": odd(images[0], "<script>alert(1)</script>"),
        "label-surrogate": odd(images[0], "\udced\udca0\udc80"),
        "label-nan": odd(images[0], "nan"),
        "label-number": b"path,label\n"
        + b"\n".join(f"{i},{n}".encode() for n, i in enumerate(images)),
        "labels-many": more(*[f"{images[0]},c{n}" for n in range(3000)]),
        "ragged": data + b"x\n",
        "ragged-more": data + b"a,b,c,d\n",
        "semicolons": data.replace(b",", b";"),
        "separator": b"sep=\x00\n" + data,
        "separator-word": b"sep=abc\n" + data,
        "html": b"<!DOCTYPE html><html></html>",
        "xml": b"<?xml version='1.0'?><a/>",
        "pickle": b"\x80\x04cos\nsystem\n",
        "json": b'[{"path": 1}]',
        "split-odd": b"path,label,split\n"
        + b"\n".join(
            f"{i},a,{s}".encode()
            for i, s in zip(
                images,
                ("train", "\udcff".encode("utf-8", "surrogateescape").decode("latin1"), "", "x"),
                strict=True,
            )
        ),
        "fold-odd": b"path,label,fold\n"
        + f"{images[0]},a,99999999999999999999\n{images[1]},b,-1\n".encode(),
        "mpp-odd": b"path,label,mpp\n" + f"{images[0]},a,nan\n{images[1]},b,-1e999\n".encode(),
        "magnification-odd": b"path,label,magnification\n"
        + f"{images[0]},a,{'9' * 5000}\n{images[1]},b,40+\n".encode(),
        "escape": odd("\x1b[31m.png"),
        "tabs": data.replace(b",", b"\t"),
        "spaces": data.replace(b",", b" , "),
        "ends": data.replace(b"\n", b"\r\r\n"),
        "vertical": odd("a\x0bb\x1cc\x85d.png"),
    }.items():
        sampled = name in {"carriage-cell", "columns-twice", "index-digits", "zero"}
        yield Draft("manifest", f"{name}.csv", content, sampled=sampled)
    yield from _packed_manifests(sound)
    yield from _special_tables()


def _packed_manifests(sound):
    data = sound.encode()
    frame = pd.read_csv(io.StringIO(sound), dtype=str)
    columns, book = io.BytesIO(), io.BytesIO()
    frame.to_parquet(columns)
    frame.to_excel(book, index=False)
    packed = gzip.compress(data, mtime=0)
    chance = random.Random(SEED)
    for suffix, content in (
        (".parquet", columns.getvalue()),
        (".xlsx", book.getvalue()),
        (".csv.gz", packed),
        (".csv.bz2", bz2.compress(data)),
        (".csv.xz", lzma.compress(data)),
    ):
        stem = f"packed{suffix.replace('.', '-')}"
        size = len(content)
        for cut in (0, 4, size // 2, size - 1):
            yield Draft("table", f"{stem}-cut-{cut}{suffix}", content[:cut])
        for number in range(4):
            turned = turn(content, chance, 4**number, 0, size)
            yield Draft("table", f"{stem}-flip-{number}{suffix}", turned)
        yield Draft("table", f"{stem}-text{suffix}", b"no such file\n")
    yield Draft("table", "fits-not.csv", columns.getvalue())
    yield Draft(
        "table", "footer.parquet", b"PAR1" + b"\xff" * 40 + struct.pack("<I", 2**31 - 1) + b"PAR1"
    )
    yield Draft("table", "nested.parquet", _parquet({"path": [["a"]], "label": [{"a": 1}]}))
    yield Draft(
        "table", "numbers.parquet", _parquet({"path": [1.5, float("nan")], "label": [1, 2]})
    )
    yield Draft("table", "bytes.parquet", _parquet({"path": [b"\xff", b"\0"], "label": ["a", "b"]}))
    yield Draft("table", "no-rows.parquet", _parquet({"path": [], "label": []}))
    yield Draft("table-bomb", "rows.parquet", _many_rows)
    for name, fill in (("gigabyte", b"x"), ("lines", b"\n"), ("commas", b",")):
        packed, sampled = gz(data, 1 << 30, fill), name == "commas"
        yield Draft("table-bomb", f"{name}.csv.gz", packed, sampled=sampled)
    yield Draft("table-bomb", "rows.csv.gz", gzip.compress(data + b"x.png,a\n" * 200_000, 1))
    yield Draft("table-bomb", "gigabyte.csv.bz2", bz2.compress(bytes(9_000_000)) * 110)
    yield Draft("table-bomb", "gigabyte.csv.xz", lzma.compress(bytes(1 << 20)) * 1024)
    yield Draft("table-bomb", "book.xlsx", _book_bomb(book.getvalue()))
    yield Draft("table-bomb", "book-cells.xlsx", _wide_book(book.getvalue()))
    yield Draft("table-bomb", "laughs.xlsx", _laughing_book(book.getvalue()))
    yield Draft(
        "table-bomb", "zip-name.xlsx", _zip({"../../outside": b"x", "xl/workbook.xml": b"<a/>"})
    )
    yield Draft("table-bomb", "old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\xff" * 3000)
    yield Draft("table-bomb", "open.ods", _zip({"content.xml": b"<a>" * 100_000, "mimetype": b"x"}))


def _parquet(columns):
    stream = io.BytesIO()
    pd.DataFrame(columns).to_parquet(stream)
    return stream.getvalue()


def _many_rows(path):
    """20 million equal rows in a few kilobytes."""
    places = pa.array(np.zeros(20_000_000, np.int32))
    columns = {
        name: pa.DictionaryArray.from_arrays(places, [value])
        for name, value in (("path", "x.png"), ("label", "a"))
    }
    parquet.write_table(pa.table(columns), path)


def _zip(parts):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _parts(book):
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _book_bomb(book):
    parts = _parts(book)
    sheet = next(name for name in parts if "sheet1.xml" in name)
    cut = parts[sheet].index(b"</sheetData>")
    parts[sheet] = parts[sheet][:cut] + b" " * (200 << 20) + parts[sheet][cut:]
    return _zip(parts)


def _wide_book(book):
    """A workbook whose last cell lies in the last row and column that there can be."""
    parts = _parts(book)
    sheet = next(name for name in parts if "sheet1.xml" in name)
    cell = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    parts[sheet] = parts[sheet].replace(b"</sheetData>", cell + b"</sheetData>")
    return _zip(parts)


def _laughing_book(book):
    parts = _parts(book)
    sheet = next(name for name in parts if "sheet1.xml" in name)
    entities = b"".join(b'<!ENTITY e%d "%s">' % (n + 1, b"&e%d;" % n * 10) for n in range(9))
    head = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">' + entities + b"]>"
    body = parts[sheet][parts[sheet].index(b"<worksheet") :]
    parts[sheet] = head + body.replace(b"</sheetData>", b"</sheetData>&e9;")
    return _zip(parts)


def _special_tables():
    for suffix in (".csv", ".parquet", ".xlsx", ".csv.gz"):
        family = "table-special"
        yield Draft(family, f"zero{suffix}", link("/dev/zero"))
        yield Draft(family, f"folder{suffix}", Path.mkdir)
        yield Draft(family, f"hole{suffix}", hole(b"path,label\n"))
        yield Draft(family, f"dangling{suffix}", link("nowhere"))
    yield Draft("table-special", "socket.csv", _socket)
    yield Draft("table-special", "full.csv", link("/dev/full"))


def _socket(path):
    from tests.hostile.images import bind

    bind(path)
