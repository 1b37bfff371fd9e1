"""The Kaggle form of PatchCamelyon: behind an account."""

from eosin.data.download.source import Source

PCAM_KAGGLE = Source(
    name="pcam_kaggle",
    title="Histopathologic Cancer Detection (PCam without its duplicates)",
    homepage="https://www.kaggle.com/c/histopathologic-cancer-detection",
    licence="the competition's rules; PCam itself is CC0 1.0",
    citation="Veeling et al., Rotation Equivariant CNNs for Digital Pathology, MICCAI 2018",
    unpacks_to="train/*.tif, train_labels.csv (220,025 images) and test/ without labels",
    obstacle="Kaggle gives it only to those who are logged in and have accepted its rules",
    instruction=(
        "Log in, accept the rules and download the data at "
        "https://www.kaggle.com/c/histopathologic-cancer-detection/data"
    ),
)
