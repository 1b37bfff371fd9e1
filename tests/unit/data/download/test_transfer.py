"""A file comes whole or the reason is told, whatever the server does."""

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.unit.data.download.serving import UNTOLD, noise, sha256

from eosin.core.errors import DownloadError, OutputError
from eosin.data.download.source import RemoteFile
from eosin.data.download.transfer import CutError, Origin, Part, Transfer, check_redirects

DATA = noise(300_000)


@pytest.fixture
def fetch(server, hasty, tmp_path, messages):
    """Fetch ``/file`` into its part; returns the part and the messages."""

    def run(path="/file", *, size=None, checksum=None, patience=hasty):
        url = server.url(path)
        part = Part(tmp_path / "file")
        transfer = Transfer(
            RemoteFile("file", (url,), size=size, checksum=checksum),
            part,
            patience=patience,
        )
        transfer.run(url)
        return part, messages

    return run


def test_a_file_comes_whole(server, fetch):
    page = server.add("/file", DATA)
    part, said = fetch(checksum=sha256(DATA))
    assert part.path.read_bytes() == DATA
    assert said == []
    assert page.served == len(DATA)


def test_after_a_cut_only_the_rest_is_fetched(server, fetch):
    page = server.add("/file", DATA, cut_after=[100_000, 50_000])
    part, said = fetch(checksum=sha256(DATA))
    assert part.path.read_bytes() == DATA
    assert page.served == len(DATA)
    assert page.asked == [(None, None), ("bytes=100000-", '"one"'), ("bytes=150000-", '"one"')]
    assert "100000 of 300000 bytes" in said[0]


def test_another_process_goes_on_where_the_first_was_killed(server, fetch, tmp_path):
    page = server.add("/file", DATA)
    part = Part(tmp_path / "file")
    part.begin(Origin(server.url("/file"), '"one"', len(DATA)))
    part.path.write_bytes(DATA[:200_000])
    assert fetch(checksum=sha256(DATA))[0].path.read_bytes() == DATA
    assert page.served == len(DATA) - 200_000


@pytest.mark.parametrize("kept", [b"", b"not json", b'{"url": 1}', None])
def test_a_part_of_unknown_origin_is_thrown_away(server, fetch, tmp_path, kept):
    page = server.add("/file", DATA)
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    if kept is not None:
        (tmp_path / "file.part.json").write_bytes(kept)
    assert fetch(checksum=sha256(DATA))[0].path.read_bytes() == DATA
    assert page.asked == [(None, None)]


def test_a_part_of_another_address_is_thrown_away(server, fetch, tmp_path):
    page = server.add("/file", DATA)
    part = Part(tmp_path / "file")
    part.begin(Origin(server.url("/mirror"), '"one"', len(DATA)))
    part.path.write_bytes(b"x" * 1000)
    assert fetch(checksum=sha256(DATA))[0].path.read_bytes() == DATA
    assert page.asked == [(None, None)]


def test_a_whole_part_is_not_asked_for_again(server, fetch, tmp_path):
    page = server.add("/file", DATA)
    part = Part(tmp_path / "file")
    part.begin(Origin(server.url("/file"), '"one"', len(DATA)))
    part.path.write_bytes(DATA)
    fetch(checksum=sha256(DATA))
    assert page.asked == []


def test_a_server_without_ranges_serves_it_anew(server, fetch):
    page = server.add("/file", DATA, ranges=False, cut_after=[100_000])
    part, said = fetch(checksum=sha256(DATA))
    assert part.path.read_bytes() == DATA
    assert page.served == 100_000 + len(DATA)
    assert "restarts it from the beginning" in said[-1]


@pytest.mark.parametrize("etag", ['"two"', None], ids=["new-tag", "no-tag-other-length"])
def test_a_file_that_changed_between_cut_and_resume_is_not_mixed(server, fetch, etag):
    changed = noise(250_000, seed=1)

    def change(page):
        page.data, page.after = changed, None
        page.etag = etag or page.etag

    page = server.add("/file", DATA, cut_after=[100_000], after=change)
    if etag is None:
        page.etag = ""
    assert fetch(checksum=sha256(changed))[0].path.read_bytes() == changed


def test_a_changed_date_tells_of_another_version_though_the_server_resumes(server, fetch):
    changed = noise(len(DATA), seed=1)

    def change(page):
        page.data, page.modified, page.after = changed, "Tue, 02 Jan 2024 00:00:00 GMT", None

    first = "Mon, 01 Jan 2024 00:00:00 GMT"
    server.add(
        "/file",
        DATA,
        cut_after=[100_000],
        after=change,
        etag="",
        modified=first,
        heeds_if_range=False,
    )
    part, said = fetch()
    assert part.path.read_bytes() == changed
    assert "has changed on the server" in said[1]


def test_without_tag_date_and_checksum_nothing_is_joined(server, fetch):
    changed = noise(len(DATA), seed=1)

    def change(page):
        page.data, page.after = changed, None

    page = server.add("/file", DATA, cut_after=[100_000], after=change, etag="")
    assert fetch()[0].path.read_bytes() == changed
    assert [wanted for wanted, _ in page.asked[:2]] == [None, None]


@pytest.mark.parametrize("span", ["bytes 5-299999/300000", "bytes 100000-299999/400000", "x"])
def test_another_part_than_the_one_asked_for_is_not_taken(server, fetch, span):
    page = server.add("/file", DATA, cut_after=[100_000], span=span)
    assert fetch()[0].path.read_bytes() == DATA
    assert [wanted for wanted, _ in page.asked[:3]] == [None, "bytes=100000-", None]


def test_a_server_that_promises_more_than_it_sends_is_found_out(server, fetch, tmp_path):
    server.add("/file", DATA, length=len(DATA) + 500, ranges=False)
    with pytest.raises(DownloadError, match="300000 of 300500 bytes") as caught:
        fetch(checksum=sha256(DATA))
    assert "in 3 attempts" in str(caught.value)
    assert "300.0 kB are kept" in str(caught.value)
    assert (tmp_path / "file.part").stat().st_size == len(DATA)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_that_sends_more_than_it_promises_is_found_out(server, fetch, tmp_path, ranges):
    server.add("/file", DATA, length=len(DATA) - 500, ranges=ranges)
    if not ranges:
        # Nothing but a published size or sum can tell; the sum is held elsewhere.
        with pytest.raises(DownloadError, match="299500 bytes, where 300000 were published"):
            fetch(size=len(DATA))
    else:
        with pytest.raises(DownloadError, match="announced 299500 bytes and has more"):
            fetch()
    assert not (tmp_path / "file.part").exists()


def test_a_published_size_is_held_against_the_answer_before_anything_is_written(server, fetch):
    page = server.add("/file", DATA, slow_s=0.001)
    with pytest.raises(DownloadError, match="300000 bytes, where 12 were published"):
        fetch(size=12)
    assert page.served < len(DATA)


@pytest.mark.parametrize("slow_s", [1.0, 0.02], ids=["stall", "trickle"])
def test_a_server_that_stops_sending_is_left_and_what_came_is_kept(
    server, fetch, tmp_path, slow_s, hasty
):
    server.add("/file", DATA, slow_s=slow_s, slow_from=2000)
    start = time.monotonic()
    with pytest.raises(DownloadError, match="the same command resumes there") as caught:
        fetch(checksum=sha256(DATA), patience=replace(hasty, attempts=2))
    assert time.monotonic() - start < 10
    assert ("stopped sending" if slow_s == 1.0 else "bytes were received in") in str(caught.value)
    assert (tmp_path / "file.part").stat().st_size >= 2000


def test_passing_troubles_are_waited_out(server, fetch):
    server.add("/file", DATA, status=[503, 429])
    part, said = fetch(checksum=sha256(DATA))
    assert part.path.read_bytes() == DATA
    assert ["503" in said[0], "429" in said[1]] == [True, True]


def test_a_pause_of_thousands_of_digits_is_not_asked_for(tmp_path):
    headers = {"Retry-After": "9" * 5000}
    response = SimpleNamespace(status_code=503, reason="busy", url="", headers=headers)
    with pytest.raises(CutError) as caught:
        Part(tmp_path / "a.zip").read_answer(response, "")
    assert caught.value.wait_s == 0


def test_pauses_grow(server, fetch, hasty, monkeypatch):
    server.add("/file", DATA, status=[503] * 5)
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    fetch(patience=replace(hasty, attempts=6, first_pause_s=1, longest_pause_s=5))
    assert [pause for pause in slept if pause >= 1] == [1, 2, 4, 5, 5]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_told_at_once(server, fetch, status):
    page = server.add("/file", DATA, status=[status])
    with pytest.raises(DownloadError, match=f"answered {status}"):
        fetch()
    assert len(page.asked) == 1


def test_a_server_that_is_not_there_is_told(server, fetch, hasty):
    server.http.server_close()
    with pytest.raises(DownloadError, match=r"in 3 attempts: the server cannot be reached"):
        fetch()


def test_a_file_of_untold_length_comes_whole(server, fetch):
    server.add("/file", DATA, length=UNTOLD)
    assert fetch(checksum=sha256(DATA))[0].path.read_bytes() == DATA


def test_a_cut_in_a_file_of_untold_length_is_noticed_and_resumed(server, fetch):
    page = server.add("/file", DATA, length=UNTOLD, cut_after=[100_000])
    part, said = fetch()
    assert part.path.read_bytes() == DATA
    assert "ended after 100000 bytes" in said[0]
    assert page.asked[2][0] == "bytes=100000-"


def test_a_file_of_untold_length_is_held_against_its_published_size(server, fetch):
    page = server.add("/file", DATA, length=UNTOLD, cut_after=[100_000])
    assert fetch(size=len(DATA))[0].path.read_bytes() == DATA
    assert page.served == len(DATA)
    server.add("/long", DATA + b"more", length=UNTOLD)
    with pytest.raises(DownloadError, match="sent more than the 300000 bytes"):
        fetch("/long", size=len(DATA))


@pytest.mark.parametrize(("before", "after"), [("https", "http"), ("https", "https")])
def test_a_redirect_to_an_address_without_encryption_is_refused(before, after):
    hops = [SimpleNamespace(url=f"{kind}://host/file") for kind in (before, after)]
    response = SimpleNamespace(history=hops[:1], url=hops[1].url)
    if after == "https":
        check_redirects(response)
        return
    with pytest.raises(DownloadError, match="which is not encrypted"):
        check_redirects(response)


def test_a_redirect_is_followed_and_resumed(server, fetch):
    page = server.add("/store", DATA, cut_after=[100_000])
    server.add("/file", b"", redirect=server.url("/store"))
    assert fetch(checksum=sha256(DATA))[0].path.read_bytes() == DATA
    assert page.served == len(DATA)


@pytest.mark.parametrize("where", ["file:///etc/hostname", "ftp://127.0.0.1/file", "data:,x"])
def test_a_redirect_to_anything_but_http_is_refused(server, fetch, tmp_path, where):
    server.add("/file", b"", redirect=where)
    with pytest.raises(DownloadError, match=r"no http\(s\) address"):
        fetch()
    assert not (tmp_path / "file.part").exists()


def test_redirects_in_a_circle_are_left(server, fetch):
    server.add("/file", b"", redirect="/file")
    with pytest.raises(DownloadError, match="in a loop"):
        fetch()


def test_a_web_page_in_place_of_the_file_is_refused(server, fetch):
    server.add("/file", b"<html>log in</html>", kind="text/html; charset=utf-8")
    with pytest.raises(DownloadError, match="a web page instead of the file"):
        fetch()


def test_a_file_that_does_not_fit_is_refused_before_it_comes(server, fetch, monkeypatch, tmp_path):
    server.add("/file", DATA)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 1000}))
    with pytest.raises(OutputError, match=r"needs 300\.0 kB .* 1\.0 kB are free"):
        fetch()
    assert Part(tmp_path / "file").size == 0
