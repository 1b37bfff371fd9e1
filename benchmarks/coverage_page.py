"""The tables of ``docs/statistics.md``, out of the kept ``coverage.json``.

``python -m benchmarks.coverage_page`` writes them between the page's two marks; a test renders
them once more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.interval_coverage import NAIVE_SIZE
from eosin.core.files import write_text
from eosin.metrics.intervals import coverage_table

PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
#: The scenario whose differences have a table of their own.
ALIKE = "alike"
MARKS = ("<!-- tables by benchmarks.coverage_page -->", "<!-- end of tables -->")
#: How the scenarios are called.
HEADS = {
    "single": "one class a patient",
    "mixed": "both classes, uneven",
    "rare": "rare errors",
    ALIKE: "nearly equal models",
}


def render(table: dict[str, Any]) -> str:
    """Return the tables as Markdown, in per cent."""
    how = (
        f"{table['simulations']:,} simulated sets of each size, {table['resamples']:,} resamples; "
        f"of image-level intervals a fifth as many sets. `{table['command']}`"
    )
    return "\n\n".join([how, _by_size(table), _by_scenario(table), _of_near_equals(table)])


def _by_size(table: dict[str, Any]) -> str:
    sizes = _sizes(table["clustered"])
    heads = ["covered, of 95 %", *(f"{size} groups" for size in sizes)]
    heads += [f"percentiles, {NAIVE_SIZE}", f"images one by one, {NAIVE_SIZE}"]
    rows = []
    for metric, measured in table["clustered"].items():
        at = dict(zip(sizes, measured, strict=True))[NAIVE_SIZE]
        naive = table["image_level"]["single"].get(metric, {})
        cells = [_share(row, "coverage") for row in measured]
        rows.append([_name(metric), *cells, _share(at, "percentile"), _share(naive, "coverage")])
        if "wilson" in at:
            cells = [_share(row, "wilson") for row in measured]
            rows.append([f"{_name(metric)}, Wilson", *cells, "", ""])
    return _markdown(heads, rows)


def _by_scenario(table: dict[str, Any]) -> str:
    heads = [f"at {NAIVE_SIZE} groups", *HEADS.values()]
    heads += [f"{head}: images one by one" for head in HEADS.values()]
    main = _at_naive_size(table["clustered"])
    others = {name: _at_naive_size(scenario) for name, scenario in table["other_scenarios"].items()}
    clustered = {"single": main} | others
    rows = [
        [
            _name(metric),
            *(_share(clustered[name].get(metric, {}), "coverage") for name in HEADS),
            *(_share(table["image_level"][name].get(metric, {}), "coverage") for name in HEADS),
        ]
        for metric in main
    ]
    return _markdown(heads, rows)


def _of_near_equals(table: dict[str, Any]) -> str:
    measured = table["other_scenarios"][ALIKE]
    sizes = _sizes(measured)
    heads = ["nearly equal models: covered (median width)", *(f"{size} groups" for size in sizes)]
    rows = [
        [_name(metric), *(f"{_share(row, 'coverage')} ({row['width']:.3f})" for row in each)]
        for metric, each in measured.items()
        if metric.endswith("_difference")
    ]
    return _markdown(heads, rows)


def _sizes(measured: dict[str, Any]) -> list[int]:
    return [row["n_groups"] for row in measured["accuracy"]]


def _at_naive_size(measured: dict[str, Any]) -> dict[str, Any]:
    place = _sizes(measured).index(NAIVE_SIZE)
    return {metric: rows[place] for metric, rows in measured.items()}


def _name(metric: str) -> str:
    plain = metric.removesuffix("_difference")
    return plain.replace("_", " ") + (", difference of two models" if plain != metric else "")


def _share(row: dict[str, Any], kind: str) -> str:
    return f"{100 * row[kind]:.1f}" if kind in row else "–"


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    tables = render(coverage_table())
    write_text(PAGE, f"{before}{MARKS[0]}\n\n{tables}\n\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
