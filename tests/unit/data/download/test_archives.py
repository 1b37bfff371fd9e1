"""Archives of strangers unpack inside their folder and within limits, or not at all."""

import gzip
import io
import stat
import struct
import tarfile
import time
import zipfile
import zlib

import pytest
from tests.unit.data.download.serving import make_tar, make_zip, noise, zeros

from eosin.core.errors import DataError
from eosin.data.download.archives import Allowance, UnpackLimits, unpack

TREE = {"top/a.png": noise(1000), "top/deep/er/b.png": noise(2000, 1)}


@pytest.fixture
def open_up(tmp_path):
    """Unpack bytes under a name; returns what came out."""

    def run(name, data, **limits):
        archive = tmp_path / name
        archive.write_bytes(data)
        return unpack(
            archive,
            tmp_path / "work",
            limits=UnpackLimits(**limits),
        )

    return run


@pytest.fixture
def refused(open_up, tmp_path):
    """Assert that an archive is refused and leaves nothing; returns the complaint."""

    def run(name, data, **limits):
        with pytest.raises(DataError) as caught:
            open_up(name, data, **limits)
        assert [path.name for path in tmp_path.rglob("*")] == [name]
        return str(caught.value)

    return run


def listed(root):
    return {
        path.relative_to(root.parent).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.zip", make_zip(TREE)),
        ("x.tar.gz", make_tar(TREE)),
        ("x.tgz", make_tar(TREE)),
        ("x.tar", make_tar(TREE, compress=False)),
        ("x.zip", make_zip({**TREE, "__MACOSX/top/._a.png": b"litter"})),
    ],
)
def test_a_tree_comes_out_as_it_went_in(open_up, name, data):
    came = open_up(name, data)
    assert came.name == "top"
    assert listed(came) == TREE


def test_a_gz_comes_out_under_its_own_name(open_up):
    out = io.BytesIO()
    with gzip.GzipFile(filename="../../evil", mode="wb", fileobj=out) as packed:
        packed.write(b"data")
    came = open_up("labels.h5.gz", out.getvalue())
    assert came.name == "labels.h5"
    assert came.read_bytes() == b"data"


def test_several_things_at_the_top_stay_in_one_folder(open_up):
    came = open_up("patients.zip", make_zip({"1/a.png": b"a", "2/b.png": b"b"}))
    assert came.name == "work"
    assert {path.name for path in came.iterdir()} == {"1", "2"}


def test_a_folder_that_names_itself_is_no_danger(open_up):
    here = tarfile.TarInfo("./")
    here.type = tarfile.DIRTYPE
    assert open_up("x.tar.gz", make_tar({"./": here, "./a/b.png": b"b"})).name == "a"


OUTSIDE = ["../evil", "a/../../evil", "/tmp/evil", "C:/evil", "C:evil", "..\\evil", "\\evil"]  # noqa: S108


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["x.zip", "x.tar.gz"])
def test_a_member_outside_the_folder_refuses_the_archive(refused, kind, name):
    make = make_zip if kind == "x.zip" else make_tar
    said = refused(kind, make({"good.png": b"good", name: b"evil"}))
    assert "outside its folder" in said


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_a_link_or_device_in_a_tar_refuses_it(refused, kind):
    member = tarfile.TarInfo("link")
    member.type = kind
    member.linkname = "a.png"
    said = refused("x.tar.gz", make_tar({"a.png": b"a", "link": member, "link/b": b"through"}))
    assert "a link or device, 'link'" in said


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_device_in_a_zip_refuses_it(refused, kind):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        link = zipfile.ZipInfo("link")
        link.external_attr = (kind | 0o777) << 16
        packed.writestr(link, "/etc")
    assert "a link or device, 'link'" in refused("x.zip", out.getvalue())


def bomb(mib):
    """A zip of one member of zeros, made without inflating: deflate blocks may be repeated."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    packed = block * mib + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    sizes = (0, len(packed), mib << 20)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, *sizes, 4, 0)
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, *sizes, 4, 0, 0, 0, 0, 0, 0)
    body = local + b"zero" + packed
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry) + 4, len(body), 0)
    return body + entry + b"zero" + end


def most_written(monkeypatch):
    """Count what is written while an archive is unpacked."""
    counted = [0]
    count = Allowance.count_bytes

    def counting(self, size):
        count(self, size)
        counted[0] += size

    monkeypatch.setattr(Allowance, "count_bytes", counting)
    return counted


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("x.zip", lambda: bomb(3000)),
        ("x.gz", lambda: zeros(3000)),
        ("x.tar.gz", lambda: gzip.compress(tar_header("zero", 3000 << 20)) + zeros(3000)),
    ],
)
def test_a_bomb_is_stopped_before_it_fills_the_disk(refused, monkeypatch, name, make):
    data = make()
    assert len(data) < 5_000_000
    written = most_written(monkeypatch)
    start = time.monotonic()
    assert "would unpack to more than" in refused(name, data, ratio=20)
    assert written[0] <= 20 * len(data) + (64 << 20)
    assert time.monotonic() - start < 20
    if name != "x.gz":
        assert written[0] == 0  # it admits its size


def tar_header(name, size, kind=tarfile.REGTYPE):
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf()


def test_an_endless_header_does_not_fill_the_memory(refused):
    header = gzip.compress(tar_header("pax", 3000 << 20, tarfile.XHDTYPE))
    assert "an endless header" in refused("x.tar.gz", header + zeros(200))


def test_a_hole_in_a_sparse_member_counts_as_bytes(refused):
    member = tarfile.TarInfo("hole")
    member.pax_headers = {
        "GNU.sparse.map": "0,0",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.name": "hole",
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as packed:
        packed.addfile(member)
    assert "would unpack to more than" in refused("x.tar.gz", out.getvalue())


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_too_many_files_refuse_the_archive(refused, name):
    make = make_zip if name == "x.zip" else make_tar
    data = make({f"top/{number}.png": b"a" for number in range(11)})
    assert "more than 10 files" in refused(name, data, files=10)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.gz"])
def test_too_many_bytes_refuse_the_archive(refused, name):
    data = noise(5000)
    packed = {
        "x.zip": make_zip({"a": data}),
        "x.tar.gz": make_tar({"a": data}),
        "x.gz": gzip.compress(data),
    }[name]
    assert "more than 4.0 kB" in refused(name, packed, bytes=4000)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar", "x.gz"])
@pytest.mark.parametrize("keep", [0, 300, 2500])
def test_a_damaged_archive_is_told_and_leaves_nothing(refused, name, keep):
    data = {
        "x.zip": make_zip(TREE),
        "x.tar.gz": make_tar(TREE),
        "x.tar": make_tar(TREE, compress=False),
        "x.gz": gzip.compress(noise(3000)),
    }[name]
    said = refused(name, data[:keep])
    assert "is damaged" in said or "is empty" in said


def test_a_changed_byte_is_found_by_the_archive_s_own_sum(refused):
    data = bytearray(make_zip({"a.png": noise(3000)}))
    data[1000] ^= 1
    assert "is damaged" in refused("x.zip", bytes(data))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a.png", "a.png/b.png"])
def test_two_members_in_one_place_refuse_the_archive(refused, second):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("a.png", b"one")
        packed.writestr(second, b"two")
    assert "is damaged" in refused("x.zip", out.getvalue())


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_changed_byte_is_damage_in_every_compression(refused, kind):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as packed:
        packed.writestr("a.bin", bytes(range(256)) * 40)
    data = bytearray(out.getvalue())
    data[45:60] = bytes(15)
    assert "is damaged" in refused("tree.zip", bytes(data))


def test_a_directory_that_points_before_the_start_is_damage(refused):
    data = bytearray(make_zip({"a.txt": b"text"}))
    data[-6:-2] = (len(data) + 1).to_bytes(4, "little")
    assert "is damaged" in refused("tree.zip", bytes(data))


def test_a_name_that_is_no_text_is_damage(refused):
    data = make_zip({"ä.txt": b"text"}).replace("ä".encode(), b"\xff\xff")
    assert "is damaged" in refused("tree.zip", data)


def test_an_unknown_kind_is_told(refused):
    assert "neither zip, tar, tar.gz nor gz" in refused("x.rar", b"Rar!")
