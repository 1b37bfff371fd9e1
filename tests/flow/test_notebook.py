"""A real kernel: long work shows its progress, and results show themselves."""

import os
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

WORK = """
import time
from eosin.core.progress import progress_bar
with progress_bar("Reading images") as advance:
    for done in range(1, 11):
        time.sleep({seconds} / 10)
        advance(done, 10)
"""


@pytest.fixture
def run_cells(tmp_path, monkeypatch):
    """Return a function that runs cells in a new kernel and returns the outputs of each."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    spec = tmp_path / "share" / "kernels" / "own"
    spec.mkdir(parents=True)
    line = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": line, "display_name": "own", "language": "python"}
    (spec / "kernel.json").write_text(str(kernel).replace("'", '"'))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))

    def run(*cells):
        notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, cells)])
        NotebookClient(notebook, timeout=120, kernel_name="own").execute()
        return [cell.outputs for cell in notebook.cells]

    return run


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_progress_and_results_are_shown(run_cells, model, images):
    long, short, predicted, caught = run_cells(
        WORK.format(seconds=3),
        WORK.format(seconds=0.1),
        f"import eosin\neosin.predict({str(model)!r}, {str(images / 'benign')!r})",
        "try:\n    eosin.load('/nowhere')\nexcept eosin.EosinError as error:\n    print(error)",
    )
    (shown,) = long  # one output, replaced
    assert shown.output_type == "display_data"
    assert "Reading images 10/10" in shown.data["text/plain"]
    assert "<progress" in shown.data["text/html"]
    assert short == []
    page = predicted[-1].data["text/html"]
    assert "prob_malignant" in page
    assert "PredictionResult" in page
    assert "eosin.train(RECIPE)" in caught[0].text


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_an_interrupted_cell_stops_a_loop_over_trainings(run_cells, tiny_values, tmp_path):
    cell = f"""
import eosin, threading, _thread
from eosin.training.loop import train as loop
recipe = {tiny_values(tmp_path / "phantom")!r}
recipe["train"]["epochs"] = 10_000
threading.Timer(20, _thread.interrupt_main).start()
for number in range(3):
    try:
        eosin.train(recipe, output={str(tmp_path)!r} + f"/run{{number}}")
    except eosin.EosinError as error:
        print("swallowed", error)
"""
    with pytest.raises(CellExecutionError, match="InterruptedRunError"):
        run_cells(cell)
    assert not (tmp_path / "run1").exists()
