"""`eosin data fetch`, from the command line to a manifest, against a server on 127.0.0.1."""

import builtins
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.data.download.conftest import server  # noqa: F401 -- a fixture
from tests.unit.data.download.serving import make_tar, make_zip, noise, sha256, zeros

from eosin.commands.data_fetch import fetch as fetch_dataset
from eosin.core.errors import DownloadError
from eosin.data.download.source import RemoteFile, Source, write_fetch_record
from eosin.data.download.transfer import Patience
from eosin.data.sources.catalogue import SOURCES

IMAGES = {f"tree/{name}.png": noise(20_000, seed) for seed, name in enumerate("abc")}
ARCHIVE = make_tar(IMAGES)
TABLE = b"path,label\na,b\n"


@pytest.fixture(autouse=True)
def fetching_is_allowed(monkeypatch):
    monkeypatch.delenv("EOSIN_OFFLINE", raising=False)
    monkeypatch.delenv("EOSIN_DATA", raising=False)


@pytest.fixture
def catalogue(replace_entry, server):  # noqa: F811
    """Serve and enter a data set `tiny` of the given files; returns its pages by name."""

    def enter(files=None, *, checksums=True, name="tiny", **facts):
        files = {"tree.tar.gz": ARCHIVE, "table.csv": TABLE} if files is None else files
        pages = {file: server.add(f"/{file}", data) for file, data in files.items()}
        remote = tuple(
            RemoteFile(
                file,
                (server.url(f"/{file}"),),
                size=len(data) if checksums else None,
                checksum=sha256(data) if checksums else None,
                unpack=file.endswith((".gz", ".zip")),
            )
            for file, data in files.items()
        )
        terms = {"licence": "CC BY 4.0", "citation": "Doe 2020", "unpacks_to": "tree/", **facts}
        source = Source(name, "Tiny", "http://127.0.0.1", files=remote, **terms)
        replace_entry(SOURCES, name, source)
        return pages

    return enter


@pytest.fixture
def fetch(command, tmp_path):
    """Fetch `tiny` by the command, its licence accepted."""

    def run(*options, folder=tmp_path / "data"):
        return command("data", "fetch", "tiny", "-o", folder, "--accept-licence", *options)

    return run


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def listed(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_the_whole_way(catalogue, fetch, folder):
    pages = catalogue()
    result = fetch()
    assert result.status == 0, result.err
    assert f"tiny is in {folder} (2 fetched, 0 already complete): tree/" in result.out
    assert f"next: eosin data manifest tiny {folder} -o tiny.csv" in result.out
    assert "licence:  CC BY 4.0" in result.err
    assert "citation: Doe 2020" in result.err
    assert listed(folder) == ["fetched.json", "table.csv", *IMAGES]
    assert all((folder / name).read_bytes() == data for name, data in IMAGES.items())
    record = json.loads((folder / "fetched.json").read_text())
    assert record["format_version"]
    assert record["licence_accepted"]
    entry = record["files"][0]
    assert entry["url"].endswith("/tree.tar.gz")
    assert entry["bytes"] == len(ARCHIVE)
    assert f"sha256:{entry['sha256']}" == entry["checksum"] == sha256(ARCHIVE)
    assert entry["unpacked"]["files"] == 3
    assert pages["table.csv"].served == len(TABLE)


def test_the_next_step_is_typed_as_printed(catalogue, command, tmp_path, monkeypatch):
    table = b"path,class,cluster\nlung_n/a.png,lung_n,1\nlung_aca/b.png,lung_aca,1\n"
    images = {f"tree/{name}": noise(99) for name in ("lung_n/a.png", "lung_aca/b.png")}
    catalogue({"tree.tar.gz": make_tar(images), "clusters.csv": table}, name="lc25000")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "a folder"
    result = command("data", "fetch", "lc25000", "-o", folder, "--accept-licence")
    words = shlex.split(result.out.partition("next: eosin ")[2])
    result = command(*words)
    assert result.status == 0, result.err
    assert len((tmp_path / words[-1]).read_text().splitlines()) == 3


def test_a_second_fetch_downloads_nothing_and_asks_nothing(catalogue, fetch, command, folder):
    pages = catalogue()
    fetch()
    asked = [len(page.asked) for page in pages.values()]
    result = command("data", "fetch", "tiny", "-o", folder)
    assert result.status == 0, result.err
    assert "0 fetched, 2 already complete" in result.out
    assert "licence" not in result.err
    assert [len(page.asked) for page in pages.values()] == asked


def test_without_published_sums_what_came_first_is_recorded_and_held(catalogue, fetch, folder):
    catalogue(checksums=False)
    assert fetch().status == 0
    record = json.loads((folder / "fetched.json").read_text())
    assert {file["checksum"] for file in record["files"]} == {"recorded on first download"}
    (folder / "table.csv").unlink()
    catalogue({"tree.tar.gz": ARCHIVE, "table.csv": b"path,label\nchanged,b\n"}, checksums=False)
    result = fetch()
    assert result.status == 1
    assert sha256(TABLE) in result.complaint
    assert sha256(b"path,label\nchanged,b\n") in result.complaint
    assert "recorded when it was first fetched" in result.complaint
    assert not (folder / "table.csv").exists()


@pytest.mark.parametrize("victim", ["table.csv", "tree/a.png", "tree/new.png"])
def test_what_was_changed_on_the_disk_is_told_with_both_sums(catalogue, fetch, folder, victim):
    catalogue()
    fetch()
    (folder / victim).write_bytes(b"spoilt")
    result = fetch()
    assert result.status == 1
    assert "has changed since it was fetched" in result.complaint
    assert result.complaint.count("sha256:") == 2
    assert (folder / victim).read_bytes() == b"spoilt"
    assert "Move it away to fetch it again, or choose another folder with -o" in result.complaint
    assert fetch(folder=folder.with_name("another")).status == 0
    thing = folder / victim.split("/")[0]
    thing.rename(folder.with_name("away"))
    assert fetch().status == 0


def test_what_was_deleted_is_fetched_again(catalogue, fetch, folder):
    pages = catalogue()
    fetch()
    (folder / "table.csv").unlink()
    assert "1 fetched, 1 already complete" in fetch().out
    assert len(pages["tree.tar.gz"].asked) == 1


def test_a_wrong_checksum_deletes_the_file_and_names_both(catalogue, fetch, folder):
    pages = catalogue()
    served = bytes(len(TABLE))
    pages["table.csv"].data = served
    result = fetch()
    assert result.status == 1
    assert sha256(served) in result.complaint
    assert sha256(TABLE) in result.complaint
    assert listed(folder) == ["fetched.json", *IMAGES]


def test_a_mirror_steps_in(catalogue, fetch, folder, server, replace_entry):  # noqa: F811
    catalogue({"table.csv": TABLE})
    source = SOURCES.get("tiny")
    file = RemoteFile(
        "table.csv", (server.url("/gone"), server.url("/table.csv")), checksum=sha256(TABLE)
    )
    moved = Source(**{**vars(source), "files": (file,)})
    replace_entry(SOURCES, "tiny", moved)
    result = fetch()
    assert result.status == 0, result.err
    assert "answered 404" in result.err
    assert "trying the next address" in result.err
    assert (folder / "table.csv").read_bytes() == TABLE


def test_an_archive_may_be_kept(catalogue, fetch, folder):
    catalogue()
    fetch("--keep-archive")
    assert (folder / "tree.tar.gz").read_bytes() == ARCHIVE
    assert "2 already complete" in fetch().out
    document = json.loads(fetch("--json").out)
    assert (document["folder"], document["fetched"]) == (str(folder), [])
    assert document["kept"] == ["tree.tar.gz", "table.csv"]
    assert document["next_step"].startswith("eosin data manifest tiny")


def test_an_archive_that_was_put_there_is_used_if_its_sum_is_published(catalogue, fetch, folder):
    pages = catalogue()
    folder.mkdir()
    (folder / "tree.tar.gz").write_bytes(ARCHIVE)
    assert fetch().status == 0
    assert pages["tree.tar.gz"].asked == []
    assert (folder / "tree" / "a.png").exists()


def test_a_file_of_unknown_origin_is_not_taken_for_the_real_one(catalogue, fetch, folder):
    catalogue(checksums=False)
    folder.mkdir()
    (folder / "table.csv").write_bytes(TABLE)
    assert "published checksum" in fetch().complaint
    (folder / "table.csv").rename(folder.with_name("away.csv"))
    assert fetch().status == 0


def test_a_folder_in_the_way_is_not_touched(catalogue, fetch, folder):
    catalogue()
    (folder / "tree").mkdir(parents=True)
    (folder / "tree" / "mine.txt").write_text("mine")
    result = fetch()
    assert result.status == 1
    assert "exists already" in result.complaint
    assert listed(folder / "tree") == ["mine.txt"]
    assert "Move it away, or choose another folder with -o" in result.complaint
    assert fetch(folder=folder.with_name("another")).status == 0
    (folder / "tree").rename(folder.with_name("away"))
    assert fetch().status == 0


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("evil.zip", make_zip({"ok.png": b"ok", "../evil.png": b"evil"})),
        ("evil.tar.gz", make_tar({"ok.png": b"ok", "/tmp/evil.png": b"evil"})),  # noqa: S108
        ("bomb.gz", zeros(3000)),
    ],
)
def test_a_dangerous_archive_is_told_and_leaves_nothing_outside(
    catalogue, fetch, folder, tmp_path, name, data
):
    catalogue({name: data})
    before = {path.name for path in tmp_path.iterdir()}
    result = fetch()
    assert result.status == 1
    assert "was not unpacked" in result.complaint
    assert {path.name for path in tmp_path.iterdir()} == before | {"data"}
    assert listed(folder) == sorted([name, "fetched.json"])


def test_a_licence_is_asked_for_on_a_terminal_and_once(catalogue, tmp_path):
    catalogue({"table.csv": TABLE})
    asked = []
    where = tmp_path / "data"
    with pytest.raises(DownloadError, match="not accepted: nothing was downloaded"):
        fetch_dataset("tiny", where, confirm=lambda text: asked.append(text))
    assert not where.exists()
    fetch_dataset("tiny", where, confirm=lambda text: asked.append(text) or True)
    fetch_dataset("tiny", where, confirm=lambda text: asked.append(text))
    assert asked == ["Do you accept?"] * 2


def test_a_licence_that_changed_is_asked_for_again(catalogue, fetch, command, folder):
    catalogue({"table.csv": TABLE})
    fetch()
    catalogue({"table.csv": TABLE}, licence="ask the makers")
    result = command("data", "fetch", "tiny", "-o", folder)
    assert result.status == 2
    assert "--accept-licence" in result.complaint


def test_without_a_terminal_the_licence_needs_the_flag(catalogue, command, folder):
    pages = catalogue()
    result = command("data", "fetch", "tiny", "-o", folder)
    assert result.status == 2
    assert "--accept-licence" in result.complaint
    assert pages["table.csv"].asked == []
    assert not folder.exists()
    assert command("data", "fetch", "tiny", "-o", folder, "--accept-licence").status == 0


def test_offline_opens_no_socket(catalogue, fetch, monkeypatch):
    pages = catalogue()
    monkeypatch.setenv("EOSIN_OFFLINE", "1")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a socket was opened"))
    result = fetch()
    assert result.status == 1
    assert "--offline or EOSIN_OFFLINE disables" in result.complaint
    assert pages["table.csv"].asked == []


def test_the_folder_is_named_or_found(catalogue, command, monkeypatch, tmp_path):
    catalogue()
    result = command("data", "fetch", "tiny", "--accept-licence")
    assert result.status == 2
    assert "Give a folder with -o, or set $EOSIN_DATA" in result.complaint
    where = tmp_path / "own"
    assert command("data", "fetch", "tiny", "--accept-licence", "-o", where).status == 0
    monkeypatch.setenv("EOSIN_DATA", str(tmp_path / "all"))
    assert command("data", "fetch", "tiny", "--accept-licence").status == 0
    assert (tmp_path / "all" / "tiny" / "tree" / "a.png").exists()


def test_an_unknown_name_is_told_with_close_matches(command):
    result = command("data", "fetch", "mnits", "-o", "x")
    assert result.status == 2
    assert "Did you mean 'mnist'?" in result.complaint


@pytest.mark.parametrize("name", [name for name in SOURCES if not SOURCES.get(name).files])
def test_what_cannot_be_fetched_is_told_with_the_way_to_it(command, tmp_path, name):
    result = command("data", "fetch", name, "-o", tmp_path / "data", "--accept-licence")
    assert result.status == 1
    assert "cannot be fetched by this command" in result.complaint
    assert "https://" in result.complaint
    assert not (tmp_path / "data").exists()


def test_another_data_set_s_folder_is_refused(catalogue, fetch, command, folder):
    catalogue()
    fetch()
    catalogue({"table.csv": TABLE}, name="other")
    result = command("data", "fetch", "other", "-o", folder, "--accept-licence")
    assert "contains the data set 'tiny', not 'other'" in result.complaint
    another = folder.with_name("another")
    assert command("data", "fetch", "other", "-o", another, "--accept-licence").status == 0


def test_what_does_not_fit_is_refused_before_it_is_begun(catalogue, fetch, monkeypatch):
    pages = catalogue()
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 1000}))
    result = fetch()
    assert result.status == 1
    assert "1.0 kB are free" in result.complaint
    assert pages["tree.tar.gz"].asked == []


def test_a_disk_that_fills_up_while_unpacking_is_told_and_emptied(catalogue, fetch, small_disk):
    catalogue({"zeros.gz": zeros(4)})
    result = fetch(folder=small_disk / "data")
    assert result.status == 1
    assert "no space left" in result.complaint
    assert "Free some space" in result.complaint
    assert listed(small_disk / "data") == ["fetched.json", "zeros.gz"]


def test_without_requests_the_hint_says_what_to_install(catalogue, fetch, monkeypatch):
    catalogue()
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name == "requests":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert "pip install 'eosin[train]'" in fetch().complaint


def test_two_fetches_into_one_folder_do_not_meet(catalogue, fetch, folder):
    from filelock import FileLock

    catalogue()
    folder.mkdir()
    with FileLock(folder / ".fetching.lock"):
        assert "another process is downloading" in fetch().complaint
    assert fetch().status == 0


def test_what_another_fetch_recorded_meanwhile_is_kept(catalogue, fetch, folder):
    pages = catalogue(checksums=False)

    def accept(_text):
        assert fetch().status == 0  # the same command in another window
        return True

    result = fetch_dataset("tiny", folder, confirm=accept)
    assert result.kept == ("tree.tar.gz", "table.csv")
    assert [page.served for page in pages.values()] == [len(ARCHIVE), len(TABLE)]
    assert len(json.loads((folder / "fetched.json").read_text())["files"]) == 2


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("step", [write_fetch_record, Path.replace])
def test_a_kill_after_the_last_byte_costs_no_second_download(
    catalogue, fetch, folder, monkeypatch, on_entry, step, checksums
):
    class Killed(BaseException):
        pass

    def kill(given):
        if step is not Path.replace or Path(given["target"]).name == "big.bin":
            raise Killed

    data = noise(50_000)
    pages = catalogue({"big.bin": data}, checksums=checksums)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_arguments, **_options: None)  # no clearing up
        with on_entry(step, kill), pytest.raises(Killed):
            fetch_dataset("tiny", folder, accept_licence=True)
    result = fetch()
    assert result.status == 0, result.err
    assert pages["big.bin"].served == len(data)
    assert listed(folder) == ["big.bin", "fetched.json"]


CHILD = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
from eosin.data.download.source import RemoteFile, Source
from eosin.data.sources.catalogue import SOURCES
file = RemoteFile("big.bin", (sys.argv[1],))
terms = {"licence": "CC BY 4.0", "citation": "Doe 2020", "unpacks_to": "big"}
SOURCES.add("tiny", Source("tiny", "Tiny", "http://x", files=(file,), **terms))
from eosin.__main__ import run
run(["data", "fetch", "tiny", "-o", sys.argv[2], "--accept-licence"])
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_fetch_keeps_its_part_and_goes_on(
    catalogue,
    server,  # noqa: F811
    fetch,
    command,
    folder,
    how,
):
    data = noise(400_000)
    pages = catalogue({"big.bin": data}, checksums=False)
    pages["big.bin"].slow_s, pages["big.bin"].slow_from = 0.005, 200_000
    line = [sys.executable, "-c", CHILD, server.url("/big.bin"), str(folder)]
    running = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=os.environ)
    part = Path(folder / "big.bin.part")
    end = time.monotonic() + 60
    while not (part.exists() and pages["big.bin"].served > 200_010) and time.monotonic() < end:
        time.sleep(0.05)
    running.send_signal(how)
    _, said = running.communicate(timeout=60)
    assert running.returncode != 0
    if how == signal.SIGINT:
        assert said.splitlines()[-1].startswith("eosin: interrupted; ")
        words = shlex.split(said.partition("To resume: eosin ")[2])
        assert "Traceback" not in said
    kept = part.stat().st_size
    assert kept > 0
    assert not (folder / "big.bin").exists()
    pages["big.bin"].slow_s = 0
    before = pages["big.bin"].asked.copy()
    result = command(*words) if how == signal.SIGINT else fetch()
    assert result.status == 0, result.err
    assert pages["big.bin"].asked[len(before)] == (f"bytes={kept}-", '"one"')
    assert (folder / "big.bin").read_bytes() == data
    assert listed(folder) == ["big.bin", "fetched.json"]


def test_the_real_patience_is_longer_than_the_tests():
    assert Patience().attempts >= 5
    assert Patience().read_timeout_s >= 30
