"""Split by appearance: clusters are a column of their own; patients stay unknown."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score
from tests.tinted import write_tinted

from eosin.core.errors import RecipeError
from eosin.experiment.prepare import prepare
from eosin.experiment.split import divide
from eosin.recipe import recipe_from_dict

FOLDS = {"protocol": "folds", "k": 3, "val": 0.3}


def recipe_of(table, seed=0, data=None, **split):
    values = {
        "name": "tinted",
        "seed": seed,
        "data": {
            "manifest": str(table),
            "positive": "tumour",
            "split": {"by": "appearance", **split},
            **(data or {}),
        },
        "model": {"name": "light_cnn", "input_px": 32, "preprocessing": "unit"},
    }
    return recipe_from_dict(values)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_tinted(tmp_path_factory.mktemp("tinted") / "images")


def assert_whole(samples):
    """No cluster is in two subsets; each image is its own group, of an unknown patient."""
    frame = samples.frame
    assert (frame.groupby("appearance")["split"].nunique() == 1).all()
    assert set(frame["split"]) == {"train", "val", "test"}
    assert (frame["group"] == frame["path"]).all()
    assert (frame["patient"] == "").all()


def test_the_split_keeps_clusters_whole_and_patients_unknown(table):
    recipe = recipe_of(table)
    prepared = prepare(recipe)
    division = divide(recipe, prepared)
    assert_whole(division.samples)
    assert len(division.samples) == sum(p.n_groups for p in division.report.parts.values()) == 81
    assert division.audit.n_unknown_patients == 81
    assert not division.audit.leaks
    frame = prepared.samples.frame
    assert adjusted_rand_score(frame["true_slide"], frame["appearance"]) > 0.9


def test_folds_and_a_test_subset_beside_them_keep_clusters_whole(table):
    recipe = recipe_of(table, **FOLDS, test=0.2)
    division = divide(recipe, prepare(recipe))
    for fold in division.folds.values():
        assert_whole(fold.samples)
    beside = division.samples.frame
    assert (beside.groupby("appearance")["split"].nunique() == 1).all()


def test_validation_drawn_from_a_tables_training_images_keeps_clusters_whole(tmp_path):
    split = np.where(np.arange(81) < 60, "train", "test")
    table = write_tinted(tmp_path / "images", split=split)
    recipe = recipe_of(table, protocol="column", val=0.3)
    frame = divide(recipe, prepare(recipe)).samples.frame
    inner = frame[frame["split"] != "test"]
    assert set(inner["split"]) == {"train", "val"}
    assert (inner.groupby("appearance")["split"].nunique() == 1).all()
    given = pd.read_csv(table)["split"].to_numpy()
    assert (np.where(frame["split"] == "test", "test", "train") == given).all()


def test_clusters_depend_on_seed_and_images_alone(table, tmp_path):
    rows = pd.read_csv(table, dtype=str)
    shuffled = table.with_name("shuffled.csv")
    rows.sample(frac=1, random_state=3).to_csv(shuffled, index=False)

    def clusters(table, seed=0, own=None):
        split = {"by": "appearance"} if own is None else {"by": "appearance", "seed": own}
        frame = prepare(recipe_of(table, seed, data={"split": split})).samples.frame
        return dict(zip(frame["path"], frame["appearance"], strict=True))

    assert clusters(table) == clusters(table) == clusters(shuffled)
    # Trainings that share the split's seed share its clusters.
    assert clusters(table, seed=1, own=0) == clusters(table)


def test_duplicates_share_a_cluster(tmp_path):
    table = write_tinted(tmp_path / "images")
    rows = pd.read_csv(table, dtype=str)
    for number, path in enumerate(rows["path"][:3]):
        with Image.open(table.parent / path) as image:
            image.save(table.parent / f"copy{number}.bmp")
            turned = image.transpose(Image.Transpose.ROTATE_90)
            turned.save(table.parent / f"turned{number}.png")
        own = rows[rows["path"] == path]
        rows = pd.concat([rows, own.assign(path=f"copy{number}.bmp")])
        rows = pd.concat([rows, own.assign(path=f"turned{number}.png")])
    rows.to_csv(table, index=False)
    frame = prepare(recipe_of(table)).samples.frame.set_index("path")
    for number, path in enumerate(rows["path"][:3]):
        names = [path, f"copy{number}.bmp", f"turned{number}.png"]
        assert frame.loc[names, "appearance"].nunique() == 1


@pytest.mark.parametrize("column", ["patient", "group"])
def test_known_patients_and_groups_are_better(tmp_path, column):
    names = [f"p{i // 9}" if i < 40 else "" for i in range(81)]
    table = write_tinted(tmp_path / "images", **{column: names})
    with pytest.raises(RecipeError, match=f"{column}s of 40 of 81 images are known") as caught:
        prepare(recipe_of(table))
    assert "data.split.by=group" in caught.value.hint


def test_fluorescence_is_refused(table):
    with pytest.raises(RecipeError, match="fluorescence"):
        prepare(recipe_of(table, data={"modality": "fluorescence"}))


@pytest.mark.parametrize(
    ("data", "split", "wanted"),
    [
        ({}, {"protocol": "image"}, "divides images"),
        ({"repair": True}, {}, "repair"),
        ({"fuse": True, "magnifications": ["40", "100"]}, {}, "fuse"),
    ],
)
def test_contradictions_are_refused_when_the_recipe_is_read(table, data, split, wanted):
    with pytest.raises(RecipeError, match=wanted):
        recipe_of(table, data=data, **split)


def test_a_class_in_too_few_clusters_is_one_line(tmp_path):
    table = write_tinted(tmp_path / "images", n_slides=2, n_images=4)
    recipe = recipe_of(table, protocol="folds", k=5)
    with pytest.raises(Exception, match="appearance clusters, but 5 are needed"):
        divide(recipe, prepare(recipe))
