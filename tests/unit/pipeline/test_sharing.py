"""What an ensemble's members knew of the images that it is judged on."""

from types import SimpleNamespace

import pandas as pd
import pytest

from eosin.artifacts.audit import AuditReport, Finding, Pair
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.versioned import write_document
from eosin.core.types import Samples
from eosin.datasets.audit import Alike, FileHashes, Match, audit_stage
from eosin.pipeline.sharing import _own_leaks


def make_samples(folder, names, split):
    frame = pd.DataFrame({"path": names, "label": "a", "split": split}, dtype=object)
    frame = frame.assign(patient="", group=[f"g{name}" for name in names])
    return Samples(frame=frame, root=folder, class_names=("a", "b"))


def reversed_pairs(leak):
    """As runs told it when ``test`` came before the stages."""
    pairs = [
        Pair(a=p.b, b=p.a, split_a=p.split_b, split_b=p.split_a, score=p.score, how=p.how)
        for p in leak.pairs
    ]
    return leak.model_copy(update={"pairs": pairs})


@pytest.mark.parametrize("is_old", [False, True])
def test_what_a_members_stage_saw_of_judged_images_is_a_leak_of_the_ensemble(tmp_path, is_old):
    stage = make_samples(tmp_path, ["s1.png", "t1.png"], "train")
    judged = make_samples(tmp_path, ["t1.png", "t2.png", "t3.png"], "test")
    nothing = FileHashes({})
    alike = Alike((Match("s1.png", "t2.png", 0.97, "mirrored"),))
    leaks = audit_stage(
        "one", (stage, nothing), (judged, nothing), is_same_source=True, alike=alike
    )
    leaks.append(Finding(kind="same_group", severity="leak", message="of no stage", pairs=[]))
    leaks = [reversed_pairs(leak) for leak in leaks] if is_old else leaks
    run = RunFolder(tmp_path)
    write_document(run.audit, AuditReport(n_images=5, n_groups=5, splits={}, findings=leaks))
    member = SimpleNamespace(run=run)

    found = _own_leaks(member, judged, {"t1.png", "t2.png"})
    pairs = {(leak.kind, p.split_a, p.a, p.b) for leak in found for p in leak.pairs}
    assert pairs == {
        ("same_path", "stage one", "t1.png", "t1.png"),
        ("same_group", "stage one", "t1.png", "t1.png"),
        ("near_duplicate", "stage one", "s1.png", "t2.png"),
    }
    assert _own_leaks(member, judged, {"t3.png"}) == []


def test_a_group_of_a_stage_is_known_by_any_spelling(tmp_path):
    stage = make_samples(tmp_path, ["s1.png", "s2.png", "01.png"], "train")
    judged = make_samples(tmp_path, ["t1.png", "1.png"], "test")
    # The last of each is its own group: numbers of files are no spellings of one name.
    for samples, groups in ((stage, ["P07", "P8", "01.png"]), (judged, ["p7", "1.png"])):
        samples.frame["group"] = groups
    nothing = FileHashes({})
    (leak,) = audit_stage("one", (stage, nothing), (judged, nothing), is_same_source=True)
    assert [(pair.a, pair.b) for pair in leak.pairs] == [("s1.png", "t1.png")]
    assert "P07 = p7" in leak.message
    assert audit_stage("one", (stage, nothing), (judged, nothing), is_same_source=False) == []
