"""A model folder evaluates images; a folder that is none is refused by name."""

import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest

from eosin.artifacts.integrity import write_model
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.metrics import Abstention, Threshold
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document, write_document
from eosin.artifacts.weights import read_arrays, write_arrays
from eosin.core.errors import ArtifactError
from eosin.core.files import sha256_file
from eosin.images.preprocess import to_input
from eosin.inference.classifier import Classifier, decide
from eosin.inference.onnx import OnnxNetwork

SINGLE_PRECISION = 1e-5  # of logits around 1, in float32, across batch sizes


@pytest.fixture
def model(tiny_run, tmp_path):
    """A copy of the tiny run's model folder."""
    shutil.copytree(RunFolder(tiny_run).model, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (35, 64, 64, 3), dtype=np.uint8)


def test_logits_do_not_depend_on_the_batch(model, images):
    classifier = Classifier(model, threads=1)
    together = classifier.logits(images)
    alone = np.concatenate([classifier.logits(images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(together, alone, atol=SINGLE_PRECISION)
    assert together.dtype == np.float64


def test_eight_views_are_averaged_as_by_hand(model, images):
    some = images[:5]
    alone = Classifier(model, info=info_with(model, temperature=1.0))
    views = [
        np.rot90(seen, turns, axes=(1, 2))
        for seen in (some, some[:, :, ::-1])
        for turns in range(4)
    ]
    mean = np.mean([alone.probabilities(alone.logits(view)) for view in views], axis=0)
    together = Classifier(model, info=info_with(model, temperature=1.0, test_time="dihedral"))
    logits = together.logits(some)
    np.testing.assert_allclose(np.exp(logits), mean, rtol=0, atol=SINGLE_PRECISION)
    np.testing.assert_allclose(together.probabilities(logits), mean, rtol=0, atol=SINGLE_PRECISION)
    # A view of a view is a view.
    np.testing.assert_allclose(together.logits(views[5]), logits, atol=SINGLE_PRECISION)
    assert together.logits(some[:0]).shape == (0, 2)


def test_what_is_not_square_has_four_views(model, monkeypatch):
    seen = []

    def run(_network, inputs):
        seen.append(inputs)
        return np.zeros((len(inputs), 2), np.float32)

    monkeypatch.setattr(OnnxNetwork, "run", run)
    images = np.random.default_rng(0).integers(0, 256, (1, 40, 64, 3), dtype=np.uint8)
    logits = Classifier(model, info=info_with(model, test_time="dihedral")).logits(images)
    np.testing.assert_allclose(logits, np.log(0.5))
    image = seen[0][0]
    wanted = [image, image[:, ::-1], image[:, :, ::-1], image[:, ::-1, ::-1]]
    assert len(seen) == 4
    assert all(view.flags.c_contiguous for view in seen)
    assert {view[0].tobytes() for view in seen} == {
        np.ascontiguousarray(view).tobytes() for view in wanted
    }


def test_the_network_is_given_the_stored_bytes(model, images, on_entry):
    seen = []
    classifier = Classifier(model)
    with on_entry(OnnxNetwork.run, lambda given: seen.append(given["images"].copy())):
        classifier.logits(images)
    wanted = to_input(images, classifier.info.preprocessing)
    np.testing.assert_array_equal(np.concatenate(seen), wanted)


def test_no_images_are_no_rows(model, images):
    assert Classifier(model).logits(images[:0]).shape == (0, 2)


def test_the_temperature_is_applied(model):
    paths = ModelFolder(model)
    info = read_document(paths.info, ModelInfo)
    write_document(paths.info, info.model_copy(update={"temperature": 2.0}))
    probabilities = Classifier(model).probabilities(np.array([[0.0, 2 * np.log(3.0)]]))
    np.testing.assert_allclose(probabilities, [[0.25, 0.75]], rtol=1e-12)  # rounding of exp


def info_with(model, **changed):
    return read_document(ModelFolder(model).info, ModelInfo).model_copy(update=changed)


@pytest.mark.parametrize(
    ("threshold", "positive", "decided"),
    [
        (0.3, "malignant", [0, 1, 1]),
        (0.300001, "malignant", [0, 0, 1]),
        (0.3, "benign", [0, 0, 0]),
        (None, "malignant", [0, 0, 1]),
        (0.3, None, [0, 0, 1]),
    ],
)
def test_the_decision_is_at_the_threshold_and_reaching_it_counts(
    model, threshold, positive, decided
):
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.3, 0.7]])
    info = info_with(
        model,
        threshold=Threshold(value=threshold, source="val", target_recall=0.9),
        positive=positive,
    )
    np.testing.assert_array_equal(decide(probabilities, info), decided)


def test_several_classes_are_decided_by_arg_max(model):
    info = info_with(model, class_names=("a", "b", "c"), positive="a")
    assert list(decide(np.array([[0.35, 0.4, 0.25]]), info)) == [1]


def test_it_abstains_unless_the_set_holds_the_decided_class_alone(model):
    paths, info = ModelFolder(model), info_with(model, abstention=None)
    info = info.model_copy(update={"threshold": info.threshold.model_copy(update={"value": 0.5})})
    write_document(paths.info, info)
    probabilities = np.array([[0.95, 0.05], [0.7, 0.3], [0.55, 0.45], [0.2, 0.8]])
    assert not Classifier(model).abstains(probabilities).any()
    rule = Abstention(alpha=0.1, quantiles=None, n_groups={}, source="val", reason="too few")
    write_document(paths.info, info.model_copy(update={"abstention": rule}))
    assert not Classifier(model).abstains(probabilities).any()
    # Benign takes 0.5, malignant 0.4: the third row has both. Or 0.9 and 0.9: two have none.
    for quantiles, expected in (
        ({"malignant": 0.6, "benign": 0.5}, [False, False, True, False]),
        ({"malignant": 0.1, "benign": 0.1}, [False, True, True, True]),
    ):
        changed = rule.model_copy(update={"quantiles": quantiles, "reason": None})
        write_document(paths.info, info.model_copy(update={"abstention": changed}))
        assert Classifier(model).abstains(probabilities).tolist() == expected
    # A threshold below what keeps malignant in the set: the second row is called malignant, its
    # set holds benign alone.
    low = info.threshold.model_copy(update={"value": 0.25})
    changed = rule.model_copy(
        update={"quantiles": {"malignant": 0.6, "benign": 0.5}, "reason": None}
    )
    write_document(paths.info, info.model_copy(update={"abstention": changed, "threshold": low}))
    assert Classifier(model).abstains(probabilities).tolist() == [False, True, True, False]


def test_decisions_are_told_by_name(model):
    classifier = Classifier(model)
    assert set(classifier.decide(np.array([[1.0, 0.0], [0.0, 1.0]]))) == {"benign", "malignant"}


def test_a_folder_that_is_none_is_refused(model, tmp_path):
    with pytest.raises(ArtifactError, match=r"is not a model folder: it has no model\.json"):
        Classifier(tmp_path)
    ModelFolder(model).onnx.write_bytes(b"no network")
    with pytest.raises(ArtifactError, match=r"model\.onnx is not the file"):
        Classifier(model)
    write_model(ModelFolder(model), read_document(ModelFolder(model).info, ModelInfo))
    with pytest.raises(ArtifactError, match="does not load in ONNX Runtime"):
        Classifier(model)


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
def test_a_file_of_a_model_folder_is_answered_with_the_folder(model, name):
    with pytest.raises(ArtifactError) as caught:
        Classifier(model / name)
    assert str(model) in caught.value.hint


def test_a_cut_model_json_is_to_be_copied_again(model):
    text = (model / "model.json").read_bytes()
    (model / "model.json").write_bytes(text[: len(text) // 2])
    with pytest.raises(ArtifactError, match="JSON") as caught:
        Classifier(model)
    assert "again" in caught.value.hint


def test_a_network_of_another_shape_is_refused_whatever_is_listed(model, tmp_path):
    paths = ModelFolder(model)
    info = read_document(paths.info, ModelInfo)
    nothing = Threshold(value=None, source="no positive class", target_recall=None)
    three = {"class_names": (*info.class_names, "third"), "positive": None, "threshold": nothing}
    write_model(paths, info.model_copy(update=three))
    with pytest.raises(ArtifactError, match=r"`logits` is \(n, 2\), but .* needs \(N, 3\)"):
        Classifier(model)
    smaller = info.preprocessing.model_copy(update={"input_px": (32, 32)})
    write_model(paths, info.model_copy(update={"preprocessing": smaller}))
    with pytest.raises(ArtifactError, match=r"`images` is \(n, 3, 64, 64\)"):
        Classifier(model)
    # The same in the NumPy engine.
    paths.onnx.unlink()
    write_model(paths, info.model_copy(update=three))
    with pytest.raises(ArtifactError, match=r"model\.safetensors does not fit the network"):
        Classifier(model)
    write_model(
        paths,
        info.model_copy(
            update={
                "architecture": "ensemble",
                "arguments": {"architecture": "light_cnn", "members": 2},
            }
        ),
    )
    with pytest.raises(ArtifactError, match="has no 'temperatures'"):
        Classifier(model)


def test_p3_s_network_without_its_onnx_file_runs_in_the_numpy_engine(model):
    paths = ModelFolder(model)
    info = read_document(paths.info, ModelInfo)
    images = np.random.default_rng(0).integers(0, 256, (3, *info.preprocessing.input_px, 3))
    images = images.astype(np.uint8)
    expected = Classifier(model).logits(images)
    assert Classifier(model).engine.startswith("ONNX Runtime ")
    paths.onnx.unlink()
    write_model(paths, info)
    assert Classifier(model).engine == "NumPy engine"
    np.testing.assert_allclose(Classifier(model).logits(images), expected, rtol=1e-4, atol=1e-4)
    paths.weights.unlink()
    write_model(paths, info)
    with pytest.raises(ArtifactError, match=r"model\.safetensors does not exist"):
        Classifier(model)
    write_model(paths, info.model_copy(update={"architecture": "vgg16"}))
    with pytest.raises(ArtifactError, match=r"model\.onnx does not exist"):
        Classifier(model)


def exported(
    *, inputs=("images",), kind=onnx.TensorProto.FLOAT, shape=("n", 2), further=(), factor=None
):
    """A network whose inputs and outputs are not those of ``model.json``."""
    sizes = ["n", "c", "h", "w"]
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceMean", [inputs[0], "axes"], ["mean"], keepdims=0),
            onnx.helper.make_node("Cast", ["mean"], ["logits"], to=kind)
            if factor is None
            else onnx.helper.make_node("MatMul", ["mean", "factor"], ["logits"]),
            *(onnx.helper.make_node("Identity", ["mean"], [name]) for name in further),
        ],
        "graph",
        [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, sizes) for n in inputs],
        [
            onnx.helper.make_tensor_value_info("logits", kind, shape),
            *(
                onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", "c"])
                for n in further
            ),
        ],
        [
            onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [2, 3]),
            onnx.helper.make_tensor("factor", onnx.TensorProto.FLOAT, [3, 2], [factor or 0] * 6),
        ],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (exported(kind=onnx.TensorProto.DOUBLE), "tensor\\(double\\)"),
        (exported(shape=("n", 2, 1)), "`logits` is"),
        (exported(inputs=("pictures",)), "`images` is absent"),
        (exported(inputs=("images", "more")), "`more`"),
        (exported(further=("more",)), "`more`"),
    ],
)
def test_inputs_and_outputs_unlike_model_json_are_refused(model, network, words):
    paths = ModelFolder(model)
    paths.onnx.write_bytes(network)
    write_model(paths, info_with(model))
    with pytest.raises(ArtifactError, match=words):
        Classifier(model)


def test_sizes_that_the_file_leaves_open_are_compared_at_the_first_run(model, images):
    paths = ModelFolder(model)
    paths.onnx.write_bytes(exported(shape=("n", "k")))
    write_model(paths, info_with(model))
    with pytest.raises(ArtifactError, match=r"logits of shape \(2, 3\), but .* needs \(2, 2\)"):
        Classifier(model).logits(images[:2])


@pytest.mark.parametrize("engine", ["onnx", "numpy"])
def test_logits_that_are_no_numbers_are_refused(model, images, engine, recwarn):
    paths, info = ModelFolder(model), info_with(model)
    if engine == "numpy":
        paths.onnx.unlink()
        arrays = dict(read_arrays(paths.weights))
        arrays["classifier.3.weight"] = np.full_like(arrays["classifier.3.weight"], 3e38)
        write_arrays(paths.weights, arrays)
        info = info.model_copy(update={"weights_sha256": sha256_file(paths.weights)})
        write_model(paths, info)
    else:
        paths.onnx.write_bytes(exported(factor=np.inf))
        write_model(paths, info)
    classifier = Classifier(model)
    with pytest.raises(ArtifactError, match=r"numbers that are not finite for \d of 2 images"):
        classifier.logits(images[:2])
    assert not recwarn.list


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("classifier.3.bias", lambda array: array * np.nan),
        ("features.0.weight", lambda array: array[:, :1]),
        ("features.7.bias", lambda array: array[:0]),
        ("classifier.1.weight", lambda array: array.sum()),
        ("classifier.1.weight", lambda array: array[:, :7]),
        ("classifier.3.weight", lambda array: array > 0),
    ],
)
def test_weights_that_do_not_fit_the_numpy_engine_are_refused(model, name, change):
    paths = ModelFolder(model)
    paths.onnx.unlink()
    arrays = dict(read_arrays(paths.weights))
    write_arrays(paths.weights, arrays | {name: np.asarray(change(arrays[name]))})
    update = {"weights_sha256": sha256_file(paths.weights)}
    write_model(paths, info_with(model).model_copy(update=update))
    with pytest.raises(ArtifactError, match=r"model\.safetensors does not fit"):
        Classifier(model)


@pytest.mark.parametrize(
    "arguments", [{"input_px": 10**6}, {"input_px": 32}, {"hidden_activation": 5}]
)
def test_arguments_that_do_not_fit_the_numpy_engine_are_refused(model, arguments):
    paths, info = ModelFolder(model), info_with(model)
    paths.onnx.unlink()
    write_model(paths, info.model_copy(update={"arguments": info.arguments | arguments}))
    with pytest.raises(ArtifactError, match="does not fit the network"):
        Classifier(model)


@pytest.mark.parametrize("name", ["model.json", "model.onnx", "model.safetensors", "profile.json"])
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "folder", "device"])
def test_what_is_no_file_is_refused_at_once(model, tmp_path, name, kind):
    path = model / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        target = path if kind == "pipe" else tmp_path / "pipe"
        os.mkfifo(target)
        if target != path:
            path.symlink_to(target)
    with pytest.raises(ArtifactError, match="not a file"):
        Classifier(model)


def test_a_file_larger_than_any_model_is_not_read(model):
    with (model / "model.safetensors").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(ArtifactError, match="GiB"):
        Classifier(model)


THREADS = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from eosin.inference.classifier import Classifier
before = os.fstat(2)
with ThreadPoolExecutor(8) as pool:
    opened = list(pool.map(Classifier, [Path(sys.argv[1])] * 8))
assert (os.fstat(2).st_dev, os.fstat(2).st_ino) == (before.st_dev, before.st_ino)
sys.stderr.write(opened[0].engine)
"""


def test_threads_may_open_models_at_once(model):
    done = subprocess.run(
        [sys.executable, "-c", THREADS, model], capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith("ONNX Runtime ")
    assert done.returncode == 0
