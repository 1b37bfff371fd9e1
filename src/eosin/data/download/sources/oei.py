"""Actin-labelled cells of Oei et al.: on figshare, under an address that could not be confirmed."""

from eosin.data.download.source import Source

OEI = Source(
    name="oei",
    title="Actin networks of MCF-10A, MCF-7 and MDA-MB-231 cells",
    homepage="https://doi.org/10.1371/journal.pone.0213626",
    licence="the one stated on its figshare page",
    citation=(
        "Oei et al., Convolutional neural network for cell classification using microscope images "
        "of intracellular actin networks, PLoS ONE 14(3) e0213626, 2019"
    ),
    unpacks_to="fluorescence images of three cell lines",
    obstacle="its address on figshare is not known to this version",
    instruction=(
        "Follow the figshare link in the data availability statement of "
        "https://doi.org/10.1371/journal.pone.0213626"
    ),
)
