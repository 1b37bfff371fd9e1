"""Whether probabilities mean what they say: before and after the temperature, and by bins."""

from __future__ import annotations

from eosin.artifacts.metrics import Calibration
from eosin.reporting.formatting import metric_text, number, source_words
from eosin.reporting.tables import Table, headline_table, text_table
from eosin.runs.finished import Run

_METRICS = ("ece", "brier")
#: Below this the two errors are called the same.
_NOTABLE = 0.005


def calibration_words(run: Run) -> str:
    """Say what the temperature was and what it changed; empty in runs that do not tell."""
    calibration = run.judged.calibration
    if calibration is None:
        return ""
    told = f"{_temperature(calibration)}. {_error(run)}"
    before, after = (
        metrics[_METRICS[0]].value if _METRICS[0] in metrics else None
        for metrics in (calibration.uncalibrated, run.judged.image)
    )
    if before is None or after is None:
        return told
    if abs(before - after) < _NOTABLE:
        return f"{told} Without the temperature it would be the same."
    change = "worse" if after > before else "better"
    return f"{told} Without the temperature it would be {number(before)}: scaling made it {change}."


def _temperature(calibration: Calibration) -> str:
    """Say by what the logits were divided, and where that was fitted."""
    if calibration.temperature is None:
        return f"Temperature: {calibration.source}"
    return (
        f"Temperature: {calibration.temperature:.2f} (fitted on {source_words(calibration.source)})"
    )


def _error(run: Run) -> str:
    text = metric_text(run.judged.image.get("ece"))
    return f"A stated probability is {text} away from the share that is right, on average."


def calibration_table(run: Run) -> Table | None:
    """Build the table of both errors with and without the temperature."""
    calibration = run.judged.calibration
    if calibration is None or not calibration.uncalibrated:
        return None
    scaled = {name: run.judged.image[name] for name in _METRICS if name in run.judged.image}
    blocks = {"As trained (temperature 1)": calibration.uncalibrated, "As reported": scaled}
    return headline_table("Calibration before and after temperature scaling.", blocks)


def bins_table(run: Run) -> Table | None:
    """Build the table of bins that hold images: what the reliability diagram draws."""
    calibration = run.judged.calibration
    rows = [
        (f"{one.low:.2f} – {one.high:.2f}", one.n, number(one.confidence), number(one.accuracy))
        for one in (calibration.bins if calibration else [])
        if one.confidence is not None and one.accuracy is not None
    ]
    if not rows:
        return None
    columns = ("Probability of the predicted class", "Images", "Mean of it", "Share right")
    return text_table("Bins of the calibration error that hold images.", columns, rows)
