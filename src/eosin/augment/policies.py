"""Augmentation policies of a recipe, with their ranges and sources."""

from __future__ import annotations

from dataclasses import replace

from eosin.augment.drawing import Policy, View
from eosin.core.registry import Registry

POLICIES: Registry[Policy] = Registry("augmentation policy", "eosin.policies")

_FIVE_COPIES: tuple[View, ...] = (
    ((0.0, -1.0), (1.0, 0.0)),  # a quarter turn
    ((-1.0, 0.0), (0.0, -1.0)),  # half a turn
    ((0.0, 1.0), (-1.0, 0.0)),  # three quarters
    ((-1.0, 0.0), (0.0, 1.0)),  # mirrored left and right
    ((1.0, 0.0), (0.0, -1.0)),  # mirrored top and bottom
)

POLICIES.add("none", Policy(source="no change"))
POLICIES.add(
    "dihedral",
    Policy(
        source="the eight rotations and mirror images of a patch: tissue has no orientation",
        flip_horizontal=True,
        quarter_turns=True,
    ),
)
POLICIES.add(
    "p1",
    Policy(
        source="P1, section 4.1.2: rotation, shift, flip, zoom; the paper gives no "
        "ranges, these are ours",
        rotation_deg=20.0,
        shift=0.1,
        zoom=0.1,
        flip_horizontal=True,
        flip_vertical=True,
    ),
)
POLICIES.add(
    "p2",
    replace(
        POLICIES.get("p1"),
        source="P2, sections 3.1 and 4.2: rotation, translation, flip, zoom, crop; the paper "
        "gives no ranges, these are ours: those of `p1`, and the crop",
        crop=0.2,
    ),
)
POLICIES.add(
    "p3",
    Policy(
        source="P3, Table 2.3",
        rotation_deg=40.0,
        shift=0.2,
        shear=0.2,
        zoom=0.2,
        flip_horizontal=True,
        flip_vertical=True,
    ),
)
POLICIES.add(
    "p4",
    Policy(
        source="P4, section 3.2: rotated by 90, 180 and 270 degrees, mirrored left-right, "
        'mirrored top-bottom. The paper states "five times larger than the original '
        'dataset", which '
        "is these five without the original image",
        views=_FIVE_COPIES,
    ),
)
POLICIES.add(
    "p5",
    replace(
        POLICIES.get("p3"),
        source="P5, section III.B: flips, zoom, shear, shifts, rotation; the paper gives no "
        "ranges, these are P3's",
    ),
)

_PLANE = Policy(
    source="",
    rotation_deg=10.0,
    shift=0.05,
    shear=0.05,
    zoom=0.1,
    flip_horizontal=True,
    quarter_turns=True,
)
_STAIN_SCALE, _STAIN_SHIFT = 0.2, 0.02

POLICIES.add(
    "default",
    replace(
        _PLANE,
        source="ours: the eight rotations and mirror images, a mild affine transform, stain after "
        "Tellez et al. 2018 and 2019, brightness and focus",
        stain_scale=_STAIN_SCALE,
        stain_shift=_STAIN_SHIFT,
        brightness=0.1,
        blur=0.8,
    ),
)
POLICIES.add(
    "stain_jitter",
    Policy(
        source="the stain of `default` alone, for comparisons",
        stain_scale=_STAIN_SCALE,
        stain_shift=_STAIN_SHIFT,
    ),
)
POLICIES.add(
    "dihedral_jitter",
    replace(
        POLICIES.get("stain_jitter"),
        source="`dihedral` and `stain_jitter`, for comparisons",
        flip_horizontal=True,
        quarter_turns=True,
    ),
)
POLICIES.add(
    "dihedral_strong",
    replace(
        POLICIES.get("dihedral"),
        source="ours: `dihedral`, and together, in wide ranges, the changes that Tellez et al. "
        "2019 compare: stain, contrast, saturation, hue, brightness and focus; grey images after "
        "Chen et al. 2020 (SimCLR)",
        stain_scale=0.4,
        stain_shift=0.05,
        contrast=0.3,
        saturation=0.5,
        hue_deg=180.0,
        grey=0.2,
        brightness=0.2,
        blur=1.0,
    ),
)
POLICIES.add(
    "fluorescence",
    replace(
        _PLANE,
        source="ours: the geometry of `default`; gain, gamma and offset of each channel, focus",
        blur=0.8,
        gain=0.2,
        gamma=0.2,
        offset=0.02,
    ),
)
