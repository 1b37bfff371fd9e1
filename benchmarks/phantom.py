"""How fast the phantom renders, on one core, beside the stated limit.

Processor time is what counts: it sums all threads, so a second core cannot flatter the figure.
``python -m benchmarks.phantom --json`` prints, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from eosin.data.phantom import FIELD_UM, PhantomOptions, draw_patient, render_patch

LIMIT_PER_S = 200.0
PATIENTS = 20
IMAGES = 10


def measure(repeats: int, size_px: int = 96, magnification: str = "200") -> float:
    """Return patches rendered for each second of processor time, the median of ``repeats``."""
    patients = [draw_patient(PhantomOptions(), number) for number in range(PATIENTS)]
    render_patch(patients[0], 0, magnification, IMAGES, size_px)  # fills the shared textures
    rates = []
    for _ in range(repeats):
        start = time.process_time()
        for patient in patients:
            for index in range(IMAGES):
                render_patch(patient, index % 2, magnification, index, size_px)
        rates.append(PATIENTS * IMAGES / (time.process_time() - start))
    return statistics.median(rates)


def main() -> None:
    """Time every magnification, and the default mix of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, last")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    rates = {name: measure(arguments.repeats, magnification=name) for name in FIELD_UM}
    default = PhantomOptions().magnifications
    cases = {"render_96": len(default) / sum(1 / rates[name] for name in default)}
    cases |= {f"render_96_{name}x": rate for name, rate in rates.items()}
    for case, rate in cases.items():
        print(f"{case}: {rate:.0f} patches/s on one core (limit {LIMIT_PER_S:.0f})")
    if arguments.json:
        print(json.dumps([_row(case, rate) for case, rate in cases.items()]))


def _row(case: str, rate: float) -> dict[str, object]:
    return {
        "case": case,
        "ours": round(rate, 1),
        "peer": LIMIT_PER_S,
        "peer_name": "stated limit",
        "unit": "patches/s",
        "ratio": round(rate / LIMIT_PER_S, 3),
    }


if __name__ == "__main__":
    main()
