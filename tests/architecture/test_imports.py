"""Who may import whom; what a hospital installs stays free of torch and starts fast."""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

# What the base package does without.
FOREIGN = ("torch", "torchvision", "lightning", "timm", "sklearn", "onnx")
CLI_CPU_S = 1.5  # generous: it takes about a quarter of it


def run(code, *arguments, cwd=None, **variables):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **variables},
    )


LINT = (
    "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
)


@pytest.fixture
def house(repository, tmp_path):
    """A copy of the package with its contracts, free to be spoilt."""
    skip = shutil.ignore_patterns("__pycache__", ".mypy_cache")
    shutil.copytree(repository / "src" / "eosin", tmp_path / "eosin", ignore=skip)
    shutil.copy(repository / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder):
    return run(LINT, cwd=folder, PYTHONPATH=str(folder), COLUMNS="200")


def test_the_contracts_hold(house):
    found = lint(house)
    assert found.returncode == 0, found.stdout
    assert "Contracts: 7 kept, 0 broken." in found.stdout


#: Module, line that is planted in it, and what the check then shows.
PLANTED = [
    ("metrics/__init__.py", "import torch", "eosin.metrics -> torch"),
    ("inference/classifier.py", "from eosin.training import loop", "inference.classifier -> eosin"),
    ("core/types.py", "from eosin.recipe import Recipe", "eosin.core.types -> eosin.recipe"),
    ("networks/registry.py", "from eosin.augment import Policy", "networks.registry -> eosin.aug"),
    ("recipe/reading.py", "import eosin.recipe.reading, torchvision", "reading -> torchvision"),
    ("images/limits.py", "from eosin.images import bank", "images.limits -> eosin.images.bank"),
    (
        "experiment/prepare.py",
        "from eosin.experiment import run",
        "prepare -> eosin.experiment.run",
    ),
]


def test_planted_violations_are_found(house):
    for file, line, _ in PLANTED:
        with (house / "eosin" / file).open("a", encoding="utf-8") as stream:
            stream.write(f"\n{line}\n")
    found = lint(house)
    assert found.returncode == 1, found.stdout
    assert [chain for *_, chain in PLANTED if chain not in found.stdout] == []


def test_an_unlisted_package_is_found(house):
    (house / "eosin" / "utils").mkdir()
    (house / "eosin" / "utils" / "__init__.py").touch()
    found = lint(house)
    assert found.returncode == 1, found.stdout
    assert "utils" in found.stdout + found.stderr


def test_no_torch_comes_in():
    found = run(
        f"""
        import sys
        import eosin, eosin.__main__, eosin.cli.app
        from eosin.commands import doctor, evaluate, predict, report
        print(*sorted({set(FOREIGN)} & sys.modules.keys()))
        """
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == []


def test_a_prediction_imports_nothing_that_it_does_not_need(tiny_run, tiny_phantom):
    image = next((tiny_phantom / "benign").rglob("*.png"))
    slow = {"torch", "scipy", "matplotlib", "rich", "ssl", "pyarrow.parquet", "jinja2"}
    found = run(
        f"""
        import sys
        from eosin.__main__ import call
        assert call(["predict", {str(tiny_run)!r}, {str(image)!r}]) == 0
        print("imported", *sorted({slow} & sys.modules.keys()))
        """
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "imported"


def test_the_command_starts_fast():
    # Processor time, so that a busy machine does not count; the best of three.
    code = "import time; import eosin.cli.app; print(time.process_time())"
    assert min(float(run(code).stdout) for _ in range(3)) < CLI_CPU_S
