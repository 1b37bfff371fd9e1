"""What the gate refuses: real images of new patients, other data sets, hostile files, faults.

``python -m benchmarks.gate`` writes ``docs/results/tables/gate-*.json``. A gate depends on the
training images and on the network's input alone, so that only one network is trained, for the
probabilities that it gives to what the gate refuses.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image as PillowImage
from scipy import ndimage
from tests.hostile.images import image_drafts

import eosin
from benchmarks.tables import write_table
from eosin.artifacts.gate import Gate
from eosin.artifacts.model import Preprocessing
from eosin.commands.load import Model
from eosin.core.types import Image, Samples
from eosin.data.phantom import PhantomOptions, write_phantom
from eosin.data.splits import fold_samples
from eosin.evaluation.corruptions import CORRUPTIONS
from eosin.evaluation.gate import fit_gate
from eosin.experiment.prepare import gather_samples
from eosin.images.bank import load_bank
from eosin.images.preprocess import make_preprocessing
from eosin.images.references import list_images
from eosin.inference.gate import find_refused
from eosin.metrics import interval
from eosin.recipe import read_recipe
from eosin.recipe.data import DataSection, SplitSection

DATA = Path(os.environ.get("EOSIN_DATA", Path(__file__).parents[2] / "shared" / "data"))
COMMAND = "python -m benchmarks.gate"
#: Images of each other set, and of those that faults are planted into.
SHOWN, PLANTED = 300, 200
#: Repeats of the simulation of few patients, and their numbers.
DRAWS, FEW = 20, (4, 6, 8, 12, 16, 20, 24)
EPOCHS = 6


@dataclass(frozen=True)
class Trained:
    """Training images of a gate: data set, its folder, options, and the network's input."""

    title: str
    dataset: str
    folder: str
    input_px: int
    unit: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing to the network's input."""
        return make_preprocessing("unit", self.input_px)

    @cache  # noqa: B019 - three of them live as long as the process
    def load(self) -> tuple[Samples, Image]:
        """Return the rows and their images at the network's size."""
        section = DataSection(
            dataset=self.dataset, root=str(DATA / self.folder), **dict(self.options)
        )
        samples, _ = gather_samples(section, 0)
        bank, _ = load_bank(samples, self.preprocessing)
        return samples, bank.of(samples)[:]


GATES = (
    Trained("BreakHis 200×, 224 px", "breakhis", "breakhis-200x-224", 224, "patients"),
    Trained("IDC, 96 px", "idc", "idc", 96, "patients"),
    Trained("PCam, 96 px", "pcam", "pcam", 96, "images"),
)


def fit(trained: Trained, rows: Any = slice(None)) -> Gate:
    """Fit the gate on some rows of a set, all by default."""
    samples, images = trained.load()
    gate = fit_gate(images[rows], np.asarray(samples.groups)[rows], trained.preprocessing)
    if gate is None:
        raise ValueError("features have no gate")
    return gate


def divide(trained: Trained, seed: int) -> list[tuple[Any, Any]]:
    """Return the rows that train and those that are held out, of five folds."""
    samples, _ = trained.load()
    by = "group" if trained.unit == "patients" else "image"
    section = SplitSection(protocol="folds", k=5, val=0.15, by=by)
    row_of = {path: row for row, path in enumerate(samples.frame["path"])}

    def rows(part: Samples) -> Any:
        return np.array([row_of[path] for path in part.frame["path"]])

    folds = fold_samples(samples, section, seed)
    return [(rows(one.samples.part("train")), rows(one.samples.part("test"))) for one in folds]


def fold_refusals(trained: Trained, seed: int) -> tuple[Any, Any]:
    """Return the reasons of all images, each by the gate of the folds without it, and groups."""
    samples, images = trained.load()
    found = np.full(len(samples), "", dtype=object)
    for train, test in divide(trained, seed):
        gate = fit(trained, train)
        found[test] = find_refused(gate, images[test], trained.preprocessing)
    return found, samples.groups


def write_cost() -> None:
    """Write what the gate costs on images of new patients."""
    rows = []
    for trained in GATES:
        found, groups = fold_refusals(trained, 0)
        share = interval(found != "", np.mean, groups, bounds=(0.0, 1.0))
        others = [float((fold_refusals(trained, seed)[0] != "").mean()) for seed in (1, 2)]
        ends = "" if share.low is None else f" ({share.low:.1%} to {share.high:.1%})"
        unit = f"{len(set(groups)):,}" if trained.unit == "patients" else "unknown"
        rows.append(
            [
                trained.title,
                f"{len(found):,}",
                unit,
                f"{share.value:.1%}{ends}",
                ", ".join(f"{one:.1%}" for one in others),
                list_reasons(found),
            ]
        )
    write_table(
        "gate-cost",
        "Real images that the gate refuses: five folds by patient (of PCam by image), each image "
        "by the gate of the folds that do not hold its patient; seed 0 with 95 % interval by "
        "patient, and two other seeds.",
        COMMAND,
        ["images", "number", "patients", "refused", "seeds 1, 2", "reasons"],
        rows,
    )


def list_reasons(found: Any, most: int = 6) -> str:
    """Return the numbers of refused images by reason, the most frequent first."""
    counted = Counter(found[found != ""])
    return ", ".join(f"{reason} {n:,}" for reason, n in counted.most_common(most)) or "–"


def write_few() -> None:
    """Write what gates of few patients refuse of the other patients."""
    trained = GATES[0]
    samples, images = trained.load()
    groups = np.asarray(samples.groups)
    names = np.unique(groups)
    rows = []
    for n_groups in FEW:
        shares, margin = [], 1.0
        for draw in range(DRAWS):
            chosen = np.random.default_rng(draw).permutation(names)[:n_groups]
            own = np.isin(groups, chosen)
            gate = fit(trained, own)
            margin = gate.margin
            refused = find_refused(gate, images[~own], trained.preprocessing) != ""
            shares.append(float(refused.mean()))
        rows.append(
            [
                str(n_groups),
                f"{margin:.2f}",
                f"{np.mean(shares):.1%}",
                f"{np.quantile(shares, 0.9):.1%}",
            ]
        )
    write_table(
        "gate-few",
        f"Images of the other patients of BreakHis that a gate of few patients refuses: mean and "
        f"90th percentile of {DRAWS} draws.",
        COMMAND,
        ["training patients", "factor on the limits", "refused, mean", "90th percentile"],
        rows,
    )


def plain_images(side: int) -> dict[str, Image]:
    """Return images that show nothing: uint8, shape (N, H, W, 3)."""
    random = np.random.default_rng(0)
    shape = (20, side, side, 3)
    colours = {
        "white": (250, 250, 250), "black": (2, 2, 2), "grey": (128, 128, 128),
        "red square": (220, 20, 20), "pink": (225, 170, 205),
    }  # fmt: skip
    found = {name: np.full(shape, colour) for name, colour in colours.items()}
    found["empty glass with noise"] = 240 + random.normal(0, 3, shape)
    found["white noise"] = random.integers(0, 256, shape)
    stripes = np.where(np.arange(side) // max(1, side // 12) % 2, 255, 0)
    found["stripes"] = np.broadcast_to(stripes[:, None, None], shape)
    return {name: one.clip(0, 255).astype(np.uint8) for name, one in found.items()}


def other_sets(folder: Path) -> dict[str, list[str]]:
    """Return image files by set; those that no decoder of sections reads are drawn as PNG."""
    random = np.random.default_rng(0)

    def some(paths: Iterable[Path]) -> list[str]:
        listed = sorted(map(str, paths))
        rows = random.permutation(len(listed))[:SHOWN]
        return [listed[row] for row in np.sort(rows)]

    stacks = some((DATA / "mcf7-fluorescence").rglob("*.tif*"))
    cells = folder / "mcf7"
    cells.mkdir()
    for number, path in enumerate(stacks):
        stack = np.moveaxis(tifffile.imread(path), 0, -1).astype(float)
        drawn = (255 * stack / stack.max(axis=(0, 1))).astype(np.uint8)
        PillowImage.fromarray(drawn).save(cells / f"{number}.png")
    write_phantom(PhantomOptions(patients=20, images_per_patient=15), folder / "phantom")
    digits = next((DATA / "mnist").glob("*images*"))
    return {
        "BreakHis 200×": some((DATA / "breakhis-200x-224").rglob("*.png")),
        "BreakHis 40×, 100×": some(
            path
            for power in ("40X", "100X")
            for path in (DATA / "breakhis-700x460").rglob(f"{power}/*.png")
        ),
        "BreakHis 400×": some((DATA / "breakhis-700x460").rglob("400X/*.png")),
        "IDC": some((DATA / "idc").rglob("*.png")),
        "PCam": some((DATA / "pcam" / "valid").rglob("*.*g")),
        "LC25000 (lung)": some((DATA / "lc25000").rglob("*.jp*g")),
        "phantom": some((folder / "phantom").rglob("*.png")),
        "MCF-7 fluorescence, as PNG": some(cells.glob("*.png")),
        "MNIST digits": [f"{digits}#{index}" for index in range(SHOWN)],
    }


def hostile_files(folder: Path) -> list[str]:
    """Write the hostile corpus; return what is listed as an image."""
    for draft in image_drafts():
        draft.write(folder)
    return list_images([folder]).cells


def read(cells: Iterable[str], preprocessing: Preprocessing) -> Image:
    """Return the images that can be read at the network's size."""
    from eosin.inference.reading import read_cells

    found = [one for _, one in read_cells(cells, preprocessing)]
    kept = [one for one in found if not isinstance(one, Exception)]
    return np.stack(kept) if kept else np.empty((0, *preprocessing.input_px, 3), dtype=np.uint8)


def cell_of(gate: Gate, images: Image, trained: Trained) -> str:
    """Return the refused share of images, with the most frequent reason."""
    found = find_refused(gate, images, trained.preprocessing)
    share = float((found != "").mean())
    return f"{share:.0%}" + (f" {list_reasons(found, 1).split()[0]}" if share else "")


def write_sets(folder: Path) -> None:
    """Write what three gates refuse of other sets, and what a network says of these."""
    gates = [(fit(trained), trained) for trained in GATES]
    model = train(folder / "run")
    sets = {**other_sets(folder), "hostile files that can be read": hostile_files(folder / "bad")}
    rows = []
    for name, cells in sets.items():
        images = [read(cells, trained.preprocessing) for _, trained in gates]
        rows.append([name, *_row(gates, images, model)])
    for name in plain_images(8):
        images = [plain_images(trained.input_px)[name] for _, trained in gates]
        rows.append([name, *_row(gates, images, model)])
    write_table(
        "gate-sets",
        "Share of images that the gates of three training sets refuse, with the most frequent "
        "reason; and the share to which the light CNN of BreakHis (five folds of "
        f"{EPOCHS} epochs) gives a probability of at least 0.9. A gate was fitted on the images of "
        "its own set.",
        COMMAND,
        ["images", "number", *(trained.title for _, trained in gates), "network ≥ 0.9"],
        rows,
    )


def _row(gates: list[tuple[Gate, Trained]], images: list[Image], model: Model) -> list[str]:
    shown = model.classifier.probabilities(model.classifier.logits(images[0]))
    cells = [cell_of(gate, one, tr) for (gate, tr), one in zip(gates, images, strict=True)]
    return [f"{len(images[0]):,}", *cells, f"{(shown.max(axis=1) >= 0.9).mean():.0%}"]


def train(run: Path) -> Model:
    """Train the light CNN on BreakHis; the ensemble of its folds."""
    recipe = read_recipe(Path(__file__).parents[1] / "recipes/lightcnn-breakhis200.toml")
    data = recipe.data.model_copy(update={"root": str(DATA / "breakhis-200x-224")})
    short = recipe.train.model_copy(update={"epochs": EPOCHS})
    eosin.train(recipe.model_copy(update={"data": data, "train": short}), output=run)
    return eosin.load(run)


def planted_faults() -> dict[str, Callable[[Image, np.random.Generator], Image]]:
    """Return changes of an image (H, W, 3) that the gate should find, from weak to strong."""
    found: dict[str, Callable[[Image, np.random.Generator], Image]] = {}
    for name, change in CORRUPTIONS.items():
        for severity in (1, 3, 5):
            found[f"{name} {severity}"] = lambda image, random, c=change, s=severity: c.change(
                image, s, random
            )
    for sigma in (1.0, 2.0, 4.0):
        found[f"blur σ {sigma:g} px"] = lambda image, _, s=sigma: ndimage.gaussian_filter(
            image, (s, s, 0)
        )
    for share in (0.02, 0.05, 0.1):
        found[f"pen stroke over {share:.0%}"] = lambda image, _, s=share: cover(
            image, s, (30, 60, 160)
        )
    for share in (0.5, 0.8, 0.95):
        found[f"glass over {share:.0%}"] = lambda image, _, s=share: cover(
            image, s, (245, 243, 246)
        )
    for factor in (0.4, 2.0, 3.0):
        found[f"stain density × {factor:g}"] = lambda image, _, f=factor: to_bytes(
            256 * ((image + 1.0) / 256) ** f - 1
        )
    found["red and blue exchanged"] = lambda image, _: image[..., ::-1]
    found["grey"] = lambda image, _: np.repeat(image.mean(-1, keepdims=True), 3, -1).astype(
        np.uint8
    )
    found["inverted"] = lambda image, _: 255 - image
    for factor in (2, 4):
        found[f"enlarged × {factor}"] = lambda image, _, f=factor: enlarge(image, f)
    return found


def cover(image: Image, share: float, colour: tuple[int, int, int]) -> Image:
    """Cover a share of an image from the left."""
    covered = image.copy()
    covered[:, : max(1, round(image.shape[1] * share))] = colour
    return covered


def to_bytes(values: Any) -> Image:
    """Round and clip to 8 bits."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def enlarge(image: Image, factor: int) -> Image:
    """Enlarge the middle of an image."""
    height, width = image.shape[:2]
    top, left = (height - height // factor) // 2, (width - width // factor) // 2
    middle = PillowImage.fromarray(
        image[top : top + height // factor, left : left + width // factor]
    )
    return np.asarray(middle.resize((width, height), PillowImage.Resampling.BILINEAR))


def write_faults() -> None:
    """Write what the gates refuse of held-out images with planted faults."""
    columns = []
    for trained in GATES:
        _, images = trained.load()
        rows, held_out = divide(trained, 0)[0]
        gate = fit(trained, rows)
        chosen = np.random.default_rng(0).permutation(held_out)[:PLANTED]
        faults = {"none": lambda image, _: image, **planted_faults()}
        column = {}
        for name, fault in faults.items():
            random = np.random.default_rng(0)
            changed = np.stack([fault(images[row], random) for row in chosen])
            column[name] = cell_of(gate, changed, trained)
        columns.append(column)
    table = [[name, *(column[name] for column in columns)] for name in columns[0]]
    write_table(
        "gate-faults",
        f"Share of at most {PLANTED} images of the first held-out fold that is refused with a "
        "planted fault, and the most frequent reason. Names with 1, 3 and 5 are the changes of "
        "`eosin evaluate --robustness` at these severities; sizes are pixels at the network's "
        "input.",
        COMMAND,
        ["fault", *(trained.title for trained in GATES)],
        table,
    )


def main() -> None:
    """Measure, and write the tables."""
    write_cost()
    write_few()
    write_faults()
    with tempfile.TemporaryDirectory() as folder:
        write_sets(Path(folder))


if __name__ == "__main__":
    main()
