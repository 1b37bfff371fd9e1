"""Documents are checked by meaning: ranges, finite numbers, parts that fit together."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eosin.artifacts.audit import AuditReport, Finding, Pair
from eosin.artifacts.comparison import Comparison
from eosin.artifacts.metrics import read_metrics
from eosin.artifacts.model import RESEARCH_USE_ONLY, ModelInfo
from eosin.artifacts.predictions import PredictionRecord
from eosin.artifacts.profile import Drift, Profile
from eosin.artifacts.run import BalanceReport, Environment, SamplesIndex, SplitReport
from eosin.artifacts.stain import StainRecord
from eosin.artifacts.versioned import check_fit, read_document
from eosin.core.errors import ArtifactError

KINDS = (
    AuditReport, BalanceReport, Comparison, Drift, Environment, ModelInfo, PredictionRecord,
    Profile, SamplesIndex, SplitReport, StainRecord,
)  # fmt: skip
INFINITE, NOT_A_NUMBER = float("inf"), float("nan")
STAIN = {
    "method": "macenko",
    "stain_matrix": [[0.6, 0.8, 0.0], [0.0, 0.8, 0.6]],
    "max_concentrations": [1.5, 1.0],
}
REINHARD = {"method": "reinhard", "lab_mean": [60.0, 10.0, -5.0], "lab_std": [9.0, 5.0, 4.0]}
MODEL = {
    "format_version": "1.0",
    "architecture": "light_cnn",
    "arguments": {"input_px": 64, "hidden_activation": "none"},
    "class_names": ["benign", "malignant"],
    "positive": "malignant",
    "preprocessing": {
        "input_px": [64, 48],
        "channels": ["R", "G", "B"],
        "stain": STAIN,
        "scale": 1 / 255,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    },
    "mpp": 0.5,
    "threshold": {"value": 0.3, "source": "val", "target_recall": 0.9},
    "temperature": 1.5,
    "abstention": {
        "alpha": 0.1,
        "quantiles": {"benign": 0.7, "malignant": 0.8},
        "n_groups": {"benign": 12, "malignant": 10},
        "source": "val",
    },
    "data_fingerprint": "ab",
    "data_licence": "CC0-1.0",
    "simulated": False,
    "metrics": {"test": {"auc": {"value": 0.8, "low": 0.7, "high": 0.9}}},
    "parity": {"max_probability_gap": 1e-7, "n_images": 12},
    "params": 10,
    "macs": 20,
    "weights_sha256": "cd",
    "files": {"model.onnx": "ef"},
    "licence": "Apache-2.0",
}
FLUORESCENCE = {
    "modality": "fluorescence",
    "preprocessing": {
        "input_px": [64, 64],
        "channels": ["DNA", "actin"],
        "planes": {
            "chosen": [2, 0],
            "n_stored": 3,
            "bits": 16,
            "window": {"low": [10, 20], "high": [1000, 900], "percentiles": [1, 99]},
        },
        "scale": 1 / 255,
        "mean": [0, 0],
        "std": [1, 1],
    },
}
FEATURES = {
    "preprocessing": {
        "input_px": [1, 1],
        "channels": ["f0", "f1", "f2"],
        "scale": 1.0,
        "mean": [0.0],
        "std": [1.0],
        "table": "features.csv",
        "table_sha256": "ab",
    }
}
BUNDLE = {
    "preprocessing": {
        "input_px": [64, 64],
        "channels": ["B", "G", "R", "B", "G", "R"],
        "magnifications": ["40", "100"],
        "scale": 1.0,
        "mean": [104, 117, 124, 104, 117, 124],
        "std": [1, 1, 1, 1, 1, 1],
    }
}
MEMBER = {
    "run": "a",
    "architecture": "light_cnn",
    "arguments": {},
    "input_px": [64, 64],
    "temperature": 1.0,
    "threshold": None,
    "params": 10,
    "weights_sha256": "ab",
}
AUDIT = AuditReport(
    n_images=2,
    n_groups=1,
    splits={"train": {"n_images": 1, "n_groups": 1}},
    findings=[
        Finding(
            kind="same_group",
            severity="leak",
            message="shared",
            pairs=[Pair(a="a.png", b="b.png", split_a="train", split_b=None, score=1.0)],
        )
    ],
).model_dump(mode="json")


def read(folder, data, kind=ModelInfo):
    path = folder / "document.json"
    path.write_text(json.dumps(data))
    return read_document(path, kind)


def altered(data, path, value):
    """A copy with one value replaced; ``None`` as the path changes nothing."""
    data = copy.deepcopy(data)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return data


@pytest.mark.parametrize("changes", [{}, FLUORESCENCE, FEATURES, BUNDLE])
def test_what_eosin_writes_is_read(tmp_path, changes):
    assert read(tmp_path, {**MODEL, **changes}).positive == "malignant"


def test_an_ensemble_of_folds_and_one_of_runs_are_read(tmp_path):
    folds = {"architecture": "light_cnn", "members": 5}
    assert not read(tmp_path, {**MODEL, "architecture": "ensemble", "arguments": folds}).members
    runs = {"members": [MEMBER, MEMBER]}
    found = read(tmp_path, {**MODEL, "architecture": "ensemble", "arguments": runs})
    assert [member.run for member in found.members] == ["a", "a"]


def test_an_interval_need_not_hold_its_estimate(tmp_path):
    above = {"value": 0.05, "low": 0.06, "high": 0.1}
    found = read(tmp_path, altered(MODEL, ("metrics", "test", "ece"), above))
    assert found.metrics["test"]["ece"].low == 0.06


NUMBERS = [
    ("threshold", "value"),
    ("threshold", "target_recall"),
    ("temperature",),
    ("mpp",),
    ("params",),
    ("macs",),
    ("abstention", "alpha"),
    ("abstention", "quantiles", "benign"),
    ("abstention", "n_groups", "benign"),
    ("preprocessing", "std", 1),
    ("preprocessing", "input_px", 0),
    ("preprocessing", "stain", "max_concentrations", 1),
    ("parity", "max_probability_gap"),
    ("metrics", "test", "auc", "value"),
]


@pytest.mark.parametrize("value", [NOT_A_NUMBER, INFINITE, -1, 10**400, True, "0.5", [], {}])
@pytest.mark.parametrize("path", NUMBERS, ids=str)
def test_a_number_out_of_range_is_refused_with_its_key(tmp_path, path, value):
    with pytest.raises(ArtifactError) as caught:
        read(tmp_path, altered(MODEL, path, value))
    result = str(caught.value)
    assert path[0] in result
    assert "\n" not in result
    assert len(result) < len(str(tmp_path)) + 400


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("threshold", "value"), 5),
        (("temperature",), 0),
        (("positive",), "unknown"),
        (("positive",), None),
        (("class_names",), ["benign"]),
        (("class_names",), ["malignant", "malignant"]),
        (("class_names", 0), ""),
        (("class_names", 0), "\ud800"),
        (("class_names", 0), "be\nnign"),
        (("class_names", 0), "y" * 100_000),
        (("abstention", "quantiles"), {}),
        (("abstention", "quantiles"), {"benign": 0.5, "other": 0.5}),
        (("abstention", "n_groups"), {"other": 5}),
        (("preprocessing", "mean"), [0.5]),
        (("preprocessing", "std"), [0.5, 0.5]),
        (("preprocessing", "std", 0), 0),
        (("preprocessing", "std", 0), 1e-300),
        (("preprocessing", "scale"), 0),
        (("preprocessing", "scale"), 1e300),
        (("preprocessing", "input_px"), [100_000, 100_000]),
        (("preprocessing", "channels"), ["R", "G", "G"]),
        (("preprocessing", "channels"), ["R", "G", "B", "R", "G", "B"]),
        (("preprocessing", "magnifications"), ["40", "100"]),
        (("preprocessing", "stain", "stain_matrix", 0), [0, 0, 0]),
        (("preprocessing", "stain", "stain_matrix", 1), [0.6, 0.8, 0.0]),
        (("preprocessing", "stain", "i0"), 0),
        (("preprocessing", "stain", "max_concentrations"), [1.0, 1e300]),
        (("preprocessing", "stain"), {**REINHARD, "lab_mean": [1e300, 0.0, 0.0]}),
        (("preprocessing", "stain"), {**REINHARD, "lab_std": [0.0, 1.0, 1.0]}),
        (("modality",), "fluorescence"),
        (("metrics", "test", "auc"), {"value": 0.8, "low": 0.9, "high": 0.7}),
        (("metrics", "test", "auc", "value"), 5),
        (("arguments",), {"deep": json.loads("[" * 50 + "]" * 50)}),
        (("arguments",), {"lr": NOT_A_NUMBER}),
        (("architecture",), "ensemble"),
        (("preprocessing", "scale"), 1e-320),
        (("preprocessing", "std"), [1e300] * 3),
        (("preprocessing", "mean"), [1e20, 0, 0]),
        (("mpp",), 1e300),
        (("intended_use",), "\x1b[2J"),
        (("intended_use",), ""),
        (("intended_use",), "For diagnosis."),
        (("intended_use",), RESEARCH_USE_ONLY + "y" * 1_000_000),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, path, value):
    with pytest.raises(ArtifactError, match="does not fit its schema"):
        read(tmp_path, altered(MODEL, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("planes", "chosen"), [0, 0]),
        (("planes", "chosen"), [0, 3]),
        (("planes", "chosen"), [0]),
        (("planes", "window", "low"), [10]),
        (("planes", "window", "high"), [1, 1]),
        (("planes", "window", "percentiles"), [99, 1]),
        (("planes",), None),
        (("channels",), ["DNA", "DNA"]),
        (("magnifications",), ["40"]),
        (("stain",), STAIN),
    ],
)
def test_channels_of_fluorescence_that_do_not_fit_are_refused(tmp_path, path, value):
    with pytest.raises(ArtifactError, match="does not fit its schema"):
        read(tmp_path, altered({**MODEL, **FLUORESCENCE}, ("preprocessing", *path), value))


@pytest.mark.parametrize(
    "arguments",
    [
        {"members": 0, "architecture": "light_cnn"},
        {"members": 5},
        {"members": [MEMBER]},
        {"members": [MEMBER, {**MEMBER, "temperature": 0}]},
        {"members": [MEMBER, {}]},
        {"members": [MEMBER, 5]},
    ],
)
def test_an_ensemble_whose_members_do_not_fit_is_refused(tmp_path, arguments):
    with pytest.raises(ArtifactError, match="does not fit its schema"):
        read(tmp_path, {**MODEL, "architecture": "ensemble", "arguments": arguments})


def test_a_misfit_names_the_key_as_it_is_in_the_file(tmp_path):
    with pytest.raises(ArtifactError, match=r"at preprocessing\.std\.1: .*, got -1\. "):
        read(tmp_path, altered(MODEL, ("preprocessing", "std", 1), -1))
    data = copy.deepcopy(MODEL)
    del data["preprocessing"]["scale"]
    with pytest.raises(ArtifactError, match=r"at preprocessing\.scale: Field required\. "):
        read(tmp_path, data)
    with pytest.raises(ArtifactError, match=r"at preprocessing\.stain\.i0: .*, got null\. "):
        read(tmp_path, altered(MODEL, ("preprocessing", "stain", "i0"), None))


@pytest.mark.parametrize("item", ["0", '{"pairs": 0}'])
def test_a_long_list_of_misfits_is_refused_at_the_first(tmp_path, item):
    text = f'{{"format_version": "1.0", "findings": [{",".join([item] * 500_000)}]}}'
    (tmp_path / "audit.json").write_text(text)
    with pytest.raises(ArtifactError, match="does not fit"):
        read_document(tmp_path / "audit.json", AuditReport)


def test_a_mapping_of_countless_keys_is_refused(tmp_path):
    splits = {str(number): 0 for number in range(150_000)}
    with pytest.raises(ArtifactError, match="at splits: at most 100,000 keys"):
        read(tmp_path, {**AUDIT, "splits": splits}, AuditReport)


def test_a_number_of_thousands_of_digits_is_cut(tmp_path):
    with pytest.raises(ArtifactError) as caught:
        read(tmp_path, {**MODEL, "params": 10**4000})
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**20)])
    | st.floats()
    | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


def places(node, path=()):
    """Every key of a document."""
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(node[key], (*path, key))


@st.composite
def altered_documents(draw, data):
    path = draw(st.sampled_from(sorted(places(data), key=str)))
    return altered(data, path, draw(JSON))


def check(kind, data, tmp_path_factory):
    """Read what a file of that content says, or refuse it in one line."""
    path = tmp_path_factory.getbasetemp() / "hostile.json"
    path.write_text(json.dumps(data))
    result = ""
    try:
        read_document(path, kind).model_dump(mode="json")
    except ArtifactError as error:
        result = str(error)
    assert len(result.splitlines()) <= 1


@settings(max_examples=80)
@given(data=st.data())
def test_an_altered_model_is_read_or_refused(data, tmp_path_factory):
    changes = data.draw(st.sampled_from([{}, FLUORESCENCE, FEATURES, BUNDLE]))
    found = data.draw(altered_documents({**MODEL, **changes}))
    check(ModelInfo, found, tmp_path_factory)


@settings(max_examples=40)
@given(found=altered_documents(AUDIT))
def test_an_altered_audit_is_read_or_refused(found, tmp_path_factory):
    check(AuditReport, found, tmp_path_factory)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(data=st.data())
def test_any_json_is_read_or_refused(kind, data, tmp_path_factory):
    keys = st.sampled_from(sorted(kind.model_fields))
    found = data.draw(st.dictionaries(keys, JSON) | JSON)
    if isinstance(found, dict):
        found["format_version"] = "1.0"
    check(kind, found, tmp_path_factory)


@pytest.mark.parametrize("found", [{"a": 1}, {"a": {}}, {"\ud800": {"n_images": -1}}])
def test_metrics_that_do_not_fit_are_told_in_one_line(found, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"format_version": "1.0", **found}))
    with pytest.raises(ArtifactError) as caught:
        read_metrics(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_part_of_a_file_is_told_with_the_keys_that_lead_to_it(tmp_path):
    with pytest.raises(ArtifactError, match=r"at test\.findings: "):
        check_fit(tmp_path, AuditReport, {**AUDIT, "findings": 5}, "test")


def test_a_document_of_many_bytes_is_not_parsed(tmp_path):
    (tmp_path / "model.json").write_bytes(b"[" + b"[]," * 6_000_000 + b"[]]")
    with pytest.raises(ArtifactError, match="too large"):
        read_document(tmp_path / "model.json", ModelInfo)
