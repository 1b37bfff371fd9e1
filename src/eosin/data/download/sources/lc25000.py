"""LC25000: its makers serve it as a torrent, copies of it are behind accounts."""

from eosin.data.download.source import Source

LC25000 = Source(
    name="lc25000",
    title="Lung and Colon Cancer Histopathological Images (LC25000)",
    homepage="https://github.com/tampapath/lung_colon_image_set",
    licence="free to use for AI researchers, as its makers say; no licence is named",
    citation=(
        "Borkowski et al., Lung and Colon Cancer Histopathological Image Dataset (LC25000), "
        "arXiv:1912.12142, 2019"
    ),
    unpacks_to="lung_colon_image_set/{lung,colon}_image_sets/<class>/*.jpeg: 25,000, 768 × 768 px",
    obstacle="its makers serve it as a torrent, and copies of it want an account",
    instruction=(
        "Get LC25000.zip (1.85 GB) with a torrent program from "
        "https://academictorrents.com/details/7a638ed187a6180fd6e464b3666a6ea0499af4af"
    ),
)
