"""MNIST, from a mirror whose sizes and SHA-256 TensorFlow Datasets publishes, and one more.

The second mirror is torchvision's; it serves the same files.
"""

from eosin.data.download.source import RemoteFile, Source

_MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)
_PUBLISHED = {
    "train-images-idx3-ubyte.gz": (
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte.gz": (
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte.gz": (
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}

MNIST = Source(
    name="mnist",
    title="MNIST handwritten digits",
    homepage="http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0",
    citation=(
        "LeCun et al., Gradient-based learning applied to document recognition, "
        "Proc. IEEE 86(11), 1998"
    ),
    unpacks_to="four idx.gz files, read as they are: 60,000 and 10,000 digits of 28 × 28 px",
    files=tuple(
        RemoteFile(
            name=name,
            urls=tuple(f"{mirror}/{name}" for mirror in _MIRRORS),
            size=size,
            checksum=f"sha256:{digest}",
        )
        for name, (size, digest) in _PUBLISHED.items()
    ),
)
