"""8-bit network of an exported model, against the float32 one."""

from __future__ import annotations

from eosin.artifacts.layout import ModelFolder
from eosin.core.text import of_groups, quantity, unit_of
from eosin.reporting.formatting import metric_text
from eosin.reporting.outline import Facts, Section, Text, make_table
from eosin.runs.finished import FinishedRun


def brief(run: FinishedRun) -> Section:
    """Return the section of the card; empty for a model of float32 alone."""
    model = run.model
    if model is None or model.int8 is None:
        return Section("INT8")
    int8, folder = model.int8, ModelFolder(run.folder.model)
    unit = unit_of(int8.n_images, int8.n_groups, int8.n_patients)
    images = f"{quantity(int8.n_images, 'validation image')}{of_groups(int8.n_groups, unit)}"
    patients = int8.calibration.n_patients
    known = "" if patients is None else of_groups(patients, "patient")
    lead = (
        f"{folder.int8.name} predicts: 8-bit weights and activations, with a temperature, a"
        f" threshold and a rule of abstention of its own. All other figures of this card are of"
        f" {folder.onnx.name}, float32. INT8 was not evaluated on test images."
    )
    rows = [
        ("AUC", int8.auc.float32, int8.auc.int8, int8.auc.difference),
        ("ECE", int8.ece.float32, int8.ece.int8, int8.ece.difference),
    ]
    caption = f"INT8 against float32 on {images}, with 95 % intervals."
    table = make_table(caption, ("Metric", "float32", "INT8", "Difference"), rows)
    facts = [
        ("Calibrated on", f"{quantity(int8.calibration.n_images, 'training image')}{known}"),
        ("Largest probability difference", f"{int8.max_probability_gap:.2g}"),
        ("Mean probability difference", f"{int8.mean_probability_gap:.2g}"),
        ("Other decisions", f"{int8.n_other_decisions} of {images}"),
        ("ECE at float32's temperature", metric_text(int8.ece_at_float32_temperature)),
        ("Size", f"{int8.n_bytes / 1e6:.2f} MB, float32 {int8.n_bytes_float32 / 1e6:.2f} MB"),
    ]
    return Section("INT8", Text(lead), table, Facts(facts))
