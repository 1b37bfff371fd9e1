"""Hostile names, special files and scarce memory: one plain line, and the contract's status."""

import errno
import json
import os
import socket
import unicodedata

import pytest
import tomli_w
from PIL import Image

from eosin.commands.models import models

try:
    import resource
except ImportError:  # Windows
    resource = None

#: What a terminal would obey, or read the other way round.
CONTROLS = "\x1b]0;title\x07\x1b[2J\r\x9b31m\u202egnp.exe\u2066"


def _is_plain(text):
    return not any(
        sign != "\n" and unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        for sign in text
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", CONTROLS], ["train", "--set", f"{CONTROLS}=1"], [CONTROLS], ["report", CONTROLS],
        ["train", f"--{CONTROLS}"], ["predict", CONTROLS, CONTROLS], ["data", "check", CONTROLS],
        ["data", "audit", f"{CONTROLS}.csv"], ["convert", CONTROLS], ["evaluate", CONTROLS],
        ["data", "manifest", CONTROLS, ".", "-o", "m.csv"], ["compare", CONTROLS, "b\n\x1bc"],
    ],
)  # fmt: skip
def test_no_control_character_of_an_argument_reaches_the_terminal(command, arguments):
    result = command(*arguments)
    assert result.status in {1, 2}
    assert _is_plain(result.out + result.err)
    assert len(result.err) < 3000


def test_no_control_character_of_a_file_name_reaches_the_terminal(command, tmp_path):
    folder = tmp_path / "images\x1b[2J"
    folder.mkdir()
    Image.new("RGB", (32, 32)).save(folder / "a\x1b[31m\u202eb.png")
    (folder / "c\r\x9b\n.png").write_bytes(b"no image")
    result = command("data", "check", folder)
    assert result.status == 1
    assert _is_plain(result.out + result.err)
    assert r"c\x0d\x9b\x0a.png" in result.out
    answer = json.loads(command("data", "check", folder, "--json").out)
    assert answer


@pytest.mark.parametrize("argument", ["a\0b", "--set=a=\0"])
def test_the_character_nul_is_a_wrong_command_line(command, argument):
    result = command("train", argument)
    assert result.status == 2
    assert "NUL" in result.complaint


def test_a_very_long_argument_is_not_repeated_whole(command):
    result = command("train", "a" * 100_000)
    assert result.status == 2
    assert len(result.complaint) < 3000


@pytest.mark.skipif(resource is None, reason="no limits")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("limit_mb", [60, 150, 350, 500])
def test_scarce_memory_is_named_before_a_library_ends_the_process(process, tmp_path, limit_mb):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (limit_mb << 20, limit_mb << 20))

    result = process(
        "from eosin.__main__ import run; run()", "predict", tmp_path, tmp_path, preexec_fn=limit
    )
    assert result.status == 1
    assert "memory ran out" in result.complaint
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libx.so: failed to map segment from shared object", name="torch"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("std::bad_alloc"),
    ],
)  # fmt: skip
def test_lack_of_memory_is_known_however_a_library_reports_it(command, on_entry, error):
    def fail(_given):
        try:
            raise error
        except type(error) as cause:
            raise ImportError("the C-extensions failed") from cause

    with on_entry(models, fail):
        result = command("models")
    assert result.status == 1
    assert "memory ran out" in result.complaint


# --- files that cannot be read ---


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no permissions")
def test_an_unreadable_file_gets_a_hint_for_reading(process, tmp_path):
    secret = tmp_path / "secret.toml"
    secret.write_text("name = 1")
    secret.chmod(0)
    code = (
        "import os, sys; from eosin.core.files import hint_of\n"
        "os.geteuid() or os.setuid(65534)\n"  # root may read everything
        "try: open(sys.argv[1])\nexcept OSError as error: print(hint_of(error))"
    )
    result = process(code, secret)
    assert "read" in result.out
    assert "-o" not in result.out


@pytest.mark.parametrize("verb", ["train", "report", "evaluate", "compare"])
def test_a_link_to_itself_is_no_internal_error(command, tmp_path, verb):
    link = tmp_path / "link"
    link.symlink_to(link)
    arguments = [link, link] if verb == "compare" else [link]
    result = command(verb, *arguments)
    assert result.status in {1, 2}
    assert str(link) in result.complaint


def test_a_link_to_nothing_stands_in_the_way_of_a_run(command, tmp_path, tiny_values):
    (tmp_path / "recipe.toml").write_text(
        tomli_w.dumps(tiny_values(tmp_path / "phantom")), encoding="utf-8"
    )
    (tmp_path / "run").symlink_to(tmp_path / "none")
    result = command("train", tmp_path / "recipe.toml", "-o", tmp_path / "run")
    assert result.status == 1
    assert "Choose another" in result.complaint


@pytest.mark.timeout(30)
@pytest.mark.parametrize("ending", [".pth", ".npz", ".safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_weights_that_are_no_file_are_not_waited_for(command, tmp_path, kind, ending):
    path = tmp_path / f"weights{ending}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        here = socket.socket(socket.AF_UNIX)
        here.bind(str(path))
        here.close()
    result = command("convert", path, "-o", tmp_path / "new.safetensors")
    assert result.status == 1
    assert "not a file" in result.complaint
