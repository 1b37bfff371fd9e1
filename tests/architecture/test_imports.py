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


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("metrics/__init__.py", "import torch", "free of torch"),
        ("inference/classifier.py", "from eosin.training import loop", "Right may import left"),
        ("core/types.py", "from eosin.recipe import Recipe", "Right may import left"),
        ("networks/registry.py", "from eosin.augment import Policy", "Right may import left"),
        ("recipe/reading.py", "import eosin.recipe.reading, torchvision", "free of torch"),
        ("images/limits.py", "from eosin.images import bank", "Layers of images"),
        ("experiment/prepare.py", "from eosin.experiment import run", "Layers of experiment"),
        ("utils/__init__.py", "", "Right may import left"),
    ],
)
def test_a_planted_violation_is_found(house, file, line, contract):
    path = house / "eosin" / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(f"\n{line}\n")
    found = lint(house)
    assert found.returncode == 1, found.stdout
    broken = [row for row in found.stdout.splitlines() if row.endswith("BROKEN")]
    if file.startswith("utils"):
        # An unlisted room stops the check altogether: the layers are exhaustive.
        assert "utils" in found.stdout + found.stderr
    else:
        assert any(contract in row for row in broken)


@pytest.mark.parametrize(
    "module",
    [
        "eosin",
        "eosin.__main__",
        "eosin.cli.app",
        "eosin.commands.predict",
        "eosin.commands.evaluate",
        "eosin.commands.doctor",
        "eosin.commands.report",
    ],
)
def test_no_torch_comes_in(module):
    found = run(
        f"""
        import sys
        import {module}
        print(*sorted({set(FOREIGN)} & sys.modules.keys()))
        """
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == []


# Torch is made impossible to import, as it is where only the base package is installed.
WITHOUT = f"""
    import sys
    for name in {FOREIGN}:
        sys.modules[name] = None
    from eosin.__main__ import run
    run(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("command", "result"),
    [
        (["predict", "{run}", "{images}/benign"], "prob_malignant"),
        (["evaluate", "{run}", "-o", "{out}"], "metrics"),
        (["report", "{copy}"], "report.html"),
        (["data", "audit", "{run}/manifest.csv"], "images"),
        (["data", "check", "{images}"], "60 images, 0 unreadable"),
        (["data", "list"], "breakhis"),
        (["doctor"], "torch does not import"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else "",
)
def test_the_hospital_s_commands_work_without_torch(
    tiny_run, tiny_phantom, tmp_path, command, result
):
    shutil.copytree(tiny_run, tmp_path / "copy")
    places = {"run": tiny_run, "images": tiny_phantom, "out": tmp_path / "out"}
    arguments = [part.format(**places, copy=tmp_path / "copy") for part in command]
    found = run(WITHOUT, *arguments)
    assert "internal error" not in found.stderr
    assert result in found.stdout
    # Only the doctor complains, of what is not there.
    assert found.returncode == 0 or command == ["doctor"], found.stderr


def test_the_command_starts_fast():
    # Processor time, so that a busy machine does not count; the best of three.
    code = "import time; import eosin.cli.app; print(time.process_time())"
    assert min(float(run(code).stdout) for _ in range(3)) < CLI_CPU_S
