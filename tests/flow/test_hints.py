"""Every hint that can be typed works when typed as printed.

Hints are collected from the source. Each needs a line in ``SCENARIOS`` that provokes it: what is
typed, where placeholders such as FOLDER lead, and which part of the source it stands for. Or it is
typed by a test that ``ELSEWHERE`` names.
"""

import ast
import functools
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
import torch
from PIL import Image

import eosin
from eosin.artifacts.integrity import list_run_files
from eosin.artifacts.layout import RunFolder
from eosin.recipe import recipe_from_dict

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "eosin"
VERBS = (
    "bench|compare|convert|data|demo|doctor|ensemble|evaluate|explain|export|models|predict|recipes"
)
VERBS += "|report|reproduce|train|bench"
#: What somebody would type.
TYPED = re.compile(
    rf"(?<![-\w])(--[a-z]+\b|--\{{\}}|-o\b|eosin (?:{VERBS})\b|pip install\b|export [A-Z{{])"
)
#: Options whose value is the next word.
VALUED = {
    "--set", "--map", "--data", "--label", "--patient", "--resume", "--features", "--split", "-o",
    "--time-limit", "--method", "--mpp",
}  # fmt: skip


# --- what the source offers ---


def _strings(tree):
    """Yield every text of a module but docstrings; of an f-string the whole, ``{}`` for values."""
    inner, docstrings = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in ast.walk(node) if part is not node}
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            docstrings.add(id(first.value))
    for node in ast.walk(tree):
        if id(node) in inner | docstrings:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
            yield "".join(map(str, parts))


@functools.cache
def collect_hints():
    """Return ``file: text`` of every text in the source that offers something to type."""
    # These declare the options, and say where help is.
    declaring = {SOURCE / "__main__.py", SOURCE / "core/hints.py", *(SOURCE / "cli").glob("*.py")}
    paths = sorted({*SOURCE.rglob("*.py")} - declaring)
    return [
        f"{path.relative_to(SOURCE).as_posix()}: {text}"
        for path in paths
        for text in _strings(ast.parse(path.read_text(encoding="utf-8")))
        if TYPED.search(text) and not re.fullmatch(r"-{1,2}[a-z]+(=.*)?", text)
    ]


# --- what is typed ---


@dataclass(frozen=True)
class Scenario:
    """One hint provoked.

    Attributes:
        hint: A part of the hint in the source that no other hint has.
        line: The command that is refused, a function of the workshop.
        fill: What the user puts in the place of FOLDER and the like.
        then: Words added to what is typed, to make it quick.
        before: Changes the workshop first.
        only: Which of several suggestions is typed, counted from 0; all of them one by one else.
        n_replaced: Words at the end of the line that the hint takes the place of.
        named: What the user names where the hint ends with an option that needs a value.
        retry: Whether the refused line works after what was typed.
        status: With which what is typed leaves.
    """

    hint: str
    line: Callable
    fill: dict = field(default_factory=dict)
    then: tuple = ()
    before: Callable | None = None
    only: int | None = None
    n_replaced: int = 0
    named: str = "made"
    retry: bool = False
    status: int = 0


def suggestions(text):
    """Return what a hint offers to type: whole commands, or options to add to the last one."""
    text = text.replace("`", " ")
    found = []
    for piece in re.split(r"\s(?:or|and)\s|; |, (?=--|eosin|or |then )", text):
        start = TYPED.search(piece)
        if start is None:
            continue
        try:
            words = shlex.split(piece[start.start() :])
        except ValueError:
            continue
        if words[0] == "eosin":
            found.append([word.rstrip(",.:;)") for word in words])
            continue
        options, rest = [], words
        while rest and rest[0].startswith("-"):
            n = 2 if rest[0] in VALUED else 1
            options += [word.rstrip(",.;)") for word in rest[:n]]
            rest = rest[n:]
        if options:
            found.append(options)
    return found


# --- where it is typed ---


@dataclass(frozen=True)
class Workshop:
    """What scenarios work with.

    Attributes:
        recipe: A recipe that plans in a second; its images lie in ``images``.
        images: ``ROOT/<class>/<patient>/*.png``.
        here: An empty folder, which is the working folder.
        run: A finished run.
        other: Another one that was tested on the same images.
        phantom: The images of ``run``.
        folds: A finished run with folds.
    """

    recipe: Path
    images: Path
    here: Path
    run: Path
    other: Path
    phantom: Path
    folds: Path

    @property
    def model(self):
        return self.run / "model"

    def plan(self, *texts, recipe=None):
        """The words of ``train --plan`` with overrides."""
        settings = [word for text in texts for word in ("--set", text)]
        return ["train", recipe or self.recipe, "--plan", *settings]

    def train(self, *texts):
        """The words of ``train`` with overrides."""
        return [word for word in self.plan(*texts) if word != "--plan"]

    def audit(self, *words):
        """The words of ``data audit`` of a table of the images."""
        return ["data", "audit", self.table(), "--quick", *words]

    def table(self, name="table.csv", change=lambda table: table):
        """Write a manifest of the images; returns its path."""
        files = sorted(self.images.rglob("*.png"))
        rows = [(str(file), file.parts[-3], file.parts[-2]) for file in files]
        table = change(pd.DataFrame(rows, columns=["path", "label", "patient"]))
        table.to_csv(self.here / name, index=False)
        return self.here / name

    def tree(self, name, layout):
        """Copy the images into another layout; returns its root."""
        for place, file in enumerate(sorted(self.images.rglob("*.png"))):
            label, patient = file.parts[-3], file.parts[-2]
            to = self.here / name / layout.format(label=label, patient=patient, n=place)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to)
        return self.here / name

    def copy_run(self, name="run"):
        """Copy the finished run, to be broken."""
        return Path(shutil.copytree(self.run, self.here / name))

    def outside(self, *labels):
        """Write an external table with these labels in turn; returns its path."""
        return self.table(
            "outside.csv", lambda t: t.assign(label=[labels[n % len(labels)] for n in t.index])
        )


@pytest.fixture(scope="module")
def images(tmp_path_factory, tiny_phantom, tiny_run):
    folder = tmp_path_factory.mktemp("hints") / "images"
    for label in ("benign", "malignant"):
        for file in sorted((tiny_phantom / label).rglob("*.png")):
            to = folder / label / file.parts[-2] / file.name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory, tiny_phantom, tiny_run, tiny_values):
    values = tiny_values(tiny_phantom, seed=9)
    values["data"] = {"manifest": str(tiny_run / "manifest.csv"), "positive": "malignant"}
    values["data"]["split"] = {"protocol": "column"}
    values["model"]["backend"] = "numpy"
    values["train"]["epochs"] = 1
    return eosin.train(recipe_from_dict(values), output=tmp_path_factory.mktemp("runs") / "b").run


@pytest.fixture
def workshop(images, other, run_of, tiny_run, tiny_phantom, tiny_values, tmp_path, monkeypatch):
    values = tiny_values(images)
    values["data"] = {"dataset": "folder", "root": str(images), "positive": "malignant"}
    values["data"]["split"] = {"train": 0.5, "val": 0.2, "test": 0.3}
    values["model"] |= {"input_px": 52, "backend": "numpy"}
    values["train"]["epochs"] = 1
    here = tmp_path / "a folder"  # a blank wants quotes
    here.mkdir()
    (here / "recipe.toml").write_text(tomli_w.dumps(values))
    monkeypatch.chdir(here)
    monkeypatch.delenv("EOSIN_DATA", raising=False)
    return Workshop(
        here / "recipe.toml", images, here, tiny_run, other, tiny_phantom, run_of("folds")
    )


def parted(table):
    """Patients that a column divides among all parts."""
    return table.assign(split=[["train", "val", "test"][n % 3] for n in range(len(table))])


def copied(table):
    """A split that keeps patients whole, of which two share an image."""
    patients = sorted(set(table["patient"]))
    parts = {one: ["train", "val", "test"][n % 3] for n, one in enumerate(patients)}
    rows = table.assign(split=table["patient"].map(parts))
    first = rows.groupby("patient").head(1)
    same = first[first["label"] == "benign"].head(2)
    copy = Path(same["path"].iloc[0]).read_bytes()
    path = Path("copy.png")
    path.write_bytes(copy)
    rows.loc[same.index[1], "path"] = str(path.resolve())
    return rows


def noisy(w, name):
    """Write a table of images that no run knows."""
    rng = np.random.default_rng(1)
    for n in range(8):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(f"{n}.png")
    lines = [f"{n}.png,{('benign', 'malignant')[n % 2]},q{n}" for n in range(8)]
    (w.here / name).write_text("\n".join(["path,label,patient", *lines]) + "\n")
    return w.here / name


def evaluated(w, **options):
    """Evaluate a finished run; returns the folder."""
    return eosin.evaluate(output=w.here / "judged", **options).folder


def foreign_weights(w):
    torch.save({"a": torch.ones(1)}, w.here / "w.pth")
    return w.here / "w.pth"


def broken_images(w):
    (w.here / "broken").mkdir()
    for name in ("a.png", "b.png"):
        (w.here / "broken" / name).write_bytes(b"nothing of the kind")
    return w.here / "broken"


def other_folds(w):
    return w.plan("data.split.protocol=folds", "data.split.val=0.4", "data.split.k=40")


def cased(table):
    return table.rename(columns={"patient": "case id"})


def one_patient_each(table):
    return table.assign(patient=table["label"])


def few(table):
    """Three patients, each in both classes: there are few ways to divide them."""
    return table.assign(patient=[f"p{n % 3}" for n in range(len(table))])


def three(table):
    return table.assign(
        label=[["a", "b", "malignant"][n % 3] for n in range(len(table))], patient=""
    ).assign(group=[f"g{n // 3}" for n in range(len(table))])


def idc_tree(w):
    """Images that are named as IDC names its patches, in class folders of other names."""
    return w.tree("idc", "{label}/{n}_idx5_x{n}_y1_class0.png")


def breakhis_tree(w):
    return w.tree("own", "{label}/{patient}/{n}.png")


def cut(run):
    (run / "metrics.json").unlink()
    return run


def without_model(run):
    shutil.rmtree(run / "model")
    return run


def elsewhere(run):
    """Let a run's images be where nobody finds them."""
    table = pd.read_csv(run / "manifest.csv", dtype=str)
    table.assign(path="gone/" + table["path"]).to_csv(run / "manifest.csv", index=False)
    list_run_files(RunFolder(run))
    (run / "checkpoints" / "inputs.parquet").unlink()
    return run


def without_scale(run):
    values = json.loads((run / "model" / "model.json").read_text())
    (run / "model" / "model.json").write_text(json.dumps({**values, "mpp": None}))
    return run


def without_split(run):
    table = pd.read_csv(run / "manifest.csv", dtype=str).drop(columns="split")
    table.to_csv(run / "manifest.csv", index=False)
    list_run_files(RunFolder(run))
    return run


def without_model_section(w):
    """Write the recipe without its network; returns its path."""
    values = tomllib.loads(w.recipe.read_text(encoding="utf-8"))
    del values["model"]
    path = w.recipe.with_name("nameless.toml")
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
    return path


SCENARIOS = [
    # Columns under other names: mapped, or the images declared independent.
    Scenario(
        "columns.py: --set {}",
        lambda w: w.plan(f"data.manifest={w.table(change=cased)}"),
        only=0,
    ),
    Scenario(
        "columns.py: --set data.split.by=image",
        lambda w: w.plan(f"data.manifest={w.table(change=cased)}"),
        only=1,
    ),
    Scenario(
        "columns.py: --{} {}",
        lambda w: ["evaluate", w.model, "--data", w.table(change=cased)],
    ),
    Scenario(
        "Name other images with --data",
        lambda w: ["evaluate", without_split(w.copy_run())],
        {"MANIFEST.csv": "outside.csv"},
        before=lambda w: w.outside("benign", "malignant"),
    ),
    Scenario(
        "Explain the network of a fold",
        lambda w: ["explain", w.folds, "-o", w.here / "maps"],
    ),
    Scenario(
        "Add --method rise",
        lambda w: [
            *("explain", w.run, next(w.images.rglob("*.png"))),
            *("--masks", "9", "-o", w.here / "maps"),
        ],
    ),
    Scenario(
        "evidence.py: Use --method occlusion",
        lambda w: [
            "explain",
            w.run,
            next(w.images.rglob("*.png")),
            "-o",
            w.here / "maps",
            "--method",
            "cam",
        ],
        n_replaced=2,
    ),
    Scenario(
        "Give the µm per pixel",
        lambda w: ["export", without_scale(w.copy_run()), "--to", "wsinfer", "-o", "made"],
        {"X": "0.5"},
    ),
    # What a recipe says.
    Scenario("Take smaller ones", lambda w: w.plan("model.field_px=[56, 70]")),
    Scenario(
        "the data set's own tree",
        lambda w: w.plan(f"data.root={idc_tree(w)}", "data.dataset=idc"),
        {"FOLDER": "images"},
        only=0,
    ),
    Scenario(
        "Name the folder that contains one folder per patient", lambda w: w.plan("data.dataset=idc")
    ),
    Scenario(
        "Name the folder that contains BreaKHis_v1", lambda w: w.plan("data.dataset=breakhis")
    ),
    Scenario("Set ${}, or give the folder", lambda w: w.plan("data.root="), {"FOLDER": "images"}),
    Scenario(
        "{} the folder: --set data.root=FOLDER",
        lambda w: w.plan("data.root=/none"),
        {"FOLDER": "images"},
    ),
    Scenario(
        "Set it, or give the folder", lambda w: w.plan("data.root=$NO_SUCH/x"), {"FOLDER": "images"}
    ),
    Scenario(
        "layout=patient/class",
        lambda w: w.plan(f"data.root={w.tree('t', '{patient}/{label}/{n}.png')}"),
        only=0,
    ),
    Scenario("If the classes are", lambda w: w.plan(f"data.root={w.images / 'benign'}"), only=0),
    Scenario(
        "Name one of them, or read them as subsets",
        lambda w: w.plan(f"data.root={w.tree('s', 'train/{label}/{patient}-{n}.png')}"),
        before=lambda w: w.tree("s", "test/{label}/{patient}-{n}.png"),
    ),
    Scenario(
        "Give seconds, minutes or hours",
        lambda w: ["train", w.images, "--positive=benign", "--plan", "--time-limit", "10"],
    ),
    Scenario(
        "split by image, which",
        lambda w: w.plan(f"data.manifest={w.table(change=one_patient_each)}"),
    ),
    Scenario("Use {}: k = {}", other_folds, only=0),
    Scenario(
        "Choose another: --set augment.policy=p4",
        lambda w: w.plan("augment.copies_before_split=true", "data.split.protocol=image"),
    ),
    Scenario(
        "Set their number: --set augment.copies",
        lambda w: w.plan(
            "augment.copies_before_split=true", "augment.policy=p5", "data.split.protocol=image"
        ),
    ),
    Scenario(
        "Leave it out, or split by image, as published",
        lambda w: w.plan("augment.copies_before_split=true", "augment.policy=p4"),
    ),
    Scenario("let Eosin split", lambda w: w.plan("data.split.protocol=column")),
    Scenario(
        "Add it, or split by patient",
        lambda w: w.plan(
            "data.split.protocol=folds",
            "data.split.k=3",
            "data.split.by=site",
            "data.split.val=0.4",
        ),
    ),
    Scenario(
        "appearance.py: Leave it out: --set data.split.by=group",
        lambda w: w.plan("data.split.by=appearance"),
    ),
    Scenario(
        "Add images of another site",
        lambda w: w.plan(
            f"data.manifest={w.table(change=lambda t: t.assign(site='A'))}",
            "data.split.protocol=folds",
            "data.split.k=3",
            "data.split.by=site",
            "data.split.val=0.4",
        ),
    ),
    Scenario(
        "Use at most {}: repeats",
        lambda w: w.plan(
            f"data.manifest={w.table(change=few)}",
            "data.split.protocol=folds",
            "data.split.k=3",
            "data.split.val=0.5",
            "data.split.repeats=30",
        ),
    ),
    Scenario(
        "choose a protocol that uses it", lambda w: w.plan("data.split.k=3", "data.split.val=0.4")
    ),
    Scenario("Set the other shares, too", lambda w: w.plan("data.split.train=0.8")),
    Scenario("Use --set {}", lambda w: w.plan("train.seed=1"), n_replaced=2),
    Scenario("overrides.py: For example --set", lambda w: w.plan("train.lr"), n_replaced=2),
    Scenario("reading.py: --set {}", lambda w: w.plan(recipe=without_model_section(w))),
    Scenario(
        "leave it out: --set data.positive=",
        lambda w: w.plan(f"data.manifest={w.table(change=three)}"),
    ),
    # Runs and models.
    Scenario(
        "Name one: eosin train RECIPE",
        lambda w: ["train", "--plan"],
        {"RECIPE": "recipe.toml", "RUN": "run"},
        then=("--plan",),
        before=lambda w: w.copy_run(),
    ),
    Scenario(
        "layout.py: eosin train --resume {}",
        lambda w: ["evaluate", cut(without_model(w.copy_run()))],
    ),
    Scenario("-o and --resume cannot", lambda w: ["train", "--resume", w.copy_run(), "-o", "x"]),
    Scenario(
        "layout.py: eosin train --resume {}", lambda w: ["train", w.recipe, "-o", w.copy_run()]
    ),
    Scenario(
        "Resume it unchanged",
        lambda w: ["train", "--resume", w.copy_run(), "--set", "seed=9"],
        only=0,
    ),
    Scenario("{} --set {}", lambda w: ["evaluate", elsewhere(w.copy_run())], {"FOLDER": "PHANTOM"}),
    Scenario(
        "Name it with --data",
        lambda w: ["evaluate", w.run, "--label", "label"[::-1]],
        {"MANIFEST.csv": "outside.csv"},
        before=lambda w: w.table("outside.csv", lambda t: t.assign(lebal=t["label"])),
    ),
    Scenario(
        "Name a manifest with --data",
        lambda w: ["evaluate", w.model],
        {"MANIFEST.csv": "outside.csv"},
        before=lambda w: w.outside("benign", "malignant"),
    ),
    Scenario(
        "external.py: --map {}",
        lambda w: ["evaluate", w.model, "--data", w.outside("benign =", "it's")],
        {"CLASS": "malignant"},
    ),
    Scenario(
        "For example: --map tumour=malignant",
        lambda w: ["evaluate", w.model, "--data", w.outside("benign", "tumour"), "--map", "tumour"],
        n_replaced=2,
    ),
    Scenario("Name two or more: eosin", lambda w: ["ensemble", w.run], {"RUN": "two runs"}),
    Scenario("Name two or more: eosin", lambda w: ["compare", w.run], {"RUN": "two runs"}),
    Scenario(
        "Name RUN/model, or train",
        lambda w: ["predict", w.here, w.images],
        {"RECIPE": "recipe.toml"},
        then=("--plan",),
    ),
    Scenario(
        "engine.py: --set",
        lambda w: w.plan("transfer.source=imagenet", "transfer.freeze=backbone"),
    ),
    Scenario("For the reason of each", lambda w: ["predict", w.model, broken_images(w)], status=1),
    Scenario(
        "Name another file with -o",
        lambda w: ["predict", w.model, w.images, "-o", w.table()],
        named="new.csv",
    ),
    Scenario(
        "FILE.safetensors",
        lambda w: w.train(f"transfer.source={foreign_weights(w)}", "model.backend=pytorch"),
        {"FILE": "w.pth"},
    ),
    Scenario(
        "start from random weights",
        lambda w: w.train("transfer.source=imagenet", "model.backend=pytorch"),
    ),
    Scenario(
        "convert.py: Choose another name",
        lambda w: ["convert", foreign_weights(w), "-o", foreign_weights(w)],
        named="new.safetensors",
    ),
    Scenario(
        "Evaluate its run",
        lambda w: ["compare", w.run, evaluated(w, run_or_model=w.run, split="val")],
        {"RUN": "finished"},
    ),
    Scenario(
        "evaluate each on the same manifest",
        lambda w: [
            "compare",
            w.run,
            evaluated(w, run_or_model=w.other / "model", data=noisy(w, "o.csv")),
        ],
        {"RUN": "finished", "MANIFEST.csv": "o.csv"},
    ),
    Scenario("a copy without names", lambda w: ["report", w.copy_run(), "-o", "made"]),
    Scenario(
        "Choose a folder beside it",
        lambda w: ["report", w.copy_run(), "--pseudonymise", "-o", "run/below"],
    ),
    # Tables, and what is written.
    Scenario(
        "Make a table of its class folders",
        lambda w: w.plan(f"data.manifest={w.images}"),
        fill={"MANIFEST.csv": "made.csv"},
    ),
    Scenario(
        "--set layout=class/patient",
        lambda w: ["evaluate", w.model, "--data", w.images / "benign"],
        fill={"MANIFEST.csv": "made.csv"},
    ),
    Scenario("Choose another with -o", lambda w: w.audit("-o", w.recipe)),
    Scenario("Choose another folder with -o{}", lambda w: w.audit("-o", w.here)),
    Scenario("A part of that path is a file", lambda w: w.audit("-o", w.recipe / "audit")),
    Scenario(
        "Choose another file with -o",
        lambda w: ["data", "manifest", "folder", w.images, "-o", w.table()],
        named="new.csv",
    ),
    Scenario(
        "Choose another name for --repair",
        lambda w: w.audit("--repair", w.table()),
        named="new.csv",
    ),
    Scenario(
        "Use one spelling, or add",
        lambda w: w.plan(
            "data.positive=",
            f"data.manifest={w.table(change=lambda t: three(t).replace({'a': 'b ', 'b': 'B'}))}",
        ),
    ),
    Scenario("list the recipes", lambda _: ["train", "slides-of-2019"]),
    # A split that leaks.
    Scenario(
        "draw the split by group (",
        lambda w: w.train(f"data.manifest={w.table(change=parted)}", "data.split.protocol=column"),
        only=0,
    ),
    Scenario(
        "or pass --allow-leak",
        lambda w: w.train(f"data.manifest={w.table(change=parted)}", "data.split.protocol=column"),
        only=1,
    ),
    Scenario(
        "draw the split by group and merge",
        lambda w: w.train(f"data.manifest={w.table(change=copied)}", "data.split.protocol=column"),
        only=0,
    ),
]

#: Typed by tests of their own: what a hint changes in a line, or where it is printed, is special.
ELSEWHERE = {
    "evidence.py: eosin explain RUN --check": "flow/test_checking_explanations.py::"
    "test_checks_are_stored_with_the_model_and_shown",
    "To explain images: eosin explain RUN IMAGES": "flow/test_explaining.py::"
    "test_each_image_gets_an_overlay_numbers_and_a_row",
    "Move it away to fetch it again": "flow/test_fetching.py::"
    "test_what_was_changed_on_the_disk_is_told_with_both_sums",
    "Move it away, or choose": "flow/test_fetching.py::test_a_folder_in_the_way_is_not_touched",
    "source.py: Choose": "flow/test_fetching.py::test_another_data_set_s_folder_is_refused",
    "Give a folder with -o": "flow/test_fetching.py::test_the_folder_is_named_or_found",
    "Give --accept-licence": "flow/test_fetching.py::"
    "test_without_a_terminal_the_licence_needs_the_flag",
    "To resume: eosin data fetch": "flow/test_fetching.py::"
    "test_a_stopped_fetch_keeps_its_part_and_goes_on",
    "eosin data manifest {} {}": "flow/test_fetching.py::test_the_next_step_is_typed_as_printed",
    "core/files.py: Free some space": "flow/test_writing.py::test_other_verbs_on_a_full_disk",
    "The folder is read-only": "flow/test_writing.py::"
    "test_a_read_only_folder_is_refused_before_the_work",
    "data cache --clear": "unit/images/cache/test_listing.py::test_the_command_clears_stores",
    "with --features TABLE": "flow/test_embedding.py::"
    "test_an_outside_manifest_needs_features_of_its_own",
    "Write the card again": "flow/test_predicting.py::"
    "test_an_edited_card_is_warned_of_and_made_again_by_the_line_that_the_hint_names",
    "Leave --features out": "flow/test_printed_commands.py::test_features_are_left_out",
    "merge what belongs together (": "flow/test_repairing.py::"
    "test_names_in_two_spellings_stop_a_strict_training_and_every_way_on_works",
    "write a repaired table": "flow/test_repairing.py::"
    "test_names_in_two_spellings_stop_a_strict_training_and_every_way_on_works",
    "keep the names apart": "flow/test_repairing.py::"
    "test_names_in_two_spellings_stop_a_strict_training_and_every_way_on_works",
    "Repair does not change the column": "flow/test_printed_commands.py::"
    "test_a_split_that_separates_joined_groups_is_drawn_anew",
    "audit the new table with --pseudonymise": "flow/test_printed_commands.py::"
    "test_a_repaired_table_is_audited_with_pseudonyms",
    "eosin data audit MANIFEST.csv, or train with": "flow/test_printed_commands.py::"
    "test_what_the_audit_did_not_look_for_is_looked_for",
    "Name the folder of your data": "flow/test_printed_commands.py::test_what_doctor_prints",
    "Choose a writable folder": "flow/test_printed_commands.py::"
    "test_doctor_names_a_cache_that_cannot_be_written",
    "Name another folder with": "flow/test_printed_commands.py::test_what_doctor_prints",
    "writer.py: eosin train": "flow/test_printed_commands.py::"
    "test_the_commands_of_a_run_s_page_train_it_again",
    "provenance.py: eosin train": "flow/test_printed_commands.py::"
    "test_the_commands_of_a_run_s_page_train_it_again",
    "provenance.py: eosin evaluate": "flow/test_printed_commands.py::"
    "test_the_commands_of_an_evaluation_s_page_make_it_again",
    "provenance.py: eosin report": "flow/test_printed_commands.py::"
    "test_the_commands_of_an_evaluation_s_page_make_it_again",
    "provenance.py: eosin ensemble": "flow/test_printed_commands.py::"
    "test_the_commands_of_an_ensemble_s_page_make_it_again",
    "ensemble.py: eosin ensemble": "flow/test_printed_commands.py::"
    "test_the_commands_of_an_ensemble_s_page_make_it_again",
    "cautions.py": "flow/test_printed_commands.py::test_the_advice_of_the_card_is_typed",
    "If it is your own": "flow/test_own_parts.py::test_a_plugin_that_is_missing_is_named",
    "decisions.py": "flow/test_printed_commands.py::test_the_advice_of_the_card_is_typed",
}

ELSEWHERE |= {
    f"reproduce.py: {hint}": f"flow/test_reproducing.py::{test}"
    for hint, test in {
        "Name the folder: --data": "test_missing_data_are_named_and_nothing_is_trained",
        "Name one: --data FOLDER": "test_an_empty_folder_name_is_not_the_current_folder",
        "Name the folder of other data": "test_missing_data_are_named_and_nothing_is_trained",
        "Name another with --data": "test_a_folder_that_is_not_there_is_named",
        "Choose one: --data": "test_two_folders_of_a_data_set_are_named_and_one_can_be_chosen",
        "To resume, repeat": "test_a_stopped_reproduction_goes_on_with_the_same_command",
    }.items()
}

#: Texts that offer nothing to type, or what a test cannot type, and why.
EXCUSED = {
    "cannot be combined: a": "states what was wrong",
    "--repair needs a name": "states what was wrong",
    "which were not found in --data": "states what was wrong",
    "--quick and --reduced": "states what was wrong",
    "reproduce.py: Choose another folder": "-o is as in core/files.py",
    "other column options apply to external data": "states what was wrong",
    "takes THEIRS=OURS, got": "states what was wrong",
    "--map leaves no row": "states what was wrong",
    "--map names {}": "states what was wrong",
    "--map {}={}": "states what was wrong",
    "needs a file that ends in": "states what was wrong",
    "Leave --robustness out": "what is left is any evaluation",
    "reading.py: --set {}": "states what was wrong",
    "data.py: --set {}.{}": "states what was wrong",
    "which --offline or EOSIN_OFFLINE disables": "states what was wrong",
    "created by `eosin train`": "states where a folder came from",
    "transfer.py: Free some space": "needs a full disk; -o is as in core/files.py",
    "Files of this size are not allowed": "needs such a disk; -o is as in core/files.py",
    "Your quota is used up": "needs a disk with quotas",
    "You have no permission to write there": "needs another user; test_writing meets it then",
}


def test_every_hint_has_a_scenario():
    known = [scenario.hint for scenario in SCENARIOS] + [*ELSEWHERE, *EXCUSED]
    hints = [hint for hint in collect_hints() if "pip install" not in hint]
    assert len(hints) > 40
    new = [hint for hint in hints if not any(part in hint for part in known)]
    assert not new, "add a line to SCENARIOS for each of these"
    gone = [part for part in known if not any(part in hint for hint in collect_hints())]
    assert not gone, "the source does not offer these any more"


def test_the_tests_that_type_the_others_exist():
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if hasattr(node, "name")}, place


def test_what_is_to_be_installed_is_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].keys()
    named = [re.findall(r"eosin\[(\w+)\]", hint) for hint in collect_hints()]
    assert {extra for found in named for extra in found} <= set(extras)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.hint)
def test_a_hint_works_when_typed_as_printed(scenario, command, workshop):
    if scenario.before:
        scenario.before(workshop)
    line = [str(word) for word in scenario.line(workshop)]
    result = command(*line)
    assert result.status in {1, 2}, result.out
    kept = line[: len(line) - scenario.n_replaced]
    found = suggestions(result.complaint.partition(". ")[2])
    assert found, result.complaint
    for typed in found if scenario.only is None else [found[scenario.only]]:
        words = list(fill_in(typed, scenario, workshop))
        again = words[1:] if words[0] == "eosin" else [*kept, *words]
        done = command(*again, *scenario.then)
        assert done.status == scenario.status, (again, done.err)
    if scenario.retry:
        assert command(*line).status == 0


def fill_in(words, scenario, workshop):
    """Put paths in the place of FOLDER and the like, and name what a last option needs."""
    fill = scenario.fill
    known = {"images": workshop.images, "PHANTOM": workshop.phantom, "finished": workshop.run}
    runs = iter((workshop.run, workshop.other))
    for word in words:
        if word == "DIR":
            yield "made"
        elif word == "RUN" and fill.get("RUN") == "two runs":
            yield str(next(runs))
        else:
            for name, value in fill.items():
                word = word.replace(name, str(known.get(value, value)))
            yield word
    if words[-1] in {"-o", "--repair"}:
        yield scenario.named
