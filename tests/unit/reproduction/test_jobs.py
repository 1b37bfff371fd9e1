"""The trainings of a reproduction: their recipes, and what differs from the paper's."""

import pytest

from eosin.papers import DataSetOfPaper, Experiment, Instead, Item, Paper, Setting, read_paper
from eosin.reproduction.jobs import differences, full_recipe, make_jobs

EXPERIMENT = Experiment(
    name="light-cnn",
    title="Light CNN",
    recipe="p3-lightcnn-breakhis200",
    as_published=("data.split.protocol=image",),
    reduced=("train.epochs=2",),
)
MEAN = Experiment(name="mean", title="Mean", members=("light-cnn",))


def paper(*instead):
    return Paper(
        id="P3",
        title="A title",
        reference="Somebody, 2025",
        summary="A summary",
        data=(DataSetOfPaper(dataset="breakhis", title="BreakHis", instead=instead),),
        experiment=(EXPERIMENT, MEAN),
        item=(Item(id="table-1", title="Results", place="Table 1", experiments=("mean",)),),
        setting=(Setting(name="learning rate", printed="0.01"),),
    )


def jobs(data, size="full", instead=()):
    return {job.folder.as_posix(): job for job in make_jobs(paper(*instead), ["mean"], data, size)}


def test_a_stand_in_is_marked_as_one(tmp_path):
    other = Instead(dataset="pcam", note="Other images", stand_in=True)
    found = jobs({"pcam": tmp_path}, instead=(other,))["light-cnn/as-published"]
    assert found.differs["data"].startswith("stand-in")


def test_each_experiment_has_a_training_under_both_protocols_and_members_come_first(tmp_path):
    found = jobs({"breakhis": tmp_path})
    assert list(found) == [
        "light-cnn/as-published",
        "light-cnn/strict",
        "mean/as-published",
        "mean/strict",
    ]
    published, strict = found["light-cnn/as-published"], found["light-cnn/strict"]
    assert published.recipe.data.split.protocol == "image"
    assert strict.recipe.data.split.is_strict
    assert {job.recipe.data.root for job in (published, strict)} == {str(tmp_path)}
    assert found["mean/strict"].recipe is None


def test_a_mean_is_compared_on_the_number_of_images_of_its_members(tmp_path):
    found = make_jobs(read_paper("P1"), ["kassani"], {"pcam_kaggle": tmp_path}, "full")
    assert {job.images for job in found if job.recipe is None} == {220_025}


def test_at_full_size_on_the_paper_s_data_nothing_differs(tmp_path):
    assert jobs({"breakhis": tmp_path})["light-cnn/as-published"].differs == {}


def test_an_earlier_stage_differs_by_its_own_kinds_and_its_folder_by_none(tmp_path):
    folders = {"breakhis": tmp_path, "lc25000": tmp_path}
    found = make_jobs(read_paper("P4"), ["se-densenet121-transfer"], folders, "full")
    # ImageNet's weights of another library are what the paper's file says itself.
    assert {kind for job in found for kind in job.differs} == {"weights"}
    reduced = make_jobs(read_paper("P4"), ["se-densenet121-transfer"], folders, "reduced")[0]
    assert "transfer.stage.0.data.limit" in reduced.differs["data"]
    assert "transfer.stage.0.epochs" in reduced.differs["epochs"]
    assert "transfer.stage.0.freeze" in reduced.differs["settings"]


def test_a_reduced_training_differs_by_what_is_reduced(tmp_path):
    found = jobs({"breakhis": tmp_path}, "reduced")["light-cnn/as-published"]
    assert found.recipe.train.epochs == 2
    assert set(found.differs) == {"epochs"}


def test_another_data_set_takes_the_place_of_the_paper_s_and_is_named(tmp_path):
    stand_in = Instead(
        dataset="pcam", set=("data.positive=tumour",), note="PCam stands in for BreakHis"
    )
    found = jobs({"pcam": tmp_path}, instead=(stand_in,))["light-cnn/strict"]
    assert found.recipe.data.dataset == "pcam"
    assert found.recipe.data.positive == "tumour"
    assert "PCam stands in" in found.differs["data"]
    at_hand = jobs({"pcam": tmp_path, "breakhis": tmp_path}, instead=(stand_in,))
    assert at_hand["light-cnn/strict"].recipe.data.dataset == "breakhis"


def test_an_experiment_whose_protocols_are_one_is_trained_once(tmp_path):
    found = make_jobs(read_paper("P3"), ["mnist-adam"], {"mnist": tmp_path}, "full")
    assert len(found) == 2
    assert len({job.folder for job in found}) == 1


def test_missing_data_are_named_and_a_mean_needs_its_members_data():
    found = jobs({})
    assert {job.missing for job in found.values()} == {("breakhis",)}


def test_the_quick_form_needs_no_data():
    found = jobs({}, "quick")["light-cnn/as-published"]
    assert found.recipe.data.dataset == "phantom"
    assert found.recipe.train.epochs == 1
    assert not found.missing


def test_the_quick_form_of_a_recipe_on_grey_images_reads_colour():
    digits = Experiment(name="digits", title="Digits", recipe="p3-mnist")
    data = (DataSetOfPaper(dataset="mnist", title="MNIST"),)
    of_digits = paper().model_copy(update={"experiments": (digits,), "data": data})
    assert full_recipe(digits).data.channel_names
    for job in make_jobs(of_digits, ["digits"], {}, "quick"):
        assert job.recipe.data.modality == "brightfield"
        assert not job.recipe.data.channel_names


@pytest.mark.parametrize(
    ("section", "values", "kind"),
    [
        ("train", {"epochs": 1}, "epochs"),
        ("model", {"input_px": 96}, "size"),
        ("transfer", {"source": "imagenet"}, "weights"),
        ("data", {"limit": 3}, "data"),
        ("train", {"lr": 0.5}, "settings"),
    ],
)
def test_kinds_of_differences(section, values, kind):
    full = full_recipe(EXPERIMENT)
    changed = getattr(full, section).model_copy(update=values)
    found = differences(full, full.model_copy(update={section: changed}))
    assert list(found) == [kind]
    assert str(next(iter(values.values()))) in found[kind]


def test_names_and_measurements_are_no_differences():
    full = full_recipe(EXPERIMENT)
    renamed = full.model_copy(update={"name": "other", "description": "other"})
    assert differences(full, renamed) == {}
