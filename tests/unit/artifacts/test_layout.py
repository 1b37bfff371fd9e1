"""The folders inside a run folder, in order."""

from eosin.artifacts.layout import RunFolder


def test_folds_and_stages_are_sorted_by_their_numbers(tmp_path):
    run = RunFolder(tmp_path)
    assert run.fold_runs() == run.stage_runs() == []
    for repeat, fold in [(0, 10), (10, 0), (0, 2), (2, 1)]:
        run.fold(repeat, fold).root.mkdir(parents=True)
    for number in (10, 2):
        run.stage(number, "pre-2").root.mkdir(parents=True)
    for name in (".cache", "0-1-old", "notes"):
        (run.folds / name).mkdir()
    (run.folds / "0-3").write_text("a file")
    assert [fold.root.name for fold in run.fold_runs()] == ["0-2", "0-10", "2-1", "10-0"]
    assert [stage.root.name for stage in run.stage_runs()] == ["2-pre-2", "10-pre-2"]
