"""What a page states on top is what was run, whatever the recipe's author wrote."""

import re

import pytest

CLAIM = "ERNet-18 on BreakHis, five folds by patient, Macenko"


def head(page):
    """The text of a page's first screen: title, masthead and verdict."""
    text = page.read_text(encoding="utf-8")
    shown = text[text.index("<title>") : text.index("<section")]
    return re.sub(r"<[^>]+>", "", re.sub(r"<style>.*</style>", "", shown, flags=re.DOTALL))


@pytest.fixture
def train(recipe_file, images, command, tmp_path):
    """Train a recipe that claims much, with settings from the command line."""

    def call(*settings):
        path = recipe_file(model={"name": "light_cnn"})
        text = path.read_text().replace('name = "tiny"', 'name = "ernet18-breakhis-folds"', 1)
        path.write_text(f'description = "{CLAIM}"\n{text}')
        options = [part for setting in settings for part in ("--set", setting)]
        result = command("train", path, "-o", tmp_path / "run", *options)
        assert result.status == 0, result.err
        return tmp_path / "run"

    return call


def test_page_and_card_describe_what_was_run(train, images):
    run = train(
        "data.dataset=folder", f"data.root={images}", "data.options={}", "data.positive=malignant",
        "data.split.protocol=image", "data.split.train=0.5", "data.split.val=0.2",
        "data.split.test=0.3", "train.epochs=1", "seed=7",
    )  # fmt: skip
    for page in (run / "report.html", run / "model" / "card.html"):
        result = head(page)
        assert "light_cnn" in result
        assert "benign and malignant" in result
        assert "plit by image" in result
        assert "no stain normalisation" in result.lower()
        assert "seed 7" in result
        assert not re.search(r"ernet|breakhis|\bfolds?\b|macenko", result, re.IGNORECASE), result
    for page in (run / "report.html", run / "model" / "card.html", run / "model" / "card.md"):
        assert CLAIM not in page.read_text(encoding="utf-8")
    # The author's own words stay with the recipe.
    assert CLAIM in (run / "recipe.toml").read_text(encoding="utf-8")


def test_folds_and_their_unit_are_described(folds_run):
    result = head(folds_run / "report.html")
    assert "2-fold cross-validation by patient" in result
    assert "light_cnn on phantom" in result
    assert "10 patients" in result
