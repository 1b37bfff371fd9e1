"""PatchCamelyon, from its Zenodo record.

Sizes and SHA-256 of the six HDF5 files are those that TensorFlow Datasets publishes for the same
addresses. The tables of slides have only MD5 sums that contradict each other between the makers'
page and other copies for two of the three, so only the undisputed one stands here.
"""

from eosin.data.download.source import RemoteFile, Source

_RECORD = "https://zenodo.org/record/2546921/files"
_PATCH_BYTES = 96 * 96 * 3
_PUBLISHED = {
    "train_x": (
        6_421_353_462,
        "d619e741468a7ab35c7e4a75e6821b7e7e6c9411705d45708f2a0efc8960656c",
        262_144 * _PATCH_BYTES,
    ),
    "train_y": (
        21_378,
        "b74126d2c01b20d3661f9b46765d29cf4e4fba6faba29c8e0d09d406331ab75a",
        262_144,
    ),
    "valid_x": (
        805_965_320,
        "f82ee1670d027b4ec388048d9eabc2186b77c009655dae76d624c0ecb053ccb2",
        32_768 * _PATCH_BYTES,
    ),
    "valid_y": (
        3_038,
        "ce1ae30f08feb468447971cfd0472e7becd0ad96d877c64120c72571439ae48c",
        32_768,
    ),
    "test_x": (
        800_875_929,
        "79174c2201ad521602a5888be8f36ee10875f37403dd3f2086caf2182ef87245",
        32_768 * _PATCH_BYTES,
    ),
    "test_y": (
        3_040,
        "0a522005fccc8bbd04c5a117bfaf81d8da2676f03a29d7499f71d0a0bd6068ef",
        32_768,
    ),
}


def _name(part: str, suffix: str) -> str:
    return f"camelyonpatch_level_2_split_{part}{suffix}"


_IMAGES = tuple(
    RemoteFile(
        name=_name(part, ".h5.gz"),
        urls=(f"{_RECORD}/{_name(part, '.h5.gz')}",),
        size=size,
        checksum=f"sha256:{digest}",
        unpack=True,
        unpacked_bytes=unpacked,
    )
    for part, (size, digest, unpacked) in _PUBLISHED.items()
)
_TABLES = tuple(
    RemoteFile(
        name=_name(split, "_meta.csv"),
        urls=(f"{_RECORD}/{_name(split, '_meta.csv')}",),
        checksum="md5:5a3dd671e465cfd74b5b822125e65b0a" if split == "train" else None,
    )
    for split in ("train", "valid", "test")
)

PCAM = Source(
    name="pcam",
    title="PatchCamelyon (PCam)",
    homepage="https://github.com/basveeling/pcam",
    licence="CC0 1.0",
    citation=(
        "Veeling et al., Rotation Equivariant CNNs for Digital Pathology, MICCAI 2018; "
        "Ehteshami Bejnordi et al., JAMA 318(22), 2017"
    ),
    unpacks_to="six HDF5 files (images and labels of train, valid, test), three tables of slides",
    files=(*_IMAGES, *_TABLES),
)
