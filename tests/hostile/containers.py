"""Hostile containers of many images: HDF5 files, and idx files plain and gzipped."""

import gzip
import io
import struct
import zlib

import h5py
import numpy as np
from tests.hostile.drafts import Draft, damaged, hole
from tests.hostile.images import draw, squeeze

_MOST = 2**32 - 1


def container_drafts():
    """Yield every hostile container as a draft."""
    base = h5_bytes(lambda file: _fill(file, compression="gzip", chunks=(1, 32, 40, 3)))
    yield from damaged("h5", "h5", ".h5", base, n_flips=6, n_heads=6)
    plain = h5_bytes(_fill)
    yield from damaged("h5-plain", "plain", ".h5", plain, n_flips=4)
    yield from _lying_h5()
    yield from damaged("idx", "idx", ".idx", idx(), n_flips=4)
    yield from damaged("idx-gz", "idx", ".idx.gz", gzip.compress(idx(), mtime=0), n_flips=6)
    yield from _lying_idx()


def h5_bytes(fill):
    """Return the bytes of an HDF5 file that a function has filled."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        fill(file)
    return stream.getvalue()


def _fill(file, **options):
    pictures = np.stack([draw(seed=seed) for seed in range(3)])
    file.create_dataset("x", data=pictures, **options)


def _lying_h5():
    for name, fill in {
        "huge": _huge,
        "huge-deep": _huge_deep,
        "chunk-of-829-mb": _large_chunk,
        "chunk-2-gb": _absurd_chunk,
        "many": _many_images,
        "narrow": _narrow,
        "wide": _wide,
        "real": lambda f: f.create_dataset("x", data=np.full((2, 8, 8, 3), np.nan)),
        "signed": lambda f: f.create_dataset("x", data=np.full((2, 8, 8, 3), -1, np.int8)),
        "booleans": lambda f: f.create_dataset("x", data=np.ones((2, 8, 8), bool)),
        "complex": lambda f: f.create_dataset("x", data=np.ones((2, 8, 8), complex)),
        "texts": lambda f: f.create_dataset("x", data=[["a", "b"]]),
        "records": lambda f: f.create_dataset("x", data=np.zeros((2, 8, 8), "u1,u2")),
        "references": lambda f: f.create_dataset("x", (2, 8, 8), h5py.ref_dtype),
        "ragged": lambda f: f.create_dataset("x", (2, 8, 8), h5py.vlen_dtype(np.uint8)),
        "scalar": lambda f: f.create_dataset("x", data=np.uint8(7)),
        "nothing": lambda f: f.create_dataset("x", data=h5py.Empty("u1")),
        "no-images": lambda f: f.create_dataset("x", (0, 8, 8, 3), "u1"),
        "no-pixels": lambda f: f.create_dataset("x", (5, 0, 0, 3), "u1"),
        "dimensions-32": lambda f: f.create_dataset("x", (1,) * 32, "u1"),
        "opaque": lambda f: f.create_dataset("x", (2, 8, 8), "V3"),
        "external-zero": lambda f: _external(f, "/dev/zero"),
        "external-password": lambda f: _external(f, "/etc/passwd"),
        "external-terminal": lambda f: _external(f, "/dev/tty"),
        "virtual": _virtual,
        "soft-cycle": _soft_cycle,
        "hard-cycle": _hard_cycle,
        "link-out": lambda f: f.__setitem__("x", h5py.ExternalLink("/dev/zero", "/x")),
        "link-itself": lambda f: f.__setitem__("x", h5py.ExternalLink("link-itself.h5", "/x")),
        "dangling": lambda f: f.__setitem__("x", h5py.SoftLink("/nowhere")),
        "deep": _deep,
        "broad": _broad,
        "odd-names": _odd_names,
        "two": _two,
        "group": lambda f: f.create_group("x"),
        "empty": lambda f: None,
        "attributes": lambda f: f.attrs.update({str(n): "x" * 60_000 for n in range(40)}),
        "one-pixel": lambda f: f.create_dataset("x", (2, 1, 1, 3), "u1"),
        "channels-40": lambda f: f.create_dataset("x", (2, 8, 8, 40), "u1"),
        "channels-first": lambda f: f.create_dataset("x", (2, 3, 80, 80), "u1"),
        "dark16": lambda f: f.create_dataset("x", (2, 8, 8, 3), "u2"),
        "filter": lambda f: f.create_dataset(
            "x", (2, 8, 8), "u1", chunks=True, shuffle=True, fletcher32=True
        ),
    }.items():
        yield Draft("lying-h5", f"{name}.h5", _maker(fill), sampled=name in {"huge", "hard-cycle"})
    yield Draft("lying-h5", "text.h5", b"no h5\n")
    yield Draft("lying-h5", "empty-file.h5", b"")
    yield Draft("lying-h5", "terabyte.h5", hole(h5_bytes(_fill)))
    yield Draft("lying-h5", "signature.h5", hole(b"\x89HDF\r\n\x1a\n", 1 << 20))


def _maker(fill):
    def make(path):
        with h5py.File(path, "w") as file:
            fill(file)

    return make


def _huge(file):
    file.create_dataset("x", (2**40, 96, 96, 3), "u1", chunks=(1, 96, 96, 3))


def _huge_deep(file):
    file.create_dataset("x", (2, 7000, 7000, 3), "u2", chunks=(1, 1000, 1000, 3))


def _large_chunk(file):
    """300 images in one chunk: 829 MB, of which little is stored."""
    shape = (300, 960, 960, 3)
    data = file.create_dataset("x", shape, "u1", chunks=shape, compression="gzip")
    data.id.write_direct_chunk((0, 0, 0, 0), squeeze(int(np.prod(shape))))


def _absurd_chunk(file):
    shape = (70_000, 96, 96, 3)
    data = file.create_dataset("x", shape, "u1", chunks=shape, compression="gzip")
    data.id.write_direct_chunk((0, 0, 0, 0), zlib.compress(b"little"))


def _many_images(file):
    file.create_dataset("x", (5_000, 8, 8, 3), "u1", chunks=(1000, 8, 8, 3))


def _narrow(file):
    file.create_dataset("x", (2, 1, 49_999_999, 3), "u1", chunks=(1, 1, 1000, 3))


def _wide(file):
    """Each image lies in 200,000 chunks."""
    file.create_dataset("x", (2, 5000, 40, 3), "u1", chunks=(1, 1, 1, 3), compression="gzip")


def _external(file, target):
    file.create_dataset("x", (2, 8, 8, 3), "u1", external=[(target, 0, 384)])


def _virtual(file):
    layout = h5py.VirtualLayout((2, 8, 8, 3), "u1")
    layout[:] = h5py.VirtualSource("/dev/zero", "x", (2, 8, 8, 3))
    file.create_virtual_dataset("x", layout)


def _soft_cycle(file):
    file["x"] = h5py.SoftLink("/y")
    file["y"] = h5py.SoftLink("/x")


def _hard_cycle(file):
    group = file.create_group("a/b/c")
    group["again"] = file["a"]
    _fill(group)


def _deep(file):
    group = file
    for _ in range(2000):
        group = group.create_group("g")
    _fill(group)


def _broad(file):
    for number in range(5000):
        file.create_dataset(f"d{number}", (1, 1, 1), "u1")


def _odd_names(file):
    for name in ("\x1b[31m", "a\nINJECTED", "é" * 200, "<b>", "="):
        file.create_dataset(name, (2, 8, 8, 3), "u1")


def _two(file):
    file.create_dataset("a", (2, 8, 8, 3), "u1")
    file.create_dataset("b", (2, 8, 8, 3), "u1")


def idx(shape=(3, 32, 40, 3), kind=8, *, body=None):
    """Return an idx file whose header need not fit its body."""
    body = np.stack([draw(seed=seed) for seed in range(3)]).tobytes() if body is None else body
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


def _lying_idx():
    for name, data in {
        "many": idx((_MOST, 32, 40, 3)),
        "large": idx((1, _MOST, _MOST)),
        "none": idx((0, 32, 40)),
        "no-pixels": idx((3, 0, 0)),
        "all": idx((_MOST,) * 4),
        "labels": idx((11_520,)),
        "one-more": idx((4, 32, 40, 3)),
        "one-fewer": idx((2, 32, 40, 3)),
        "signed": idx(kind=9),
        "real": idx(kind=0x0D),
        "kind-0": idx(kind=0),
        "kind-255": idx(kind=255),
        "dimensions-255": b"\0\0\x08\xff" + b"\xff" * 2000,
        "dimensions-0": b"\0\0\x08\0" + bytes(99),
        "no-mark": b"\1\2\3\4" + bytes(99),
        "text": b"no idx\n",
        "empty": b"",
        "mark": b"\0\0\x08\3",
        "pixels-49-million": idx((1, 7000, 7000), body=b""),
        "channels-40": idx((9, 8, 4, 40)),
        "small": idx((5_000, 1, 3), body=bytes(15_000)),
        "line": idx((1, 1, 11_520)),
    }.items():
        yield Draft("lying-idx", f"{name}.idx", data)
        if len(data) < 1 << 20:
            yield Draft("lying-idx", f"{name}.idx.gz", gzip.compress(data, mtime=0))
    yield Draft("lying-idx", "terabyte.idx", hole(idx()))
    yield Draft("lying-idx", "terabyte.idx.gz", hole(gzip.compress(idx(), mtime=0)))
    for name, shape in (
        ("bomb-2-gb", (2 << 10, 1024, 1024)),
        ("bomb-1-gb", (1023, 1024, 1024)),
        ("bomb-unlisted", (3, 32, 40, 3)),
        ("bomb-one-image", (1, 32_768, 32_768)),
    ):
        head = idx(shape, body=b"")
        yield Draft("bomb-idx", f"{name}.idx.gz", gz(head, 1 << 30), sampled=True)
    packed = gzip.compress(idx(), mtime=0)
    yield Draft(
        "bomb-idx", "members.idx.gz", gzip.compress(idx()[:5000]) + gzip.compress(idx()[5000:])
    )
    yield Draft("bomb-idx", "members-200000.idx.gz", packed + gzip.compress(b"") * 200_000)
    yield Draft("bomb-idx", "plain-in-gz.idx.gz", idx())
    yield Draft("bomb-idx", "twice.idx.gz", gzip.compress(packed))


def gz(head, n_bytes, fill=b"\0"):
    """Return gzipped data: some bytes, then many of one value."""
    return gzip.compress(head, mtime=0) + gzip.compress(fill * (1 << 20), mtime=0) * (n_bytes >> 20)
