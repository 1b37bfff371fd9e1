"""Script for QuPath that applies a model's threshold and rule of abstention to its tiles."""

from __future__ import annotations

import json
from pathlib import Path

from eosin.artifacts.model import ModelInfo
from eosin.core.files import write_text

_SCRIPT = """// Applies a model's threshold and rule of abstention to the tiles that the
// WSInfer extension has classified, not its gate: blank, blurred and foreign tiles are not refused.
// Research use only.
def names = [{names}]
// The positive class and its threshold; null: the most probable class.
def positive = {positive}
def threshold = {threshold}
// A class is in the prediction set where 1 - probability is at most this; null: never abstain.
def quantiles = {quantiles}

def tiles = getAllObjects().findAll {{ tile ->
    names.every {{ tile.measurements.containsKey(it) }}
}}
def abstained = 0
tiles.each {{ tile ->
    def probability = names.collectEntries {{ [(it): tile.measurements.get(it) as double] }}
    def decided = names.max {{ probability[it] }}
    if (threshold != null) {{
        decided = probability[positive] >= threshold ? positive : names.find {{ it != positive }}
    }}
    def certain = quantiles == null ? [decided] : names.findAll {{
        1 - probability[it] <= quantiles[it]
    }}
    if (certain != [decided]) {{
        decided = 'Abstained'
        abstained++
    }}
    tile.setPathClass(getPathClass(decided))
}}
fireHierarchyUpdate()
println "${{tiles.size()}} tiles, abstained on ${{abstained}}"
"""


def write_script(path: Path, info: ModelInfo) -> None:
    """Write the script of a model."""
    quantiles = info.abstention.quantiles if info.abstention is not None else None
    threshold = info.threshold.value
    listed = ", ".join(f"({_quote(name)}): {value!r}d" for name, value in (quantiles or {}).items())
    text = _SCRIPT.format(
        names=", ".join(map(_quote, info.class_names)),
        positive="null" if threshold is None else _quote(info.positive or ""),
        threshold="null" if threshold is None else f"{threshold!r}d",
        quantiles="null" if quantiles is None else f"[{listed}]",
    )
    write_text(path, text)


def _quote(name: str) -> str:
    """Return a text as Groovy writes it, in single quotes: nothing in it is evaluated."""
    escaped = json.dumps(name)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{escaped}'"
