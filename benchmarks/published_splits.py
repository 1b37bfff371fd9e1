"""Leak audit of published splits: BreakHis as eva and THUNDER divide it, LC25000 at random.

``python -m benchmarks.published_splits PART…`` with the parts ``breakhis`` (seconds: names alone)
and ``lc25000`` (minutes) writes ``docs/results/tables/published-<part>.json``.

The ids of both benchmarks are facts from their public sources:

- eva: ``kaiko-ai/eva`` at 73b61a7 (2026-04-29), ``src/eva/vision/data/datasets/classification/
  breakhis.py``: validation ids; the rest of four classes at 40X trains.
- THUNDER: ``MICS-Lab/thunder`` at 6fe47e0 (2025-05-20), ``src/thunder/datasets/dataset/
  break_his.py``: eva's validation ids test, ten others validate, the rest trains.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from benchmarks.audit import DATA, judge_split, look, tell_share
from benchmarks.tables import write_table
from eosin.core.types import Samples
from eosin.data.audit import audit_samples, find_near_duplicates
from eosin.data.sources.breakhis import parse_breakhis_name
from eosin.experiment.audit_images import ImageIndexBuilder, make_embedder
from eosin.images.references import list_images

#: BreakHis's slides of the four classes and their images at 40X, 1,471 in all, as in its archive.
SLIDES = {
    "B_TA": "13200:15 15275:12 16184:39 3411F:16 19854C:16 16184CD:35 21978AB:16",
    "B_F": "9133:26 14134:36 25197:22 14134E:29 21998CD:37 21998EF:31 23060AB:23 23060CD:14 "
    "23222AB:17 29960AB:18",
    "M_MC": "10147:15 12773:26 13413:29 16456:46 18842:15 19979:26 18842D:16 19979C:17 13418DE:15",
    "M_DC": "2523:10 2773:30 2980:20 2985:20 3909:26 4364:1 4372:21 5287:23 5694:22 5695:23 "
    "6241:32 8168:10 9461:26 10926:11 11031:14 11520:25 11951:27 12312:32 13412:32 13993:37 "
    "14015:18 14926:20 14946:31 15572:23 15696:23 15792:14 16188:24 16336:13 16448:11 16601:12 "
    "16716:38 16875:14 17614:39 17901:26 17915:26 18650:29 20629:36 20636:25",
}
EVA_VALIDATION = (
    "18842D 19979 15275 15792 16875 3909 5287 16716 2773 5695 16184CD 23060CD 21998CD 21998EF"
)
THUNDER_VALIDATION = "23222AB 13418DE 11520 19854C 10926 12312 18842 13412 13200 29960AB"


def name_images() -> list[str]:
    """Return the names of BreakHis's images at 40X of the four classes."""
    return [
        f"SOB_{kind}-14-{slide}-40-{number:03d}.png"
        for kind, slides in SLIDES.items()
        for slide, _, count in (one.partition(":") for one in slides.split())
        for number in range(1, int(count) + 1)
    ]


def list_real_images() -> list[str]:
    """Return the images at 200X that are there, of the same four classes."""
    paths = sorted(list_images([DATA / "breakhis-200x-224"]).cells)
    return [path for path in paths if any(f"SOB_{kind}-" in path for kind in SLIDES)]


def divide_as_eva(slide: str) -> str:
    """Return the part of a slide id in eva's split."""
    return "val" if slide in EVA_VALIDATION.split() else "train"


def divide_as_thunder(slide: str) -> str:
    """Return the part of a slide id in THUNDER's split."""
    if slide in EVA_VALIDATION.split():
        return "test"
    return "val" if slide in THUNDER_VALIDATION.split() else "train"


def audit_breakhis() -> Iterator[list[str]]:
    """Audit both splits by name; eva's also on real images at another magnification."""
    names = name_images()
    yield from audit_split("eva, 40X", names, divide_as_eva)
    yield from audit_split("THUNDER, 40X", names, divide_as_thunder)
    yield from audit_split("eva's ids, 200X here", list_real_images(), divide_as_eva)


def audit_split(title: str, paths: list[str], divide: Callable[[str], str]) -> Iterator[list[str]]:
    """Audit a split of BreakHis by slide id: a row per pair of parts."""
    parsed = [parse_breakhis_name(path) for path in paths]
    found = [name for name in parsed if name is not None]
    if len(found) != len(paths):
        raise ValueError("every image needs a BreakHis name")
    slides = [name.slide for name in found]
    split = [divide(name.slide.partition("-")[2]) for name in found]
    frame = pd.DataFrame(
        {"path": paths, "label": "a", "patient": slides, "group": slides, "split": split},
        dtype=object,
    )
    report = audit_samples(Samples(frame=frame, root=Path(), class_names=("a",)))
    accession = [name.accession for name in found]
    for finding in (leak for leak in report.leaks if leak.kind == "same_accession"):
        first, second = str(finding.pairs[0].split_a), str(finding.pairs[0].split_b)
        row = {path: number for number, path in enumerate(paths)}
        shared = sorted({accession[row[pair.a]] for pair in finding.pairs}, key=int)
        sizes = [report.splits[part].n_images for part in (first, second)]
        touched = sum(
            one in shared and part == second for one, part in zip(accession, split, strict=True)
        )
        yield [
            title, f"{first}, {second}", " + ".join(f"{size:,}" for size in sizes),
            str(len(set(slides))), str(len(set(accession))), ", ".join(shared),
            f"{touched} of {sizes[1]} ({100 * touched / sizes[1]:.0f} %)",
        ]  # fmt: skip


def audit_lc25000() -> Iterator[list[str]]:
    """Split LC25000 by image, three times, and audit each split by content."""
    table = pd.read_csv(DATA / "lc25000" / "clusters.csv")
    paths = [str(DATA / "lc25000" / path) for path in table["path"]]
    cluster = dict(zip(paths, table["class"] + " " + table["cluster"].astype(str), strict=True))
    samples, hashes, image_index = look(paths, ImageIndexBuilder(make_embedder()))
    similar = find_near_duplicates(image_index)
    for seed in range(3):
        crossing, flagged, _ = judge_split(samples, hashes, similar, cluster, seed)
        yield [
            str(seed), f"{len(paths):,}", str(len(set(cluster.values()))),
            tell_share(set(cluster.values()), crossing), tell_share(crossing, flagged),
        ]  # fmt: skip


TABLES: dict[str, tuple[str, list[str], Callable[[], Iterator[list[str]]]]] = {
    "breakhis": (
        "Accessions of BreakHis that have slides in two subsets of a published split, and the "
        "images of the second subset that are of these accessions.",
        [
            "split",
            "subsets",
            "images",
            "slide ids",
            "accessions",
            "in both subsets",
            "images concerned",
        ],
        audit_breakhis,
    ),
    "lc25000": (
        "LC25000 (lung) split at random by image 70/10/20: clusters of copies that are in more "
        "than one subset, and those of them that the audit flags without using the clusters.",
        ["seed", "images", "clusters", "clusters in several subsets", "flagged by the audit"],
        audit_lc25000,
    ),
}


def main() -> None:
    """Audit the splits that are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="+", choices=list(TABLES))
    for part in parser.parse_args().parts:
        caption, columns, rows = TABLES[part]
        command = f"python -m benchmarks.published_splits {part}"
        write_table(f"published-{part}", caption, command, columns, list(rows()))


if __name__ == "__main__":
    main()
