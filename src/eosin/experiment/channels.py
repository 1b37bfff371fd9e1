"""Selection and preprocessing of the network's input channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from eosin.artifacts.model import Planes, Preprocessing
from eosin.core.errors import DataError, ImageError, RecipeError, close_matches
from eosin.core.text import quantity
from eosin.core.types import Samples
from eosin.experiment.backends import find_backend
from eosin.images.failures import isolated
from eosin.images.planes import decode_channels
from eosin.images.preprocess import make_preprocessing
from eosin.images.stacks import stack_preprocessing
from eosin.recipe.schema import ModelSection, Recipe

#: Files that are read to find the number of channels and bits.
_LOOKED_AT = 9


def resolve_preprocessing(recipe: Recipe, samples: Samples, facts: dict[str, Any]) -> Preprocessing:
    """Return the recipe's preprocessing, or the network's default.

    For fluorescence, channel and bit counts are read from a few images; the intensity window is
    fitted on a split's training subset later.

    Raises:
        RecipeError: The files lack a channel, or fluorescence does not support the style.
        DataError: No file can be read.
    """
    section = recipe.model
    spec = find_backend(section).find_spec(section.name)
    style = section.preprocessing or spec.preprocessing
    input_px = section.input_px or spec.input_px
    if facts["modality"] != "fluorescence":
        _check_fluorescence_keys(recipe)
        one = _crop_fields(make_preprocessing(style, input_px, resize=section.resize), section)
        return stack_preprocessing(one, recipe.data.magnifications if recipe.data.fuse else ())
    if recipe.data.fuse:
        raise RecipeError("'data.fuse' is for brightfield images, but these are fluorescence")
    if style == "caffe":
        if section.preprocessing is not None:
            raise RecipeError(
                "'model.preprocessing': 'caffe' subtracts ImageNet's means of blue, green and red",
                hint="Use 'unit', 'centred' or 'imagenet' for fluorescence",
            )
        style = "unit"
    n_stored, bits, named = _look(samples)
    stored = _stored_names(n_stored, facts.get("channels", ()), recipe.data.channel_names, named)
    chosen = _choose(recipe.data.channels, stored)
    planes = Planes(chosen=chosen, n_stored=len(stored), bits=bits)
    names = [stored[place] for place in chosen]
    whole = make_preprocessing(
        style, input_px, resize=section.resize, channels=names, planes=planes
    )
    return _crop_fields(whole, section)


def _crop_fields(whole: Preprocessing, section: ModelSection) -> Preprocessing:
    """Return the preprocessing of fields, of which the network sees crops, if there are any."""
    if section.field_px is None:
        return whole
    crop_px = whole.input_px[0]
    return whole.model_copy(update={"input_px": section.field_px, "crop_px": crop_px})


def _check_fluorescence_keys(recipe: Recipe) -> None:
    for key in ("channels", "channel_names", "window"):
        if getattr(recipe.data, key) != type(recipe.data).model_fields[key].default:
            raise RecipeError(
                f"'data.{key}' is for fluorescence images, but these images are brightfield",
                hint='Leave it out, or set data.modality = "fluorescence"',
            )


def _look(samples: Samples) -> tuple[int, Any, tuple[str, ...]]:
    """Return the most frequent channel count and bit depth of a few files, and names if they agree.

    The files are spread over the table: single files and neighbours may be atypical.
    """
    cells = list(samples.frame["path"])
    spread = cells[:: max(1, len(cells) // _LOOKED_AT)]
    kinds: Counter[tuple[int, int]] = Counter()
    orders: list[tuple[str, ...]] = []
    reason = ""
    for cell in dict.fromkeys(spread + cells):
        try:
            with isolated(cell):
                image, names = decode_channels(*samples.locate(cell))
        except ImageError as error:
            reason = reason or str(error)
            continue
        kinds[image.shape[2], 8 * image.dtype.itemsize] += 1
        orders.append(names)
        if kinds.total() == _LOOKED_AT:
            break
    if not kinds:
        raise DataError(
            f"none of the {len(samples)} images can be read: {reason}",
            hint="Do the paths start from the right folder?",
        )
    same = len({frozenset(map(str.casefold, names)) for names in orders}) == 1
    return *kinds.most_common(1)[0][0], orders[0] if same else ()


def _stored_names(
    count: int, known: Sequence[str], given: Sequence[str], named: Sequence[str]
) -> list[str]:
    """Return a name for each channel: from the recipe, the data set, the files, or its position."""
    if given and len(given) != count:
        raise RecipeError(
            f"'data.channel_names' has {quantity(len(given), 'name')}, but the images have "
            f"{quantity(count, 'channel')}",
            hint=f"Name each of the {count}, or leave the key out",
        )
    for names in (known, named):
        if len(names) == count:
            return list(names)
    return [str(place) for place in range(count)]


def _choose(wanted: Sequence[str | int], stored: Sequence[str]) -> tuple[int, ...]:
    if not wanted:
        return tuple(range(len(stored)))
    places = [_place(channel, stored) for channel in wanted]
    if len(set(places)) < len(places):
        raise RecipeError(f"'data.channels' names a channel twice: {list(wanted)}")
    return tuple(places)


def _place(channel: str | int, stored: Sequence[str]) -> int:
    if isinstance(channel, int) and channel < len(stored):
        return channel
    if channel in stored:
        return list(stored).index(str(channel))
    raise RecipeError(
        f"'data.channels': the files have no channel {channel!r}",
        hint=close_matches(str(channel), stored),
    )
