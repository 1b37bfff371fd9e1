"""What an ONNX file may hold, and what it may not."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from eosin.core.errors import ArtifactError
from eosin.inference.graphs import check_graph, read_nodes
from eosin.inference.onnx import OnnxNetwork

FLOAT = TensorProto.FLOAT
SHAPE = ["n", 3, 8, 8]


def value(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(path, nodes, weights=(), *, inputs=None, outputs=None, **further):
    graph = helper.make_graph(
        nodes,
        "graph",
        inputs or [value("images", SHAPE)],
        outputs or [value("logits", ["n", 2])],
        weights,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, **further)
    path.write_bytes(model.SerializeToString())
    return path


def plain_nodes():
    return [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
    ]


def weight(factor=1.0):
    return numpy_helper.from_array(np.full((192, 2), factor, np.float32), "weight")


def branch(name):
    return helper.make_graph(
        [helper.make_node("Constant", [], [name], value_float=1.0)], name, [], [value(name, [])]
    )


def odd_files():
    constant = helper.make_node("Constant", [], ["true"], value_int=1)
    choice = helper.make_node(
        "If", ["true"], ["logits"], then_branch=branch("a"), else_branch=branch("b")
    )
    loop = helper.make_node("Loop", ["", "true"], ["logits"], body=branch("c"))
    scan = helper.make_node("Scan", ["images"], ["logits"], num_scan_inputs=1, body=branch("d"))
    foreign = helper.make_node("Twice", ["flat"], ["logits"], domain="own")
    elsewhere = weight()
    elsewhere.data_location = TensorProto.EXTERNAL
    elsewhere.ClearField("raw_data")
    elsewhere.external_data.add(key="location", value="../../../etc/passwd")
    outside = helper.make_node("Constant", [], ["logits"], value=elsewhere)
    function = helper.make_function(
        "own", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])],
        [helper.make_opsetid("", 20)],
    )  # fmt: skip
    return {
        "If": ([constant, choice], (), {}),
        "Loop": ([loop], (), {}),
        "Scan": ([scan], (), {}),
        "'own'": ([foreign], (), {}),
        "draws at random": (
            [helper.make_node("RandomNormal", [], ["logits"], shape=[1, 2])],
            (),
            {},
        ),
        "another file": (plain_nodes(), [elsewhere], {}),
        "weights in another file": ([outside], (), {}),
        "function": (plain_nodes(), [weight()], {"functions": [function]}),
    }


@pytest.mark.parametrize("name", odd_files())
def test_what_no_exported_network_has_is_refused_by_name(tmp_path, name):
    nodes, weights, further = odd_files()[name]
    path = save(tmp_path / "model.onnx", nodes, weights, **further)
    with pytest.raises(ArtifactError, match=name):
        OnnxNetwork(path)


def test_a_plain_network_runs(tmp_path):
    network = OnnxNetwork(save(tmp_path / "model.onnx", plain_nodes(), [weight()]))
    np.testing.assert_array_equal(network.run(np.ones((3, *SHAPE[1:]), np.float32)), 192)


@pytest.mark.parametrize("data", [b"", b"no network", b"\x3a\x05", b"\xff" * 50, b"\x3a\x00" * 2])
def test_what_is_no_onnx_file_is_refused(tmp_path, data):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        check_graph(path)


@settings(max_examples=60)
@given(data=st.data())
def test_any_bytes_are_read_or_refused(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "hostile.onnx"
    good = save(path, plain_nodes(), [weight()]).read_bytes()
    place = data.draw(st.integers(0, 200))
    path.write_bytes(
        data.draw(
            st.binary(max_size=60)
            | st.binary(max_size=4).map(lambda new: good[:place] + new + good[place + len(new) :])
            | st.just(good[:place])
        )
    )
    result = ""
    try:
        OnnxNetwork(path)
    except ArtifactError as error:
        result = str(error)
    assert len(result.splitlines()) <= 1


def test_countless_parts_are_refused_in_seconds(tmp_path):
    path = tmp_path / "model.onnx"
    nodes = b"\x0a\x00" * 3_000_000
    path.write_bytes(b"\x3a" + bytes_of(len(nodes)) + nodes)
    started = time.process_time()  # whatever else the machine does
    with pytest.raises(ArtifactError, match="fields"):
        check_graph(path)
    assert time.process_time() - started < 10


def bytes_of(number):
    """A number as protocol buffers write it."""
    found = b""
    while number > 0x7F:
        found, number = found + bytes([number & 0x7F | 0x80]), number >> 7
    return found + bytes([number])


def test_a_file_too_large_for_its_format_is_refused_unread(tmp_path):
    path = tmp_path / "model.onnx"
    with path.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(ArtifactError, match="bytes"):
        OnnxNetwork(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match="named pipe"):
        OnnxNetwork(tmp_path / "model.onnx")


def test_a_failing_operator_is_told_in_one_line_and_nothing_else_is_printed(tmp_path, capfd):
    reshape = helper.make_node("Reshape", ["images", "shape"], ["logits"])
    shape = numpy_helper.from_array(np.array([5, 7]), "shape")
    network = OnnxNetwork(save(tmp_path / "model.onnx", [reshape], [shape]))
    with pytest.raises(ArtifactError, match="does not run in ONNX Runtime") as caught:
        network.run(np.zeros((1, *SHAPE[1:]), np.float32))
    assert len(str(caught.value).splitlines()) == 1
    path = save(tmp_path / "odd.onnx", [helper.make_node("Nothing", ["images"], ["logits"])])
    with pytest.raises(ArtifactError, match="does not load in ONNX Runtime"):
        OnnxNetwork(path)
    assert capfd.readouterr() == ("", "")


def test_lack_of_memory_is_not_reported_as_damage(tmp_path):
    fill = helper.make_node("ConstantOfShape", ["shape"], ["logits"])
    shape = numpy_helper.from_array(np.array([10**7, 10**7]), "shape")
    path = save(tmp_path / "model.onnx", [fill], [shape])
    with pytest.raises(ArtifactError, match="needs more memory than is free"):
        OnnxNetwork(path).run(np.zeros((1, *SHAPE[1:]), np.float32))


def test_what_the_library_prints_while_it_is_imported_is_not_shown(tmp_path):
    stub = tmp_path / "onnxruntime.py"
    stub.write_text(
        "import os\nos.write(2, b'[W:onnxruntime] no GPU')\n__version__ = '0'\n"
        "def set_default_logger_severity(level): pass\n"
        "class SessionOptions:\n    def add_session_config_entry(self, *a): pass\n"
        "class InferenceSession:\n    def __init__(self, *a, **k): os.write(2, b'kept')\n"
    )
    save(tmp_path / "model.onnx", plain_nodes(), [weight()])
    code = (
        "import sys; from pathlib import Path; from eosin.inference.onnx import OnnxNetwork; "
        "OnnxNetwork(Path(sys.argv[1]))"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "model.onnx")]
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        line, capture_output=True, check=True, timeout=60, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stderr == b"kept"


def test_operators_are_read_and_inner_tensors_become_outputs(tmp_path):
    path = save(tmp_path / "model.onnx", plain_nodes(), [weight()])
    check_graph(path)
    nodes = read_nodes(path)
    assert [node.operator for node in nodes] == ["Flatten", "MatMul"]
    assert nodes[1].inputs == ("flat", "weight")
    images = np.random.default_rng(0).random((2, 3, 8, 8)).astype(np.float32)
    found = OnnxNetwork(path, also=["flat", "weight"]).run_inside(images)
    np.testing.assert_array_equal(found["flat"], images.reshape(2, -1))
    np.testing.assert_array_equal(found["weight"], np.full((192, 2), 1, np.float32))
    np.testing.assert_array_equal(found["logits"], OnnxNetwork(path).run(images))
