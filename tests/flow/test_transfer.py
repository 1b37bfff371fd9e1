"""Trainings that begin with what earlier ones learnt: chains, freezing, folds, leaks."""

import json
import os
import re
import shutil

import pandas as pd
import pytest
import tomli_w
from safetensors.numpy import load_file, save_file
from tests.facts import has_files, tells

import eosin
from eosin.core.errors import ArtifactError, LeakError, RecipeError
from eosin.core.files import sha256_file
from eosin.data.sources.phantom import collect_phantom
from eosin.networks import build_network
from eosin.recipe import read_recipe, recipe_from_dict

OTHER = {"patients": 8, "images_per_patient": 3, "size_px": 64}


@pytest.fixture(scope="session")
def stage_folders(tmp_path_factory):
    """Folders of two phantoms of other patients; filled by the first who asks."""
    return [tmp_path_factory.mktemp(name) for name in ("first", "second")]


@pytest.fixture
def chain(tiny_values, tiny_phantom, tiny_run, stage_folders):
    """Values of a recipe with two stages before the tiny one; keywords change ``transfer``."""

    def make(n_stages=2, split=None, **transfer):
        values = tiny_values(tiny_phantom, name="chain")
        stages = [
            {
                "name": name,
                "data": {
                    "dataset": "phantom",
                    "root": str(folder),
                    "options": {**OTHER, "seed": seed},
                    "split": {"train": 0.5, "val": 0.25, "test": 0.25},
                },
                "epochs": 1,
            }
            for name, folder, seed in zip(("one", "two"), stage_folders, (11, 12), strict=True)
        ]
        values["transfer"] = {"stage": stages[:n_stages], **transfer}
        if split:
            values["data"] = {**values["data"], "split": split}
        return values

    return make


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def info(folder):
    return json.loads((folder / "model" / "model.json").read_text())


@pytest.fixture(scope="session")
def head_run(tmp_path_factory):
    return tmp_path_factory.mktemp("chain") / "run"


@pytest.fixture
def finished(chain, head_run):
    """A run of two stages, then of the head alone on the tiny phantom; made once."""
    if not (head_run / "metrics.json").exists():
        eosin.train(recipe_from_dict(chain(freeze="backbone")), output=head_run)
    return head_run


def test_stages_are_run_folders_and_the_model_tells_the_chain(finished):
    stages = [finished / "stages" / name for name in ("1-one", "2-two")]
    for stage in stages:
        for name in ("recipe.toml", "metrics.json", "report.html", "model/model.onnx"):
            assert (stage / name).exists(), name
    links = info(finished)["transfer_chain"]
    assert [link["stage"] for link in links] == ["one", "two"]
    for link, stage in zip(links, stages, strict=True):
        assert link["weights_sha256"] == sha256_file(stage / "model" / "model.safetensors")
        assert link["data_fingerprint"] == info(stage)["data_fingerprint"]
        assert link["licence"] == info(stage)["data_licence"]
        assert link["frozen"] == "none"
        assert link["missing"] == []
    assert info(stages[0])["transfer_chain"] == []
    assert info(stages[1])["transfer_chain"] == links[:1]
    assert "one" in (finished / "report.html").read_text()


def test_a_frozen_backbone_is_the_last_stage_s_to_the_bit(finished):
    before, after = weights(finished / "stages" / "2-two"), weights(finished)
    head = [key for key in after if key.startswith("classifier.3.")]
    assert len(head) == 2
    for key in after.keys() - set(head):
        assert (before[key] == after[key]).all(), key
    assert any((before[key] != after[key]).any() for key in head)


def test_a_stage_begins_where_the_one_before_it_ended(finished):
    first, second = (weights(finished / "stages" / name) for name in ("1-one", "2-two"))
    # One epoch moves weights a little; from another start they would be elsewhere.
    key = "classifier.1.weight"
    assert abs(first[key] - second[key]).mean() < 0.2 * abs(first[key]).mean()


def test_the_learning_curves_of_all_stages_are_drawn_over_each_other(finished):
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert tells(page, "Line chart of loss", "Stage 1, one", "Stage 2, two", "Stage 3")
    assert (finished / "figures" / "stages_learning_loss.png").exists()
    assert has_files(finished / "report.html")


def test_finished_stages_are_not_trained_again(finished, tmp_path, command):
    run = shutil.copytree(finished, tmp_path / "moved")
    (run / "metrics.json").unlink()
    before = sha256_file(run / "stages" / "2-two" / "model" / "model.safetensors")
    result = command("train", "--resume", run)
    assert result.status == 0, result.err
    assert "stage 1, one: already done" in result.out + result.err
    assert "stage 2, two: already done" in result.out + result.err
    assert sha256_file(run / "stages" / "2-two" / "model" / "model.safetensors") == before


def test_stages_of_a_finished_run_follow_their_moved_images(
    chain, finished, stage_folders, tmp_path, command
):
    run = shutil.copytree(finished, tmp_path / "moved")
    values = chain(freeze="backbone")
    new = shutil.copytree(stage_folders[1], tmp_path / "new")
    values["transfer"]["stage"][1]["data"]["root"] = str(new)
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(values))
    first = (run / "stages" / "1-one" / "manifest.csv").read_bytes()
    result = command("train", path, "--resume", run)
    assert result.status == 0, result.err
    stage = run / "stages" / "2-two"
    assert read_recipe(stage / "recipe.toml").data.root == str(new)
    places = [(stage / cell).resolve() for cell in pd.read_csv(stage / "manifest.csv")["path"]]
    assert all(place.is_relative_to(new) for place in places)
    assert (run / "stages" / "1-one" / "manifest.csv").read_bytes() == first
    # What is there must be what the stage was trained on.
    other = shutil.copytree(stage_folders[0], tmp_path / "other")
    values["transfer"]["stage"][1]["data"]["root"] = str(other)
    values["transfer"]["stage"][1]["data"]["dataset"] = "phantom"
    path.write_text(tomli_w.dumps(values))
    assert command("train", path, "--resume", run).status == 1
    assert read_recipe(stage / "recipe.toml").data.root == str(new)


def test_an_equal_stage_is_trained_once_for_all_runs(chain, finished, tmp_path, command):
    def count_kept():
        """Other tests of this process keep stages, too."""
        return re.findall(r"(\d+) training stages", command("data", "cache").out)

    before = count_kept()
    assert int(before[0]) >= 2
    values = chain(2)  # other than the finished run's in what comes after the stages
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps({**values, "name": "another"}))
    result = command("train", path, "-o", tmp_path / "run")
    assert result.status == 0, result.err
    for line in ("stage 1, one: reused", "stage 2, two: reused"):
        assert line in result.out + result.err
    for name in ("1-one", "2-two"):
        mine, theirs = (run / "stages" / name for run in (tmp_path / "run", finished))
        for file in ("model/model.safetensors", "metrics.json", "predictions.csv"):
            assert (mine / file).read_bytes() == (theirs / file).read_bytes()
        assert 'name = "another-' in (mine / "recipe.toml").read_text()
        assert (mine / "report.html").exists()
    again = command("train", "--resume", tmp_path / "run")
    assert again.status == 0, again.err
    assert count_kept() == before


def test_an_image_of_a_stage_that_cannot_be_read_is_counted(chain, tmp_path, command):
    values = chain(1)
    own = tmp_path / "stage"
    collect_phantom(own, {**OTHER, "seed": 11})
    next(own.rglob("*.png")).write_bytes(b"no image")
    values["transfer"]["stage"][0]["data"]["root"] = str(own)
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(values))
    result = command("train", path, "-o", tmp_path / "run")
    listed = tmp_path / "run" / "stages" / "1-one" / "skipped.csv"
    assert result.status == 1
    assert f"1 file could not be read: see {listed}" in result.err
    assert len(listed.read_text().splitlines()) == 2
    assert (tmp_path / "run" / "report.html").exists()


def test_folds_share_their_stages(chain, tmp_path, messages):
    split = {"protocol": "folds", "k": 2, "val": 0.4}
    values = chain(1, split, freeze="backbone")
    values["transfer"]["stage"][0]["lr"] = 0.002  # no other test's
    recipe = recipe_from_dict(values)
    run = eosin.train(recipe, output=tmp_path / "run").run
    assert sum("stage 1, one: training" in line for line in messages) == 1
    start = weights(run / "stages" / "1-one")
    for fold in ("0-0", "0-1"):
        folder = run / "folds" / fold
        assert (weights(folder)["features.0.weight"] == start["features.0.weight"]).all()
        assert not (folder / "stages").exists()
        again = (folder / "recipe.toml").read_text()
        assert "1-one/model/model.safetensors" in again
    assert [link["stage"] for link in info(run)["transfer_chain"]] == ["one"]


def test_a_stage_that_saw_test_images_stops_a_strict_run(
    chain, tiny_values, tiny_phantom, tmp_path
):
    values = chain(1)
    own = tiny_values(tiny_phantom)["data"]
    values["transfer"]["stage"][0]["data"] = own
    recipe = recipe_from_dict(values)
    with pytest.raises(LeakError, match="in both stage one and test"):
        eosin.train(recipe, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = eosin.train(recipe, output=tmp_path / "run", allow_leak=True).run
    audit = json.loads((run / "audit.json").read_text())
    found = {finding["kind"] for finding in audit["findings"] if finding["severity"] == "leak"}
    assert "same_path" in found
    assert "same_group" in found


def test_what_is_frozen_must_be_a_part_of_the_network(chain, tmp_path, command):
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(chain(1, freeze="before:conv9")))
    result = command("train", path, "-o", tmp_path / "run")
    assert result.status == 2
    assert "'transfer.freeze'" in result.complaint
    assert "before:conv3" in result.complaint
    assert not (tmp_path / "run").exists()


def test_the_plan_tells_every_stage_and_a_head_that_is_trained_alone(chain, tmp_path, command):
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(chain(2, freeze="backbone")))
    result = command("train", path, "--plan")
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert sum(line.startswith("stage ") for line in lines) == 2
    assert any("stage      one: 24 images, up to 2 steps" in line for line in lines), result.out
    assert any("training   1 network: its head only" in line for line in lines), result.out


def test_a_source_that_is_not_there_is_named(chain, tmp_path, command):
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(chain(0, source="nowhere.safetensors")))
    result = command("train", path, "-o", tmp_path / "run")
    assert result.status == 1
    assert "nowhere.safetensors does not exist" in result.complaint


def test_a_model_of_one_s_own_is_a_source(finished, chain, tmp_path):
    source = f"{finished}/./model/model.safetensors"
    recipe = recipe_from_dict(chain(0, source=source, freeze="before:dense"))
    run = eosin.train(recipe, output=tmp_path / "run").run
    (one, two, last) = info(run)["transfer_chain"]
    assert (one["stage"], two["stage"], last["stage"]) == ("one", "two", "source")
    assert last["source"] == "light_cnn"
    start, end = weights(finished), weights(run)
    for key in start:
        same = (start[key] == end[key]).all()
        assert same == key.startswith("features."), key
    for model, part in ((finished, "classifier.3"), (run, "classifier")):
        trained = sum(end[key].size for key in end if key.startswith(part))
        assert 0 < info(model)["trainable"] == trained < info(model)["params"]


def test_a_source_that_was_damaged_is_no_start(finished, chain, tmp_path):
    model = shutil.copytree(finished / "model", tmp_path / "model")
    source = model / "model.safetensors"
    data = bytearray(source.read_bytes())
    data[-1] ^= 0x40  # a number of its weights
    source.write_bytes(data)
    recipe = recipe_from_dict(chain(0, source=str(source)))
    with pytest.raises(ArtifactError, match=r"model\.safetensors is not the file"):
        eosin.train(recipe, output=tmp_path / "run")


def test_a_kept_stage_that_was_damaged_is_trained_anew(
    chain, finished, tmp_path, monkeypatch, messages
):
    monkeypatch.setenv("EOSIN_CACHE", str(tmp_path / "cache"))
    values = chain(1)
    values["data"] = {**values["data"], "cache": True}
    for name in ("first", "second", "third"):
        run = eosin.train(recipe_from_dict(values), output=tmp_path / name).run
        if name == "first":
            (kept,) = (tmp_path / "cache" / "stages").iterdir()
            network = kept / "model" / "model.onnx"
            network.write_bytes(network.read_bytes() + b"\0")
    assert sum("stage 1, one: training" in line for line in messages) == 2
    assert sum("reused from the cache" in line for line in messages) == 1
    assert (weights(run)["features.0.weight"] != 0).any()


def test_the_page_tells_the_chain_in_words(finished):
    page = (finished / "report.html").read_text()
    licence = info(finished)["transfer_chain"][0]["licence"]
    chain = f"stage one ({licence}) → stage two ({licence}) → this training (frozen: backbone)"
    assert chain in page
    assert "earlier stages" in page


def test_a_model_does_not_tell_where_its_source_lay(finished, chain, tmp_path):
    source = shutil.copy(finished / "model" / "model.safetensors", tmp_path / "start.safetensors")
    run = eosin.train(recipe_from_dict(chain(0, source=str(source))), output=tmp_path / "run").run
    (link,) = info(run)["transfer_chain"]
    assert link["source"] == "start.safetensors"
    assert "earlier stages" not in (run / "environment.json").read_text()
    assert str(tmp_path) not in (run / "model" / "model.json").read_text()


LACKING = ["features.0.weight", "features.0.bias"]


@pytest.fixture
def partial(finished, tmp_path):
    """Weights of the light CNN without its first convolution."""
    kept = {key: value for key, value in weights(finished).items() if key not in LACKING}
    save_file(kept, tmp_path / "partial.safetensors")
    return tmp_path / "partial.safetensors"


def changed(before, after):
    """Names of the backbone's tensors that a training changed."""
    return {
        k for k in before if not k.startswith("classifier.3.") and (before[k] != after[k]).any()
    }


def test_what_the_source_lacks_is_trained_once_whatever_is_frozen(chain, partial, tmp_path):
    values = chain(2, source=str(partial), freeze="backbone")
    for stage in values["transfer"]["stage"]:
        stage["freeze"] = "before:dense"
    run = eosin.train(recipe_from_dict(values), output=tmp_path / "run").run
    one, two = (run / "stages" / name for name in ("1-one", "2-two"))
    fresh = build_network("light_cnn", num_classes=2, input_px=64, arguments={}).state_dict()
    start = {**{key: value.numpy() for key, value in fresh.items()}, **load_file(partial)}
    dense = {"classifier.1.weight", "classifier.1.bias"}
    assert changed(start, weights(one)) == {*LACKING, *dense}
    assert changed(weights(one), weights(two)) == dense
    assert changed(weights(two), weights(run)) == set()
    assert [info(folder)["unfrozen"] for folder in (one, two, run)] == [LACKING, [], []]
    source, first, second = info(run)["transfer_chain"]
    assert source["missing"] == LACKING
    assert (first["frozen"], first["unfrozen"]) == ("before:dense", LACKING)
    assert (second["frozen"], second["unfrozen"]) == ("before:dense", [])
    assert info(run)["frozen"] == "backbone"
    for page in (run / "report.html", run / "model" / "card.html", one / "report.html"):
        text = page.read_text(encoding="utf-8")
        assert tells(text, "frozen: before:dense", "2 tensors", "features.*.weight (1)"), page
    assert "→ this training (frozen: before:dense)" in (two / "report.html").read_text()


def test_a_head_alone_is_not_trained_where_the_source_lacks_something(chain, partial, tmp_path):
    values = chain(0, source=str(partial), freeze="backbone")
    run = eosin.train(recipe_from_dict(values), output=tmp_path / "run").run
    fresh = build_network("light_cnn", num_classes=2, input_px=64, arguments={}).state_dict()
    start = {**{key: value.numpy() for key, value in fresh.items()}, **load_file(partial)}
    assert changed(start, weights(run)) == set(LACKING)
    again = chain(0, source=str(run / "model" / "model.safetensors"), freeze="backbone")
    last = eosin.train(recipe_from_dict(again), output=tmp_path / "again").run
    assert changed(weights(run), weights(last)) == set()
    values["transfer"]["standardise"] = True
    values["augment"] = {"policy": "none"}
    with pytest.raises(RecipeError, match=r"'transfer\.standardise' .* 2 tensors"):
        eosin.train(recipe_from_dict(values), output=tmp_path / "standardised")


def test_a_plan_knows_what_imagenet_s_weights_lack(chain):
    values = chain(0, source="imagenet", freeze="backbone")
    values |= {"model": {"name": "se_densenet121", "input_px": 32}, "augment": {"policy": "none"}}
    planned, _ = eosin.plan(recipe_from_dict(values))
    assert not planned.is_head_only
    values["transfer"]["standardise"] = True
    with pytest.raises(RecipeError, match=r"'transfer\.standardise'"):
        eosin.plan(recipe_from_dict(values))


def test_what_an_older_model_may_have_frozen_at_random_is_trained(finished, chain, tmp_path):
    model = shutil.copytree(finished / "model", tmp_path / "model")
    document = json.loads((model / "model.json").read_text())
    for key in ("frozen", "unfrozen"):  # as written before 0.2
        del document[key]
    document["transfer_chain"][0]["missing"] = LACKING
    (model / "model.json").write_text(json.dumps(document))
    values = chain(0, source=str(model / "model.safetensors"), freeze="backbone")
    run = eosin.train(recipe_from_dict(values), output=tmp_path / "run").run
    assert changed(weights(finished), weights(run)) == set(LACKING)


def stain_of(folder):
    """The numbers of a run's stain reference, and what it was fitted on."""
    reference = info(folder)["preprocessing"]["stain"]
    return reference["lab_mean"], reference["lab_std"], reference["n_images"]


def test_all_trainings_of_a_chain_share_the_first_one_s_stain_reference(chain, tmp_path):
    split = {"protocol": "folds", "k": 2, "val": 0.4}
    values = {**chain(2, split), "stain": {"method": "reinhard"}}
    run = eosin.train(recipe_from_dict(values), output=tmp_path / "run").run
    one, two = (run / "stages" / name for name in ("1-one", "2-two"))
    folds = [run / "folds" / name for name in ("0-0", "0-1")]
    assert info(one)["preprocessing"]["stain"]["fitted_on"] == "the training part"
    assert stain_of(one)[2] == 12  # half of its 24 images
    for folder in (two, *folds, run):
        assert stain_of(folder) == stain_of(one), folder
        assert "first training" in info(folder)["preprocessing"]["stain"]["fitted_on"]
    assert tells((run / "report.html").read_text(), "first training", "median of 12 images")
    # A fold's recipe repeats it alone.
    again = eosin.train(folds[0] / "recipe.toml", output=tmp_path / "again").run
    assert stain_of(again) == stain_of(one)
    assert (weights(again)["classifier.3.weight"] == weights(folds[0])["classifier.3.weight"]).all()


def test_a_stage_under_another_reference_is_another_stage(chain, tmp_path, messages):
    values = {**chain(1), "stain": {"method": "reinhard"}}
    values["transfer"]["stage"][0]["lr"] = 0.003  # no other test's
    first = eosin.train(recipe_from_dict(values), output=tmp_path / "first").run
    values["transfer"]["source"] = str(first / "model" / "model.safetensors")
    document = info(first)
    runs = []
    for name in ("same", "other"):
        runs.append(eosin.train(recipe_from_dict(values), output=tmp_path / name).run)
        document["preprocessing"]["stain"]["lab_mean"][0] -= 5.0
        (first / "model" / "model.json").write_text(json.dumps(document))
    assert sum("stage 1, one: training" in line for line in messages) == 3
    same, other = (stain_of(run) for run in runs)
    assert same == stain_of(runs[0] / "stages" / "1-one")
    assert other[0][0] == pytest.approx(same[0][0] - 5.0)


def test_another_method_or_a_file_has_a_reference_of_its_own(chain, tiny_phantom, tmp_path):
    values = {**chain(0), "stain": {"method": "reinhard"}}
    first = eosin.train(recipe_from_dict(values), output=tmp_path / "first").run
    values["transfer"]["source"] = str(first / "model" / "model.safetensors")
    image = next(tiny_phantom.rglob("*.png"))
    for name, stain, fitted_on in (
        ("method", {"method": "macenko"}, "the training part"),
        ("file", {"method": "reinhard", "reference": str(image)}, image.name),
    ):
        run = eosin.train(recipe_from_dict({**values, "stain": stain}), output=tmp_path / name).run
        assert info(run)["preprocessing"]["stain"]["fitted_on"] == fitted_on


OFFLINE = """
import sys
from eosin.__main__ import call
opened = []
def watch(event, arguments):
    if event.startswith("socket."):
        opened.append((event, str(arguments)))
sys.addaudithook(watch)  # sees what is caught again, too; cannot be taken out again
recipe, run, images = sys.argv[1:]
commands = [
    ["train", recipe, "-o", run],
    ["train", recipe, "-o", run + "-hub", "--set", "model.name=resnet18"],
    ["train", recipe, "-o", run + "-id", "--set", "model.name=timm:hf-hub:nobody/nothing"],
    ["evaluate", run],
    ["report", run],
    ["predict", run, images],
]
print("statuses", [call(["--offline", *command], debug=False) for command in commands])
print("sockets", opened)
"""


def test_the_whole_chain_opens_no_socket_offline(chain, tiny_phantom, tmp_path, process):
    values = chain(1, source="imagenet", freeze="backbone")
    values["transfer"]["stage"][0]["freeze"] = "backbone"
    values["model"] = {"name": "efficientnet_lite0", "input_px": 32}
    values["augment"] = {"policy": "none"}
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(values))
    environment = {**os.environ, "EOSIN_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    result = process(
        OFFLINE, path, tmp_path / "run", tiny_phantom, env=environment, cwd=tmp_path, timeout=300
    )
    assert "statuses [0, 1, 1, 0, 0, 0]" in result.out, result.err
    assert "sockets []" in result.out
    assert result.err.count("--offline or EOSIN_OFFLINE disables") == 2
    links = info(tmp_path / "run")["transfer_chain"]
    assert links[0]["licence"] == "Apache-2.0"
    assert [link["stage"] for link in links] == ["source", "one"]
