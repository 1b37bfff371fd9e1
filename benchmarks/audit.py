"""What the leak audit finds of planted copies, what it finds where nothing was planted, its cost.

``python -m benchmarks.audit PART…`` with the parts ``copies``, ``alarms``, ``clusters`` (each some
minutes), ``growth`` (ten minutes; 100,000 patches are made in ``-o DIR``) and ``content`` (ten
minutes; 10,000 images of 224 px are made there) writes
``docs/results/tables/audit-<part>.json``. LC25000's tile clusters are read for the score alone.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image as PillowImage

from benchmarks.tables import write_table
from eosin.core.types import Samples
from eosin.data.audit import (
    FileHashes,
    ImageIndex,
    NearDuplicates,
    audit_samples,
    find_near_duplicates,
    hash_files,
)
from eosin.data.audit.image_index import rank_pairs
from eosin.data.audit.near_duplicates import find_copies, find_textured
from eosin.experiment.audit_images import ImageIndexBuilder, gather_image_index, make_embedder
from eosin.images.references import list_images

DATA = Path(os.environ.get("EOSIN_DATA", Path(__file__).parents[2] / "shared" / "data"))
COPIED = ("breakhis-200x-224", "pcam", "idc")
AS_THEY_ARE = (*COPIED, "mcf7-fluorescence", "mnist")
#: Images of a set, and how many of them are copied.
IMAGES, PLANTED = 4000, 200
SIZES = (10_000, 30_000, 100_000)
CONTENT_SIZES = (1_000, 3_000, 10_000)
SEED = 0

Thumbnail = PillowImage.Image


def save_jpeg(image: Thumbnail) -> Thumbnail:
    """Save an image as JPEG of quality 75 and read it again."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=75)
    return PillowImage.open(stream).convert("RGB")


def resize(image: Thumbnail) -> Thumbnail:
    """Halve an image and bring it back to its size."""
    half = image.resize((image.width // 2, image.height // 2), PillowImage.Resampling.BICUBIC)
    return half.resize(image.size, PillowImage.Resampling.BICUBIC)


def crop(image: Thumbnail) -> Thumbnail:
    """Cut off 5 % of each side's length, at one end."""
    width, height = round(0.95 * image.width), round(0.95 * image.height)
    return image.crop((image.width - width, 0, image.width, height))


COPIES: dict[str, Callable[[Thumbnail], Thumbnail]] = {
    "mirrored": lambda image: image.transpose(PillowImage.Transpose.FLIP_LEFT_RIGHT),
    "rotated by 90°": lambda image: image.transpose(PillowImage.Transpose.ROTATE_90),
    "JPEG, quality 75": save_jpeg,
    "halved and enlarged": resize,
    "cropped by 5 %": crop,
}


def list_set(name: str, n_images: int = IMAGES) -> list[str]:
    """Return images of a set, drawn once and for all."""
    if name == "mnist":
        file = next(iter(sorted((DATA / name).rglob("*images*idx3*"))))
        cells = [f"{file}#{index}" for index in range(60_000)]
    else:
        cells = sorted(list_images([DATA / name]).cells)
    chosen = np.random.default_rng(SEED).permutation(len(cells))[:n_images]
    return [cells[place] for place in chosen]


def look(cells: list[str], builder: ImageIndexBuilder) -> tuple[Samples, FileHashes, ImageIndex]:
    """Read images into an album."""
    frame = pd.DataFrame({"path": cells}, dtype=object)
    frame = frame.assign(label="a", patient="", group=frame["path"])
    samples = Samples(frame=frame, root=Path(), class_names=("a",))
    hashes = hash_files(samples, look=builder.add)
    return samples, hashes, gather_image_index(samples, hashes, builder, content=True)


def plant_copies(name: str, folder: Path) -> list[str]:
    """Copy images of a set in every way, and look for the copies among the set."""
    cells = list_set(name)
    chosen = cells[:PLANTED]
    origin: dict[str, str] = {}
    for number, cell in enumerate(chosen):
        with PillowImage.open(cell) as opened:
            image = opened.convert("RGB")
        for place, change in enumerate(COPIES.values()):
            path = folder / f"{name}-{number}-{place}.png"
            change(image).save(path)
            origin[str(path)] = cell
    counts, false, total, plain = [], 0, 0, 0
    for place in range(len(COPIES)):
        mine = {path: cell for path, cell in origin.items() if path.endswith(f"-{place}.png")}
        _, hashes, image_index = look([*cells, *mine], ImageIndexBuilder())
        pixels = {cell: one.pixels for cell, one in hashes.files.items()}
        textured = {image_index.cells[row] for row in find_textured(image_index.pictures)[0]}
        pairs = {frozenset((m.a, m.b)) for m in find_near_duplicates(image_index).matches}
        wanted = [pair for pair in mine.items() if {*pair} <= textured]
        plain += len(mine) - len(wanted)
        n_found = sum(
            frozenset((path, cell)) in pairs or pixels[path] == pixels[cell]
            for path, cell in wanted
        )
        counts.append(f"{n_found} of {len(wanted)}")
        truth = {frozenset(pair) for pair in mine.items()}
        false, total = false + len(pairs - truth), total + len(pairs)
    shown = f"{plain} of {len(origin)}"
    return [name, f"{len(cells):,}", shown, *counts, f"{false} of {total}"]


def measure_alarms(name: str) -> list[str]:
    """Look for copies in a set as it is, every image being its own group."""
    cells = list_set(name, 20_000 if name == "mnist" else IMAGES)
    start = time.process_time()
    _, _, image_index = look(cells, ImageIndexBuilder())
    read = time.process_time() - start
    found = find_near_duplicates(image_index).matches
    took = time.process_time() - start - read
    top = max((one.score for one in found), default=0.0)
    plain = len(image_index) - len(find_textured(image_index.pictures)[0])
    return [
        name, f"{len(cells):,}", f"{plain:,}", str(len(found)),
        f"{top:.3f}" if found else "–", f"{read:.1f}", f"{took:.1f}",
    ]  # fmt: skip


def split_clusters() -> Iterator[list[str]]:
    """Split LC25000 at random, three times, and hold what is flagged against its clusters."""
    table = pd.read_csv(DATA / "lc25000" / "clusters.csv")
    paths = [str(DATA / "lc25000" / path) for path in table["path"]]
    cluster = dict(zip(paths, table["class"] + " " + table["cluster"].astype(str), strict=True))
    tuned = set(sorted(set(cluster.values()))[::3])
    for how in ("copies", "full"):
        start = time.process_time()
        samples, hashes, image_index = look(
            paths, ImageIndexBuilder(make_embedder() if how == "full" else None)
        )
        near_duplicates = find_near_duplicates(image_index)
        seconds = time.process_time() - start
        false = [m for m in near_duplicates.matches if cluster[m.a] != cluster[m.b]]
        for match in false:
            print("different clusters:", match)
        for seed in range(3):
            crossing, flagged, pairs = judge_split(samples, hashes, near_duplicates, cluster, seed)
            wrong = sum(cluster[a] != cluster[b] for a, b in pairs)
            yield [
                how, str(seed), tell_share(crossing, flagged),
                tell_share(crossing - tuned, flagged),
                f"{wrong} of {len(pairs)}", f"{len(false)} of {len(near_duplicates.matches)}",
                f"{seconds:.0f}",
            ]  # fmt: skip


def tell_share(crossing: set[str], flagged: set[str]) -> str:
    """Write how many of the clusters that cross are flagged."""
    n_found = len(crossing & flagged)
    return f"{n_found} of {len(crossing)} ({100 * n_found / len(crossing):.1f} %)"


def judge_split(
    samples: Samples,
    hashes: FileHashes,
    near_duplicates: NearDuplicates,
    cluster: dict[str, str],
    seed: int,
) -> tuple[set[str], set[str], list[tuple[str, str]]]:
    """Split at random by image 70/10/20.

    Returns:
        The clusters that cross, those that are flagged, and the flagged pairs.
    """
    draw = np.random.default_rng(seed).permutation(len(samples)) / len(samples)
    split = np.where(draw < 0.7, "train", np.where(draw < 0.8, "val", "test"))
    divided = samples.frame.assign(split=split)
    own = divided["path"].map(cluster)
    n_parts = divided.groupby(own)["split"].nunique()
    crossing = set(n_parts[n_parts > 1].index)
    table = Samples(frame=divided, root=Path(), class_names=("a",))
    report = audit_samples(table, hashes=hashes, near_duplicates=near_duplicates)
    kinds = {"near_duplicate", "identical_pixels", "identical_bytes"}
    pairs = [(p.a, p.b) for f in report.leaks if f.kind in kinds for p in f.pairs]
    flagged = {cluster[cell] for pair in pairs for cell in pair}
    return crossing, flagged, pairs


def make_patches(folder: Path) -> Path:
    """Write 100,000 patches of 96 px into one file: PCam's, shifted and tinted out of likeness.

    Two of PCam's are blended, each turned at random, so that no two patches are alike.
    """
    path = folder / "patches.h5"
    if path.exists():
        return path
    base = np.stack([np.asarray(PillowImage.open(c).convert("RGB")) for c in list_set("pcam")])
    rng = np.random.default_rng(SEED)
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", (SIZES[-1], 96, 96, 3), np.uint8, chunks=(1, 96, 96, 3))
        for start in range(0, SIZES[-1], 1000):
            a, b = (
                np.rot90(
                    base[rng.integers(len(base), size=1000)], k=int(rng.integers(4)), axes=(1, 2)
                )
                for _ in range(2)
            )
            share = rng.uniform(0.35, 0.65, (1000, 1, 1, 1)).astype(np.float32)
            x[start : start + 1000] = (share * a + (1 - share) * b).astype(np.uint8)
    return path


def measure_size(path: Path, n_images: int) -> None:
    """Print what one size takes, without the geometric stage; run in a process of its own."""
    marks = [(time.perf_counter(), time.process_time())]
    cells = [f"{path}#{index}" for index in range(n_images)]
    _, _, image_index = look(cells, ImageIndexBuilder(make_embedder()))
    marks.append((time.perf_counter(), time.process_time()))
    rows, texture = find_textured(image_index.pictures)
    copies, _ = find_copies(image_index.pictures[rows], texture)
    marks.append((time.perf_counter(), time.process_time()))
    pairs = rank_pairs(image_index.vectors, None)  # type: ignore[arg-type]
    marks.append((time.perf_counter(), time.process_time()))
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    shown = {"steps": steps, "peak_gib": peak, "copies": len(copies), "pairs": len(pairs)}
    print(json.dumps(shown))


def measure_growth(folder: Path) -> Iterator[list[str]]:
    """Run every size in a process of its own."""
    path = make_patches(folder)
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.audit", "--size", str(size), "-o", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        shown = json.loads(done.stdout.splitlines()[-1])
        wall, cpu = (sum(step[k] for step in shown["steps"]) for k in (0, 1))
        each = [f"{step[1]:.0f}" for step in shown["steps"]]
        yield [f"{size:,}", *each, f"{cpu:.0f}", f"{wall:.0f}", f"{shown['peak_gib']:.2f}"]
    print(f"{path} can be removed")


def make_images(folder: Path) -> list[str]:
    """Write 10,000 images of 224 px: LC25000, BreakHis, and PCam enlarged; return them shuffled."""
    place = folder / "content-224"
    place.mkdir(exist_ok=True)
    sets = ("lc25000", "breakhis-200x-224", "pcam")
    cells = [cell for name in sets for cell in sorted(list_images([DATA / name]).cells)]
    cells = cells[: CONTENT_SIZES[-1]]
    paths = [place / f"{number:05d}.jpg" for number in range(len(cells))]
    for cell, path in zip(cells, paths, strict=True):
        if not path.exists():
            with PillowImage.open(cell) as opened:
                image = opened.convert("RGB").resize((224, 224), PillowImage.Resampling.BICUBIC)
            image.save(path, quality=90)
    return [str(paths[n]) for n in np.random.default_rng(SEED).permutation(len(paths))]


def measure_content(cells: list[str]) -> None:
    """Print what the audit by content takes, step by step; run in a process of its own."""
    marks = [(time.perf_counter(), time.process_time())]
    _, _, image_index = look(cells, ImageIndexBuilder(make_embedder()))
    marks.append((time.perf_counter(), time.process_time()))
    rows, texture = find_textured(image_index.pictures)
    find_copies(image_index.pictures[rows], texture)
    marks.append((time.perf_counter(), time.process_time()))
    pairs = rank_pairs(image_index.vectors[rows], None)  # type: ignore[index]
    marks.append((time.perf_counter(), time.process_time()))
    matches = find_near_duplicates(image_index).matches
    marks.append((time.perf_counter(), time.process_time()))
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks)]
    # The search repeats the two steps before it.
    steps[3] = tuple(steps[3][k] - steps[1][k] - steps[2][k] for k in (0, 1))  # type: ignore[call-overload]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    shown = {"steps": steps, "peak_gib": peak, "pairs": len(pairs), "matches": len(matches)}
    print(json.dumps(shown))


def measure_content_growth(folder: Path) -> Iterator[list[str]]:
    """Run every size in a process of its own."""
    make_images(folder)
    for size in CONTENT_SIZES:
        command = [sys.executable, "-m", "benchmarks.audit", "--content", str(size)]
        done = subprocess.run(
            [*command, "-o", str(folder)], check=True, stdout=subprocess.PIPE, text=True
        )
        shown = json.loads(done.stdout.splitlines()[-1])
        wall, cpu = (sum(step[k] for step in shown["steps"]) for k in (0, 1))
        each = [f"{step[1]:.0f}" for step in shown["steps"]]
        yield [
            f"{size:,}", f"{shown['pairs']:,}", f"{shown['matches']:,}", *each, f"{cpu:.0f}",
            f"{wall:.0f}", f"{shown['peak_gib']:.2f}",
        ]  # fmt: skip
    print(f"{folder / 'content-224'} can be removed")


def main() -> None:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*TABLES, []])
    parser.add_argument("-o", "--output", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--size", type=int)
    parser.add_argument("--content", type=int)
    chosen = parser.parse_args()
    if chosen.size:
        measure_size(make_patches(chosen.output), chosen.size)
        return
    if chosen.content:
        measure_content(make_images(chosen.output)[: chosen.content])
        return
    for part in chosen.parts:
        caption, columns, rows = TABLES[part]
        found = list(rows(chosen.output))
        write_table(f"audit-{part}", caption, f"python -m benchmarks.audit {part}", columns, found)


def plant_all(_folder: Path) -> Iterator[list[str]]:
    """Plant copies into every set."""
    for name in COPIED:
        with tempfile.TemporaryDirectory() as scratch:
            yield plant_copies(name, Path(scratch))


TABLES: dict[str, tuple[str, list[str], Callable[[Path], Iterator[list[str]]]]] = {
    "copies": (
        f"{PLANTED} images of each data set, copied in each way: copies found, of those with "
        "enough texture to be compared (too plain: the others), and pairs that are no copies.",
        ["set", "images", "too plain", *COPIES, "other pairs"],
        plant_all,
    ),
    "alarms": (
        "Pairs reported as copies in unaltered data sets, their highest score, and CPU seconds.",
        ["set", "images", "too plain", "pairs", "best", "s to read", "s to compare"],
        lambda _folder: (measure_alarms(name) for name in AS_THEY_ARE),
    ),
    "clusters": (
        "LC25000 split at random 70/10/20: flagged clusters, of the clusters of copies in several "
        "subsets, for all clusters and for the two thirds on which no threshold was set (held "
        "out); pairs between clusters, of the flagged pairs and of all matches; CPU seconds of the "
        "search.",
        ["audit", "seed", "flagged", "held out", "false flags", "false matches", "CPU s"],
        lambda _folder: split_clusters(),
    ),
    "growth": (
        "CPU seconds of each step for patches of 96 px, without the geometric stage, total CPU and "
        "wall seconds on two shared cores, and peak memory.",
        ["patches", "read, hash, embed", "copies", "candidates", "CPU s", "wall s", "GiB"],
        measure_growth,
    ),
    "content": (
        "Search by content among images of 224 px (LC25000, BreakHis, and PCam enlarged): "
        "candidate pairs, matches, CPU seconds of each step, total CPU and wall seconds on two "
        "shared cores, and peak memory.",
        [
            "images",
            "pairs",
            "matches",
            "read, hash, embed",
            "copies",
            "candidates",
            "screen, verify",
            "CPU s",
            "wall s",
            "GiB",
        ],
        measure_content_growth,
    ),
}

if __name__ == "__main__":
    main()
