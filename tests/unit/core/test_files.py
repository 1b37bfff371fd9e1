"""Files are whole or absent, and a refusal to write says what to do."""

import errno
import json
import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from tests.facts import tells

from eosin.core.errors import ArtifactError, OutputError
from eosin.core.files import (
    atomic_path,
    check_file,
    clean_partial,
    open_file,
    prepare_output,
    read_file,
    read_json,
    sha256_file,
    write_bytes,
    write_json,
    write_text,
)


def refusing(number):
    """A stand-in for a system call that always fails with one error number."""

    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    return refuse


def test_a_file_is_written_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "c.bin"
    write_bytes(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert os.listdir(path.parent) == ["c.bin"]  # noqa: PTH208 -- hidden files count


def test_text_is_utf_8(tmp_path):
    write_text(tmp_path / "a.txt", "µm\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc2\xb5m\n"


def test_a_failure_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(OutputError):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_keeps_the_suffix_and_hides(tmp_path):
    # Writers such as pandas and ONNX go by the suffix.
    with atomic_path(tmp_path / "a.parquet") as temporary:
        assert temporary.suffix == ".parquet"
        assert temporary.name.startswith(".")
        assert temporary.parent == tmp_path
        assert not (tmp_path / "a.parquet").exists()
    assert (tmp_path / "a.parquet").exists()


def test_the_temporary_file_is_renamed_not_copied(tmp_path):
    # A copy could be cut short by a killed process.
    with atomic_path(tmp_path / "a.txt") as temporary:
        written = temporary.stat().st_ino
    assert (tmp_path / "a.txt").stat().st_ino == written


def test_a_result_is_readable_by_others(tmp_path):
    mask = os.umask(0o022)
    try:
        write_text(tmp_path / "a.txt", "")
    finally:
        os.umask(mask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Your quota is used up"),
        (errno.EFBIG, "Files of this size are not allowed"),
        (errno.EROFS, "The folder is read-only"),
        (errno.EACCES, "You have no permission to write there"),
    ],
)
def test_a_refused_write_is_one_line_with_a_hint(tmp_path, monkeypatch, number, hint):
    monkeypatch.setattr(Path, "write_bytes", refusing(number))
    with pytest.raises(OutputError) as caught:
        write_text(tmp_path / "a.txt", "text")
    assert caught.value.message == (
        f"could not write {tmp_path / 'a.txt'}: {os.strerror(number).lower()}"
    )
    assert caught.value.hint.startswith(hint)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(OutputError, match="could not write"):
        write_text(tmp_path / "a" / "b.txt", "text")


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_json_is_for_people_too(tmp_path):
    write_json(tmp_path / "a.json", {"µ": [1]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "µ": [\n    1\n  ]\n}\n'
    assert json.loads(text) == read_json(tmp_path / "a.json")


def test_absent_json_is_an_artifact_error(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        read_json(tmp_path / "a.json")


def test_an_output_folder_is_made(tmp_path):
    assert prepare_output(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert prepare_output(tmp_path / "a" / "b").is_dir()


def test_a_full_folder_or_a_file_is_no_output_folder(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty") as caught:
        prepare_output(tmp_path)
    assert caught.value.hint == "Choose another folder with -o"
    with pytest.raises(OutputError, match="is a file, not a folder"):
        prepare_output(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_a_read_only_folder_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", refusing(errno.EROFS))
    with pytest.raises(OutputError, match="read-only file system") as caught:
        prepare_output(tmp_path / "run")
    assert tells(caught.value.hint, "read-only", "-o")


def test_sha256_of_nothing_and_of_abc(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_only_what_a_killed_process_left_is_cleaned(tmp_path):
    (tmp_path / "deep").mkdir()
    left = [tmp_path / ".a-x1.tmp.json", tmp_path / "deep" / ".b-x2.tmp"]
    kept = [tmp_path / "a.json", tmp_path / ".hidden", tmp_path / "a.tmp"]
    for path in (*left, *kept):
        path.write_text("")
    clean_partial(tmp_path, lambda path: path.parent == tmp_path)
    assert [path.exists() for path in left] == [False, True]
    clean_partial(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


@pytest.fixture(params=["pipe", "socket", "device", "folder", "NUL", "surrogate"])
def no_file(request, tmp_path, monkeypatch):
    """A path that leads to something else than a file."""
    monkeypatch.chdir(tmp_path)  # a socket's path may not be long
    match request.param:
        case "pipe":
            os.mkfifo("pipe")
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind("socket")
        case "device":
            return Path("/dev/zero")
        case "folder":
            Path("folder").mkdir()
        case "NUL":
            return Path("a\0b.png")
        case "surrogate":
            return Path("a\ud800b.png")
    return Path(request.param)


@pytest.mark.parametrize("read", [check_file, open_file, read_file, sha256_file])
def test_only_files_are_opened(read, no_file):
    with pytest.raises(OSError, match=r"not a file|it is not a valid file name"):
        read(no_file)


def test_a_document_that_is_no_file_is_refused(no_file):
    with pytest.raises(ArtifactError, match=r"not a file|it is not a valid file name"):
        read_json(no_file)


def test_a_pipe_that_the_user_named_is_read_to_its_end(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(b"a" * 100_000,)).start()
    assert read_file(pipe, pipe=True) == b"a" * 100_000


def test_an_endless_device_is_no_pipe():
    with pytest.raises(OSError, match="it is a device, not a file"):
        read_file(Path("/dev/zero"), pipe=True)


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"1" * 5_000, b'{"a": ' * 50_000, b"\xff\xfe", b"{", b""],
    ids=["deep list", "long number", "deep object", "no text", "cut off", "empty"],
)
def test_a_document_that_is_no_json_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="cannot be read as JSON"):
        read_json(path)


def test_a_document_that_an_editor_saved_with_a_mark_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}


def test_a_document_of_any_size_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ArtifactError, match="too large"):
        read_json(path)
