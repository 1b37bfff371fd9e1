"""The catalogue holds what can be fetched, and says how to get the rest."""

import re

import pytest

from eosin.data.download.source import RemoteFile, Source
from eosin.data.sources.catalogue import DATASETS, SOURCES

DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}


@pytest.mark.parametrize("name", list(SOURCES))
def test_a_source_says_all_that_a_user_must_know(name):
    source = SOURCES.get(name)
    assert source.name == name
    assert name in DATASETS
    assert source.licence
    assert source.citation
    assert source.homepage.startswith("http")
    assert bool(source.files) != bool(source.instruction)
    names = [file.name for file in source.files]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("file", [file for name in SOURCES for file in SOURCES.get(name).files])
def test_a_file_s_facts_have_their_form(file):
    assert re.fullmatch(r"[\w.-]+", file.name)
    assert all(url.endswith(f"/{file.name}") for url in file.urls)
    if file.checksum is not None:
        algorithm, _, digits = file.checksum.partition(":")
        assert re.fullmatch(rf"[0-9a-f]{{{DIGITS[algorithm]}}}", digits)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "/etc/passwd"])
def test_only_http_addresses_may_be_entered(url):
    with pytest.raises(ValueError, match="http or https"):
        RemoteFile("file", (url,))


def test_an_unknown_algorithm_may_not_be_entered():
    with pytest.raises(ValueError, match="algorithm:hexadecimal"):
        RemoteFile("file", ("https://host/file",), checksum="crc32:00")


def test_a_source_without_files_must_tell_how_to_get_it():
    with pytest.raises(ValueError, match="an obstacle and an instruction"):
        Source("x", "X", "https://host", "CC0", "X 2020", "x/")


def test_published_sizes_are_added_up():
    mnist, pcam, idc = (SOURCES.get(name) for name in ("mnist", "pcam", "idc"))
    assert (mnist.least_bytes, mnist.all_sized) == (11_594_722, True)
    assert (pcam.least_bytes, pcam.all_sized) == (8_028_222_167, False)
    assert (idc.least_bytes, idc.all_sized) == (0, False)
