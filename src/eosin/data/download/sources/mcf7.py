"""MCF-7 cells of the Broad Bioimage Benchmark Collection: one plate of BBBC021v1 and its tables.

The collection has 55 plates, more than 40 GB; this is the first. No checksums are published.
"""

from eosin.data.download.source import RemoteFile, Source

_FOLDER = "https://data.broadinstitute.org/bbbc/BBBC021"
_PLATE = "BBBC021_v1_images_Week1_22123.zip"
_TABLES = ("BBBC021_v1_image.csv", "BBBC021_v1_compound.csv", "BBBC021_v1_moa.csv")

MCF7 = Source(
    name="mcf7",
    title="MCF-7 cells under compounds, BBBC021v1, plate Week1_22123",
    homepage="https://bbbc.broadinstitute.org/BBBC021",
    licence="CC BY-NC-SA 3.0 as commonly cited; its page has the binding terms",
    citation=(
        "Caie et al., Mol. Cancer Ther. 9(6), 2010; Ljosa et al., Nature Methods 9(7):637, 2012"
    ),
    unpacks_to="one plate of 16-bit TIFF (DNA, actin, tubulin in files of their own), three tables",
    preparation="cut single cells out of the fields and list them in cells.csv (docs/data.md)",
    files=(
        RemoteFile(name=_PLATE, urls=(f"{_FOLDER}/{_PLATE}",), unpack=True),
        *(RemoteFile(name=table, urls=(f"{_FOLDER}/{table}",)) for table in _TABLES),
    ),
)
