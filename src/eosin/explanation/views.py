"""Evidence of a model that averages mirrored and rotated views of an image at test time.

Each view is explained on its own, and its map is turned back. The mean of the maps explains the
mean of the views' log-odds, which is not the log-odds of their mean probability.
"""

from __future__ import annotations

import numpy as np

from eosin.core.types import FloatArray, Image
from eosin.explanation.evidence import Evidence, Explainer

#: Whether a view is mirrored, and its quarter turns.
View = tuple[bool, int]


class Views:
    """Mean evidence of an image's views, turned back.

    Args:
        explain_view: Explains a single view.
        input_px: Height and width of the input; only a square has quarter turns.
    """

    n_masks = None

    def __init__(self, explain_view: Explainer, input_px: tuple[int, int]) -> None:
        self._explainer = explain_view
        turns = range(0, 4, 1 if input_px[0] == input_px[1] else 2)
        self._views = [(is_mirrored, turn) for is_mirrored in (False, True) for turn in turns]
        self.method = explain_view.method
        self.members = explain_view.members
        self.settings = (
            f"mean over {len(self._views)} mirrored and rotated views, turned back, of "
            f"{explain_view.settings}"
        )

    def explain(self, image: Image, target: int) -> Evidence:
        """Return the evidence for the class ``target`` in an image, uint8 (H, W, C).

        Parts: those of the method, averaged in the same way.
        """
        found = [
            (view, self._explainer.explain(_turn(image, view), target)) for view in self._views
        ]
        maps = [_turn_back(evidence.map, view) for view, evidence in found]
        parts = {
            name: np.mean([_turn_back(one.parts[name], view) for view, one in found], axis=0)
            for name in found[0][1].parts
        }
        mean: FloatArray = np.mean(maps, axis=0, dtype=np.float32)
        return Evidence(mean, parts, places=found[0][1].places)


def _turn(image: Image, view: View) -> Image:
    is_mirrored, turn = view
    seen = image[:, ::-1] if is_mirrored else image
    return np.ascontiguousarray(np.rot90(seen, turn))


def _turn_back(values: FloatArray, view: View) -> FloatArray:
    """Turn the last two axes back; a number stays."""
    if values.ndim < 2:
        return values
    is_mirrored, turn = view
    back = np.rot90(values, -turn, axes=(-2, -1))
    return back[..., ::-1] if is_mirrored else back
