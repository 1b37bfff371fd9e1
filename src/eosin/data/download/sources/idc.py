"""Invasive ductal carcinoma patches, from the page of the tutorial that published them.

Neither size nor checksum is published there.
"""

from eosin.data.download.source import RemoteFile, Source

IDC = Source(
    name="idc",
    title="Invasive ductal carcinoma patches (IDC)",
    homepage="http://www.andrewjanowczyk.com/use-case-6-invasive-ductal-carcinoma-idc-segmentation/",
    licence="none is stated where it is published; a copy on Kaggle is marked CC0",
    citation=(
        "Cruz-Roa et al., SPIE Medical Imaging 9041, 2014; "
        "Janowczyk & Madabhushi, J. Pathol. Inform. 7:29, 2016"
    ),
    unpacks_to="IDC_regular_ps50_idx5/<patient>/{0,1}/*.png: 277,524 patches of 50 × 50 px",
    files=(
        RemoteFile(
            name="IDC_regular_ps50_idx5.zip",
            urls=("http://andrewjanowczyk.com/wp-static/IDC_regular_ps50_idx5.zip",),
            unpack=True,
        ),
    ),
)
