"""``timm:NAME`` and its relatives: what is known beforehand, what is built, what is refused."""

import json
import socket
from dataclasses import replace

import pytest
import torch
from tests.facts import tells
from torch import nn

from eosin.core.errors import ArtifactError, DownloadError, RecipeError, UnknownNameError
from eosin.core.registry import check_arguments
from eosin.exporting.onnx import MAX_PROBABILITY_GAP, check_parity, write_onnx
from eosin.networks import backbones, build_network, count_params, find_spec
from eosin.networks.backbones import nearest_style
from eosin.networks.freezing import find_cut, freeze
from eosin.networks.pretrained import load_pretrained
from eosin.networks.registry import NETWORKS
from eosin.runtime.door import import_companion


def build(name, px, *, classes=3, seed=0, **options):
    options.setdefault("arguments", {})
    return build_network(name, num_classes=classes, input_px=px, seed=seed, **options)


@pytest.fixture
def no_socket(monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("EOSIN_OFFLINE", "1")
    backbones.hub_folder.cache_clear()
    yield
    backbones.hub_folder.cache_clear()


# ---------------------------------------------------------------------------------------- names


def test_a_registered_name_is_found_as_ever():
    assert find_spec("light_cnn") is NETWORKS.get("light_cnn")
    with pytest.raises(UnknownNameError, match="unknown model 'lightcnn'") as caught:
        find_spec("lightcnn")
    assert caught.value.hint.startswith("Did you mean 'light_cnn'?")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("tim:resnet18", "unknown family of models 'tim'. Did you mean 'timm'?"),
        ("timm:resnet118", "timm has no model 'resnet118'. Did you mean 'resnet18'"),
        ("timm:resnet118.tv_in1k", "timm has no model 'resnet118.tv_in1k'. Did you mean"),
        ("timm:resnet18.tv", "timm has no weights called 'resnet18.tv'. Did you mean"),
        ("timm:", "timm has no model ''. timm.list_models() lists those that it has"),
        ("timm:of no kind", "timm has no model 'of no kind'. timm.list_models() lists"),
        ("timm:lab/x", "timm has no model 'lab/x'. A repository of the hub is "),
    ],
)
def test_an_unknown_name_is_one_line_with_close_matches(name, complaint):
    with pytest.raises(UnknownNameError) as caught:
        find_spec(name)
    assert str(caught.value).startswith(complaint)
    assert len(str(caught.value)) < 200  # not all of a thousand names


# ------------------------------------------------------------------------- what is known before


@pytest.mark.parametrize(
    ("name", "input_px", "least", "style", "hub", "is_fixed"),
    [
        ("resnet18", 224, 32, "imagenet", "resnet18.a1_in1k", False),
        ("resnet18.tv_in1k", 224, 32, "imagenet", "resnet18.tv_in1k", False),
        ("inception_v3.tv_in1k", 299, 38, "centred", "inception_v3.tv_in1k", False),
        ("lambda_resnet26t", 256, 128, "imagenet", "lambda_resnet26t.c1_in1k", False),
        ("test_convnext.r160_in1k", 160, 32, "centred", "test_convnext.r160_in1k", False),
        (
            "vit_tiny_patch16_224.augreg_in21k",
            224,
            224,
            "centred",
            "vit_tiny_patch16_224.augreg_in21k",
            True,
        ),
    ],
)
def test_the_configuration_says_what_a_recipe_needs(name, input_px, least, style, hub, is_fixed):
    spec = find_spec(f"timm:{name}")
    assert spec.name == f"timm:{name}"
    assert (spec.input_px, spec.min_input_px, spec.is_fixed) == (input_px, least, is_fixed)
    assert (spec.preprocessing, spec.hub) == (style, hub)
    assert spec.licence == "apache-2.0" or name == "resnet18.tv_in1k"
    assert spec.arguments == {"head_dropout": 0.0}


@pytest.mark.parametrize(
    ("mean", "std", "style"),
    [
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "imagenet"),
        ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "imagenet"),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "centred"),
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "unit"),
        ((0.707, 0.579, 0.704), (0.212, 0.230, 0.178), "imagenet"),  # of stained tissue
    ],
)
def test_the_nearest_style_is_taken(mean, std, style):
    assert nearest_style(mean, std) == style


def test_a_fixed_size_is_the_only_one():
    spec = find_spec("timm:test_vit")
    check_arguments(spec, 160, {})
    for px in (159, 224):
        with pytest.raises(RecipeError) as caught:
            check_arguments(spec, px, {})
        expected = f"'model.input_px': timm:test_vit takes 160 pixels only, got {px}"
        assert str(caught.value) == expected


def test_oblong_inputs_are_refused():
    with pytest.raises(RecipeError, match="takes 1024 × 768 pixels, but only square"):
        find_spec("timm:vit_base_patch16_sapiens2")


# ---------------------------------------------------------------------------------- what is built


@pytest.mark.parametrize(
    ("name", "px", "vector"),
    [
        ("test_resnet", 64, 96),
        ("test_efficientnet", 45, 256),
        ("test_vit", 160, 64),
        # Its vector is wider than the last feature map.
        ("mobilenetv3_small_050", 32, 1_024),
    ],
)
def test_a_head_stands_on_whatever_vector_comes_out(name, px, vector):
    network = build(f"timm:{name}", px)
    assert network.training
    assert network(torch.rand(2, 3, px, px)).shape == (2, 3)
    assert network.head[-1].in_features == vector
    assert count_params(network) == count_params(network.backbone) + 3 * vector + 3


def test_the_seed_alone_decides_the_weights():
    name, state = "timm:test_resnet", torch.get_rng_state()
    first, again, other = (build(name, 64, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_trying_it_out_leaves_batch_norm_s_statistics():
    norms = [m for m in build("timm:test_resnet", 64).modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(norm.num_batches_tracked == 0 and not norm.running_mean.any() for norm in norms)


def test_other_numbers_of_channels_are_taken():
    network = build("timm:test_resnet", 64, in_channels=2)
    assert network(torch.rand(2, 2, 64, 64)).shape == (2, 3)


def test_a_size_that_does_not_fit_is_refused_by_name():
    with pytest.raises(RecipeError) as caught:
        build("timm:inception_v3", 40)
    result = str(caught.value)
    assert tells(result, "timm:inception_v3", "3 channels", "40 × 40")
    assert "'model.input_px'" in result
    assert "\n" not in result


def test_what_makes_no_vector_is_refused(monkeypatch):
    timm = import_companion("timm")
    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: real(*a, **k, global_pool=""))
    with pytest.raises(
        RecipeError, match=r"test_resnet does not return one vector .*, but \(1, 96, 2, 2\)"
    ):
        build("timm:test_resnet", 64)


def test_stages_and_modules_can_be_frozen():
    spec, network = find_spec("timm:test_resnet"), build("timm:test_resnet", 64)
    head = 96 * 3 + 3
    assert freeze(network, find_cut(network, spec.stages, "backbone")) == head
    cut = find_cut(network, spec.stages, "before:backbone.layer4")
    assert freeze(network, cut) == head + count_params(network.backbone.layer4)


@pytest.mark.parametrize(("name", "px"), [("test_resnet", 64), ("test_vit", 160)])
def test_onnx_says_the_same(name, px, tmp_path):
    network = build(f"timm:{name}", px).eval()
    write_onnx(network, tmp_path / "model.onnx", (px, px))
    images = torch.rand(3, 3, px, px).numpy()
    assert check_parity(network, tmp_path / "model.onnx", images) <= MAX_PROBABILITY_GAP


# ---------------------------------------------------------------------------- folders and the hub


@pytest.fixture
def folder(tmp_path):
    """A network as timm's hub keeps it: a ViT that takes any size, and three classes."""
    home = tmp_path / "a model"
    home.mkdir()
    configuration = {
        "architecture": "test_vit",
        "num_classes": 3,
        "num_features": 64,
        "model_args": {"dynamic_img_size": True, "init_values": 1e-5},
        "pretrained_cfg": {
            "input_size": [3, 192, 192],
            "fixed_input_size": True,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "license": "cc-by-nc-4.0",
        },
    }
    (home / "config.json").write_text(json.dumps(configuration), encoding="utf-8")
    return home


def hand_out(monkeypatch, folder):
    """Let the hub's client find everything in a folder."""
    asked = []

    def look_up(repository, name):
        asked.append((repository, name))
        return str(folder / name)

    monkeypatch.setattr(import_companion("huggingface_hub"), "try_to_load_from_cache", look_up)
    return asked


def test_a_copied_folder_needs_no_connection(folder, no_socket):
    spec = find_spec(f"timm:local-dir:{folder}")
    assert (spec.input_px, spec.min_input_px, spec.is_fixed) == (192, 32, False)
    assert (spec.preprocessing, spec.hub) == ("centred", None)
    assert spec.licence == "cc-by-nc-4.0"
    network = build(spec.name, 96)
    assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 3)
    scales = [key for key in network.state_dict() if key.endswith("ls1.gamma")]
    assert scales  # of init_values


def test_the_hub_s_configuration_is_asked_for_once(folder, no_socket, monkeypatch):
    asked = hand_out(monkeypatch, folder)
    spec = find_spec("timm:hf-hub:lab/model")
    build(spec.name, 96)
    assert asked == [("lab/model", "config.json")]
    assert (spec.name, spec.hub) == ("timm:hf-hub:lab/model", "hf-hub:lab/model")
    assert spec.input_px == 192


def test_the_hub_s_weights_fill_the_backbone(folder, no_socket, monkeypatch):
    from safetensors.torch import save_file

    hand_out(monkeypatch, folder)
    spec = find_spec("timm:hf-hub:lab/model")
    taught = build(spec.name, 96, seed=7).backbone.state_dict()
    save_file({**taught, "head.weight": torch.zeros(3, 64)}, folder / "model.safetensors")
    network = build(spec.name, 96)
    loaded = load_pretrained(network, spec, "imagenet")
    assert (loaded.licence, loaded.missing) == ("cc-by-nc-4.0", ())
    assert loaded.source == "timm's hub: lab/model"
    filled = network.backbone.state_dict()
    assert all(torch.equal(filled[key], taught[key]) for key in taught)


def test_offline_the_hub_is_refused_without_a_socket(no_socket):
    with pytest.raises(DownloadError) as caught:
        find_spec("timm:hf-hub:lab/no-such-model")
    assert tells(str(caught.value), "config.json", "lab/no-such-model", "EOSIN_OFFLINE")


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"config\.json does not exist\. Name a folder that"):
        find_spec(f"timm:local-dir:{tmp_path}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not a configuration of timm's"),
        ("[]", "is not a configuration of timm's"),
        ('{"model_type": "vit"}', "is not a configuration of timm's"),
        ('{"architecture": "no_such"}', "names 'no_such', a network that timm does not have"),
        ('{"architecture": "test_vit", "input_size": 224}', "'input_size' must be three numbers"),
        ('{"architecture": "test_vit", "mean": ["a", 1, 2]}', "'mean' must be three numbers"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(tmp_path, text, complaint):
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError) as caught:
        find_spec(f"timm:local-dir:{tmp_path}")
    assert complaint in str(caught.value)


def test_only_a_fixed_network_minds_a_larger_size():
    spec = NETWORKS.get("light_cnn")
    check_arguments(spec, 300, {})
    with pytest.raises(RecipeError, match="takes 224 pixels only, got 300"):
        check_arguments(replace(spec, is_fixed=True), 300, {})
