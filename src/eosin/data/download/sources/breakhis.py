"""BreakHis, from the server of its makers; neither size nor checksum is published."""

from eosin.data.download.source import RemoteFile, Source

BREAKHIS = Source(
    name="breakhis",
    title="Breast Cancer Histopathological Image Classification (BreakHis)",
    homepage=(
        "https://web.inf.ufpr.br/vri/databases/breast-cancer-histopathological-database-breakhis/"
    ),
    licence="CC BY 4.0",
    citation=(
        "Spanhol et al., A Dataset for Breast Cancer Histopathological Image Classification, "
        "IEEE Trans. Biomed. Eng. 63(7), 2016"
    ),
    unpacks_to="BreaKHis_v1/: 7,909 images of 700 × 460 px at 40, 100, 200 and 400×; about 4 GB",
    files=(
        RemoteFile(
            name="BreaKHis_v1.tar.gz",
            urls=("http://www.inf.ufpr.br/vri/databases/BreaKHis_v1.tar.gz",),
            unpack=True,
            unpacked_bytes=4_000_000_000,
        ),
    ),
)
