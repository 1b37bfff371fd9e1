"""What is wrong with the command line or the recipe is named, with close matches: status 2."""

import json
import os
from importlib import resources

import pytest
from tests.facts import tells

import eosin.__main__ as entry


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "'trian'. Did you mean 'train'?"),
        (["data", "adit"], "'adit'. Did you mean 'audit'?"),
        (["train", "--pln"], "--pln. Did you mean '--plan' or '--plugin'?"),
        (["predict"], "'model'. See `eosin predict --help`"),
        (["models", "--jsn"], "--jsn. Did you mean '--json'?"),
        (["train", "a.toml", "--seed", "1"], "--seed. Did you mean '--set seed=1'?"),
        (["train", "a.toml", "--epochs=3"], "Did you mean '--set train.epochs=3'?"),
        (["data", "split", "a"], "eosin train SOURCE --plan"),
        (["data", "list", "breakhi"], "Did you mean 'breakhis'?"),
        (["train"], "no recipe was given"),
        (["train", "--resume", "a", "-o", "b"], "-o and --resume cannot be combined"),
    ],
)
def test_a_wrong_command_line_is_named(command, arguments, said):
    result = command(*arguments)
    assert result.status == 2
    assert said in result.complaint


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.ler=1", "'train.ler'. Did you mean 'lr'"),
        ("trian.lr=1", "'trian'. Did you mean 'train'"),
        ("train.lr=-1", "'train.lr'"),
        ("train.lr", "--set needs key=value"),
        ("model.name=light_cn", "'light_cn'. Did you mean 'light_cnn'?"),
        ("data.dataset=fantom", "'fantom'. Did you mean 'phantom'?"),
        ("augment.policy=dihedrl", "'dihedrl'. Did you mean 'dihedral'"),
        ("data.options.patiens=3", "'data.options.patiens'"),
        ("data.options.size_px=large", "'data.options'"),
        ('data.magnifications=["201"]', "'data.magnifications'"),
        ("model.input_px=40", "'model.input_px'"),
        ("model.arguments.width=3", "'model.arguments.width'"),
        ("data.split.train=0.9", "'data.split'"),
    ],
)
def test_a_wrong_key_or_name_is_refused_before_anything_is_made(
    command, recipe_file, tmp_path, override, said
):
    result = command("train", recipe_file(), "--set", override, "-o", tmp_path / "run")
    assert result.status == 2
    assert said in result.complaint
    assert not (tmp_path / "run").exists()


def test_a_wrong_override_is_blamed_and_not_the_recipe_s_file(command, recipe_file, tmp_path):
    recipe = recipe_file()
    overrides = {
        "train.ler=1": ("--set train.ler=1", "'lr'"),
        "train.lr=-1": ("--set train.lr=-1", "train.lr"),
        "data.split.train=0.9": ("--set data.split.train=0.9", "1", "--set data.split.val"),
    }
    for text, facts in overrides.items():
        result = command("train", recipe, "--plan", "--set", "seed=5", "--set", text)
        assert result.status == 2
        assert tells(result.complaint, *facts)
        assert "recipe.toml" not in result.complaint
        assert "seed=5" not in result.complaint
    wrong = recipe_file(name="wrong.toml", train={"ler": 1})
    result = command("train", wrong, "--plan", "--set", "train.lr=0.1")
    assert tells(result.complaint, wrong, "'train.ler'")
    assert "--set" not in result.complaint


def test_overrides_count_for_a_recipe_in_python_as_well(tiny_values, tiny_phantom):
    from eosin.commands.train import train
    from eosin.core.errors import RecipeError
    from eosin.recipe import recipe_from_dict

    with pytest.raises(RecipeError, match=r"train\.ler"):
        train(recipe_from_dict(tiny_values(tiny_phantom)), overrides=["train.ler=1"])


def test_a_recipe_that_is_none(command, tmp_path):
    (tmp_path / "bad.toml").write_text("name = tiny")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name, said in (
        ("none.toml", "does not exist"),
        ("bad.toml", "is not valid TOML"),
        ("binary.toml", "is not valid TOML"),
    ):
        result = command("train", tmp_path / name, "-o", tmp_path / "run")
        assert result.status == 2
        assert said in result.complaint
    without_images = command("train", tmp_path, "-o", tmp_path / "run")
    assert without_images.status == 1
    assert tells(without_images.complaint, "no images", "2 .toml")
    assert not (tmp_path / "run").exists()


def test_without_a_command_the_help_is_shown(command):
    for arguments, listed in (([], "train"), (["data"], "audit")):
        result = command(*arguments)
        assert result.status == 2
        assert listed in result.err
        assert "Traceback" not in result.err


def test_every_command_has_help(command):
    assert command("--help").status == 0
    for name in ("demo", "doctor", "models", "train", "evaluate", "report", "predict", "data"):
        result = command(name, "--help")
        assert result.status == 0
        assert "Usage: eosin" in result.out


def test_help_is_not_cut_short_and_names_no_type_of_python(command):
    for arguments in ([], ["data"], ["train"], ["data", "manifest"]):
        result = command(*arguments, "--help").out.partition("Options:")[2]
        assert result
        assert "..." not in result
        assert "list[" not in result


def test_a_named_network_is_printed_with_its_layers(command):
    result = command("models", "ernet50")
    assert result.status == 0
    assert tells(result.out, "ernet50", "P2", "23,537,474", "backbone.conv1", "64 × 112 × 112")
    assert tells(result.out, "total", "23,537,474", "53,120", "--all")
    rows = command("models", "ernet50", "--all").out.splitlines()
    (listed,) = json.loads(command("models", "ernet50", "--json").out)
    layers = listed["layer_table"]["layers"]
    assert len(rows) - len(layers) == 5  # two heads, the facts, a blank line, the sum
    assert sum(row["params"] for row in layers) == listed["params"] == 23_537_474
    assert sum(row["buffers"] for row in layers) == listed["buffers"] == 53_120
    wrong = command("models", "ernet500")
    assert wrong.status == 2
    assert "Did you mean 'ernet50'" in wrong.complaint


def test_lists_are_printed(command):
    result = command("models", "--json")
    assert result.status == 0
    listed = json.loads(result.out)
    assert {"name", "paper", "input_px", "params", "macs", "offline_weights"} <= set(listed[0])
    # What is listed without PyTorch; made by `eosin models --json`.
    kept = resources.files("eosin.commands").joinpath("models.json").read_text(encoding="utf-8")
    assert listed == json.loads(kept)
    table = command("models").out
    assert all(line["name"] in table for line in listed)
    assert "breakhis" in command("data", "list").out
    result = command("doctor")
    assert result.status == 0
    assert "python" in result.out


def test_debug_shows_the_traceback_and_still_the_line(command, tmp_path):
    result = command("report", tmp_path / "none", debug=True)
    assert result.status == 1
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("eosin: ")


def test_global_flags_may_stand_anywhere(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("EOSIN_OFFLINE", "0")
    for line, status in (
        (["data", "--debug", "list", "--offline"], 0),
        (["report", "--offline", str(tmp_path / "none"), "--debug"], 1),
    ):
        with pytest.raises(SystemExit) as left:
            entry.run(line)
        assert left.value.code == status
        assert ("Traceback" in capsys.readouterr().err) == bool(status)
        assert os.environ["EOSIN_OFFLINE"] == "1"
        monkeypatch.setenv("EOSIN_OFFLINE", "0")


def test_the_facts_of_one_data_set_are_listed(command):
    result = command("data", "list", "breakhis")
    assert result.status == 0
    assert tells(result.out, "breakhis", "CC BY 4.0", "benign and malignant", "7,909")
    (only,) = json.loads(command("data", "list", "breakhis", "--json").out)
    assert only["name"] == "breakhis"


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "light_cn"],
        ["predict", "absent", "image.png"],
        ["data", "audit", "absent.csv"],
        ["train", "--pln"],
    ],
)
def test_a_failure_with_json_is_one_document_on_stdout_too(command, arguments):
    result = command(*arguments, "--json")
    document = json.loads(result.out)
    assert document["exit_status"] == result.status > 0
    assert f"eosin: {document['error']}" == result.complaint


@pytest.mark.parametrize(
    "arguments", [["predict", "model", ""], ["train", ""], ["data", "check", ""], ["report", ""]]
)
def test_an_empty_argument_is_not_the_working_folder(command, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = command(*arguments)
    assert result.status == 2
    assert tells(result.complaint, "empty", "variable")


def test_an_archive_is_not_a_badly_encoded_recipe(command, tmp_path):
    (tmp_path / "images.zip").write_bytes(b"PK\x03\x04\x14\0\0\0\xff\xfe")
    result = command("train", tmp_path / "images.zip", "--positive", "a")
    assert result.status == 2
    assert tells(result.complaint, "images.zip", "binary", "recipe", "folder", "unpack")
    assert not tells(result.complaint, "UTF-8")
