"""The table in docs/augmentation.md is what the registry holds."""

from pathlib import Path

from eosin.augment import POLICIES

PAGE = Path(__file__).parents[2] / "docs" / "augmentation.md"
#: Each range in words, by the policy's attribute.
PLANE = {
    "views": "{n} fixed copies",
    "quarter_turns": "rotated by 90°",
    "flip_horizontal": "flipped horizontally",
    "flip_vertical": "flipped vertically",
    "rotation_deg": "rotated ±{value:g}°",
    "shift": "shifted ±{share:g} %",
    "shear": "sheared ±{share:g} %",
    "zoom": "zoomed ±{share:g} %",
    "crop": "cropped by up to {share:g} %",
}
COLOUR = {
    "stain_scale": "stains × (1 ± {value:g})",
    "stain_shift": "stains ± {value:g}",
    "contrast": "contrast ±{share:g} %",
    "saturation": "saturation ±{share:g} %",
    "hue_deg": "hue ±{value:g}°",
    "grey": "{share:g} % of images grey",
    "brightness": "brightness ±{share:g} %",
    "gain": "gain ±{share:g} %",
    "gamma": "gamma e^±{value:g}",
    "offset": "offset ±{share:g} %",
    "blur": "blur to {value:g} px",
}


def words(policy, ranges):
    """What a policy changes, the ranges that are not zero."""
    found = []
    for attribute, text in ranges.items():
        value = getattr(policy, attribute)
        if value:
            share = 100 * value if isinstance(value, float) else None
            found.append(text.format(value=value, share=share, n=policy.fixed_copies))
    return ", ".join(found) or "–"


def table():
    """The page's table, a row a policy."""
    rows = [
        "| policy | geometry | colour, brightness, focus | for | source |",
        "|---|---|---|---|---|",
    ]
    for name in POLICIES:
        policy = POLICIES.get(name)
        result = [words(policy, PLANE), words(policy, COLOUR), policy.modality or "any"]
        rows.append(f"| `{name}` | {' | '.join(result)} | {policy.source} |")
    return "\n".join(rows)


def test_the_page_holds_the_registry_s_ranges():
    assert table() in PAGE.read_text(encoding="utf-8")
