"""Registration of users' own parts, and how plugins are found."""

from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tests.facts import tells

from eosin import plugins
from eosin.augment import POLICIES
from eosin.core.errors import DataError, UnknownNameError, UsageError
from eosin.core.plugins import load_entry_points, load_plugin
from eosin.core.registry import Registry
from eosin.data.sources.base import DATASETS, collect_samples
from eosin.metrics import METRIC_NAMES, METRICS, Predictions, interval, measure_values, summarise
from eosin.networks import NETWORKS, build_network

pytestmark = pytest.mark.usefixtures("own_registries")


def some_predictions(n_groups=30, positive=1):
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 4 * n_groups)
    scores = np.clip(0.3 + 0.4 * truth + random.normal(0, 0.25, len(truth)), 0.01, 0.99)
    table = np.column_stack([1 - scores, scores])
    groups = np.repeat(np.arange(n_groups), 4)
    return Predictions(table, truth, table.argmax(axis=1), groups, positive)


def accuracy(predictions):
    return np.mean(predictions.targets == predictions.predicted)


def test_names_that_are_taken_are_refused():
    for register in (
        plugins.network("light_cnn", stages={"head": "fc"}),
        plugins.dataset("phantom", title="", licence="", citation=""),
        plugins.policy("p1"),
        plugins.metric("auc"),
    ):
        with pytest.raises(ValueError, match="registered twice"):
            register(lambda *_, **__: None)
    with pytest.raises(ValueError, match="head"):
        plugins.network("mine", stages={"conv": "features"})


def test_a_network_takes_its_own_arguments():
    from torch import nn

    @plugins.network("mine", stages={"head": "1"}, min_input_px=16)
    def build(num_classes, input_px, in_channels=3, width=4):
        return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * input_px**2, num_classes))

    assert NETWORKS.get("mine").arguments == {"width": 4}
    built = build_network("mine", num_classes=3, input_px=16, arguments={"width": 5})
    assert built[1].out_features == 3
    with pytest.raises(UsageError, match="depth"):
        build_network("mine", num_classes=3, input_px=16, arguments={"depth": 5})
    with pytest.raises(UsageError, match="16"):
        build_network("mine", num_classes=3, input_px=8, arguments={})


def test_an_own_metric_has_the_interval_of_the_same_one_of_eosin():
    plugins.metric("mine", label="Mine")(accuracy)
    predictions = some_predictions()
    found = summarise(predictions, resamples=300)
    assert set(found) == {*METRIC_NAMES, "mine"}
    assert (found["mine"].value, found["mine"].low, found["mine"].high) == pytest.approx(
        (found["accuracy"].value, found["accuracy"].low, found["accuracy"].high)
    )
    assert "covered" not in found["mine"].reason  # not simulated
    assert measure_values(predictions, ["mine"])["mine"] == found["mine"].value
    assert METRICS["mine"].label == "Mine"


def test_an_own_metric_may_be_undefined_but_not_broken():
    plugins.metric("undefined")(lambda _: np.float64(0) / 0)
    assert (
        summarise(some_predictions(), names=["undefined"], resamples=100)["undefined"].value is None
    )
    for name, broken, fact in (
        ("broken", lambda _: int("x"), "ValueError"),
        ("absent", lambda p: p.nothing, "AttributeError"),
        ("rows", lambda p: p.targets == p.predicted, "shape (120,)"),
        ("nothing", lambda _: None, "NoneType"),
        ("cost", lambda _: 2.5, "between 0 and 1, got 2.5"),
    ):
        plugins.metric(name)(broken)
        with pytest.raises(DataError) as caught:
            summarise(some_predictions(), names=[name], resamples=100)
        assert repr(name) in str(caught.value)
        assert fact in str(caught.value)


@pytest.mark.parametrize("value", [None, "x", 2.5, np.ones(3)])
def test_an_own_metric_is_tried_before_the_data_are_read(value):
    from eosin.metrics.measurement import check_own_metrics

    plugins.metric("mine")(lambda _: 0.5)
    plugins.metric("undefined")(lambda _: np.float64(0) / 0)
    plugins.metric("refused")(lambda _: int("x"))  # a ValueError: undefined
    for names, positive in ((("a", "b"), 1), (("a", "b", "c"), None)):
        check_own_metrics(names, positive)
    plugins.metric("broken")(lambda _: value)
    with pytest.raises(DataError, match="'broken'"):
        check_own_metrics(("a", "b"), 1)


def test_an_interval_contains_its_value():
    right = np.ones(40)
    with pytest.raises(DataError, match="between 0 and 1"):
        interval(right, len, np.arange(40), bounds=(0, 1), resamples=50)
    with pytest.raises(DataError, match="number"):
        interval(right, lambda _: None, np.arange(40), resamples=50)
    with pytest.raises(DataError, match="KeyError"):
        interval(right, lambda _: {}["x"], np.arange(40), resamples=50)


def test_a_lower_value_of_an_own_cost_is_the_better_one_in_its_label():
    plugins.metric("cost", bounds=(0, 9), higher_is_better=False)(lambda _: 2.0)
    assert tells(METRICS["cost"].label, "lower is better")
    assert METRICS["cost"].short == "Cost"


def test_a_cell_of_a_notebook_may_run_again():
    def cell(value):
        plugins.metric("mine")(accuracy)
        plugins.policy("views")(np.flip)
        plugins.policy("views")(np.flip)

        @plugins.dataset("mine", title="", licence="", citation="")
        def collect(folder, options):
            return value

        @plugins.network("mine", stages={"head": ""}, input_px=value)
        def build(num_classes, input_px, in_channels):
            return None

    cell(16)
    cell(32)
    assert NETWORKS.get("mine").input_px == 32
    for register in (plugins.metric("mine"), plugins.policy("views")):
        with pytest.raises(ValueError, match="twice"):
            register(lambda _: 0.5)


@pytest.mark.parametrize(
    ("register", "function", "needed"),
    [
        (plugins.network("mine", stages={"head": "fc"}), lambda num_classes: None, "input_px"),
        (plugins.network("mine", stages={"head": "fc"}), lambda more, **given: None, "default"),
        (plugins.metric("mine"), lambda targets, predicted: 0.5, "predictions"),
        (
            plugins.dataset("mine", title="", licence="", citation=""),
            lambda folder: None,
            "options",
        ),
    ],
)
def test_a_function_with_other_arguments_is_refused_at_once(register, function, needed):
    with pytest.raises(TypeError) as caught:
        register(function)
    assert tells(str(caught.value), "mine", needed)


def test_an_unknown_fact_of_a_data_set_is_named():
    with pytest.raises(TypeError, match="positive"):
        plugins.dataset("mine", title="", licence="", citation="", postive="x")


@pytest.mark.parametrize(
    ("returned", "fact"),
    [
        (None, "NoneType"),
        ([{"path": "a.png"}], "list"),
        (pd.DataFrame({"path": ["a.png"], "klass": ["x"]}), "label"),
        (ZeroDivisionError("nothing"), "nothing"),
    ],
)
def test_a_data_set_that_returns_anything_but_its_table_is_refused(tmp_path, returned, fact):
    @plugins.dataset("mine", title="", licence="", citation="")
    def collect(folder, options):
        if isinstance(returned, Exception):
            raise returned
        return returned

    with pytest.raises(DataError) as caught:
        collect_samples("mine", tmp_path, {}, label="label", positive=None)
    assert tells(str(caught.value), "mine", fact)


def test_a_network_is_tried_as_it_is_built():
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, kind, num_classes):
            super().__init__()
            self.kind = kind
            self.fc = nn.Linear(4 if kind == "inner" else 3, 5 if kind == "five" else num_classes)

        def forward(self, images):
            logits = self.fc(images.mean((2, 3)))
            if self.kind == "softmax":
                return torch.softmax(logits, 1)
            return (logits, images) if self.kind == "pair" else logits

    def build(num_classes, input_px, in_channels, kind="right"):
        if kind == "raises":
            raise KeyError(kind)
        return (lambda images: images) if kind == "function" else Net(kind, num_classes)

    plugins.network("mine", stages={"head": "fc"})(build)
    plugins.network("headless", stages={"head": "classifier"})(build)

    def make(name, **arguments):
        return build_network(name, num_classes=2, input_px=16, arguments=arguments)

    assert make("mine").training
    for kind, fact in (
        ("function", "function"),
        ("five", "(2, 5)"),
        ("inner", "(2, 3, 16, 16)"),
        ("pair", "tuple"),
        ("softmax", "softmax"),
        ("raises", "KeyError"),
    ):
        with pytest.raises(UsageError) as caught:
            make("mine", kind=kind)
        assert "'mine'" in str(caught.value)
        assert fact in str(caught.value)
    with pytest.raises(UsageError) as caught:
        make("headless")
    assert tells(str(caught.value), "classifier", "fc")


def test_an_interval_of_any_function_is_clustered():
    predictions = some_predictions()
    expected = summarise(predictions, names=["accuracy"], resamples=300)["accuracy"]
    found = interval(predictions, accuracy, bounds=(0, 1), resamples=300)
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    right = np.asarray(predictions.targets == predictions.predicted, dtype=float)
    by_array = interval(right, np.mean, predictions.groups, bounds=(0, 1), resamples=300)
    assert by_array == found
    alone = interval(right, np.mean, np.arange(len(right)), resamples=300)
    assert alone.value == found.value
    assert alone.reason is None  # 120 groups
    few = interval(right[:12], np.mean, predictions.groups[:12])
    assert few.low is None
    assert tells(few.reason, "3 groups", "5")
    assert interval(right, lambda _: 1.0, predictions.groups).low is None
    for groups in (None, predictions.groups[1:]):
        with pytest.raises(DataError, match="groups"):
            interval(right, np.mean, groups)


def test_entry_points_are_loaded_when_a_name_is_first_needed(monkeypatch, caplog):
    loaded = []

    class Entry:
        value = "my_package.parts"

        def load(self):
            loaded.append(self.value)
            registry.add("mine", 1)

    class Broken:
        value = "my_broken.parts"
        dist = SimpleNamespace(name="my-broken")

        def load(self):
            raise ImportError("no module")

    found = {"eosin.test_colours": [Broken(), Entry()]}
    monkeypatch.setattr(metadata, "entry_points", lambda group: found.get(group, []))
    registry = Registry("colour", "eosin.test_colours")
    registry.add("red", 0)
    assert registry.get("red") == 0
    assert loaded == []
    assert registry.get("mine") == 1
    assert list(registry) == ["mine", "red"]
    assert loaded == ["my_package.parts"]
    assert tells(caplog.text, "my_broken.parts", "my-broken", "no module")
    with pytest.raises(UnknownNameError):
        registry.get("other")
    load_entry_points("eosin.test_colours")
    assert len(loaded) == 1


def test_a_plugin_is_a_file_or_a_module_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "from eosin import plugins\nplugins.policy('{}')(lambda image: image)\n"
    (tmp_path / "my_file.py").write_text(code.format("one"))
    (tmp_path / "my_module.py").write_text(code.format("two"))
    load_plugin("my_file.py")
    load_plugin("my_file.py")
    load_plugin("my_module")
    assert {"one", "two"} <= set(POLICIES)
    (tmp_path / "my_twin.py").write_text(code.format("one"))
    for name, fact in (("my_twin.py", "twice"), ("my_absent", "my_absent"), ("x.py", "no file")):
        with pytest.raises(UsageError) as caught:
            load_plugin(name)
        assert tells(str(caught.value), name, fact)
    (tmp_path / "my_fault.py").write_text("\nfrom eosin import plugins\nplugins.metric('m', 3)\n")
    for name, fact, is_absent in (
        ("my_fault.py", "my_fault.py, line 3", False),
        (str(tmp_path), "Name a Python module", True),
        ("x.py", "Name a Python module", True),
    ):
        with pytest.raises(UsageError) as caught:
            load_plugin(name)
        assert fact in str(caught.value)
        assert (caught.value.hint is not None) == is_absent


def test_a_data_set_declares_its_facts():
    plugins.dataset("mine", title="Mine", licence="CC0", citation="none", positive="x")(
        lambda folder, options: None
    )
    assert DATASETS.get("mine").facts.positive == "x"
