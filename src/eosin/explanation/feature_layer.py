"""The last feature map of a PyTorch network: what Grad-CAM explains with.

It is found by running the network, so that no list of layers is needed: every function of PyTorch
that returns a map with more than one place is a candidate, whether a module calls it or not. The
last candidate that all of the image's information passes through is taken: where the output of
this call is replaced by that for another image, the logits become those of the other image.

A transformer's patches are such a map, too, but its work is done on tokens: a network most of whose
layers follow on tokens is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from eosin.explanation.evidence import refuse

#: Candidates that are tried, from the last one backwards.
_MOST_TRIED = 64
#: Largest difference of a logit that counts as none: relative to that between both images, and to
#: the largest logit, for rounding.
_TOLERANCE, _ROUNDING = 1e-4, 1e-5


@dataclass(frozen=True)
class FeatureLayer:
    """A call that returns the last feature map.

    Attributes:
        call: Its number among the calls that return maps.
        name: The module whose output it is, or the function and the module before it.
        shape: Channels, height and width.
        is_channels_last: True for maps (B, H, W, C).
    """

    call: int
    name: str
    shape: tuple[int, int, int]
    is_channels_last: bool

    def run(self, network: nn.Module, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits (1, K) of one image, and the map as the network lays it out.

        Both keep their history, so that the map's gradient can be taken.
        """
        with _Calls(inputs.shape) as calls:
            logits = network(inputs)
        return logits, calls.maps[self.call]

    def channels_first(self, found: torch.Tensor) -> torch.Tensor:
        """Return a map, or its gradient, as (B, C, H, W)."""
        return found.movedim(-1, 1) if self.is_channels_last else found


class _Calls(TorchFunctionMode):
    """Keeps the maps that PyTorch's functions return; may replace one of them.

    Args:
        shape: Of the input, (B, C, H, W).
        replaced: Number of a call, and what it returns instead.

    Attributes:
        maps: What the calls returned.
        functions: The functions that were called.
        n_ended: How many modules had ended before each call.
        modules: The modules that ended, with :class:`_Modules`: the name, and whether tokens (B, N,
            C) were returned.
    """

    def __init__(
        self, shape: Iterable[int], replaced: tuple[int, torch.Tensor] | None = None
    ) -> None:
        super().__init__()
        self._shape, self._replaced = tuple(shape), replaced
        self._first = 0
        self.maps: list[torch.Tensor] = []
        self.functions: list[str] = []
        self.n_ended: list[int] = []
        self.modules: list[tuple[str, bool]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and self._is_map(result):
            if self._replaced is not None and self._replaced[0] == len(self.maps):
                result = self._replaced[1].clone()
            self.maps.append(result)
            self.functions.append(getattr(func, "__name__", "function"))
            self.n_ended.append(len(self.modules))
        return result

    def _is_map(self, result: torch.Tensor) -> bool:
        is_last = layout_of(result.shape, self._shape)
        if is_last is None:
            return False
        # The weights of attention between all pairs of patches look like a larger map.
        height = result.shape[1 if is_last else 2]
        self._first = self._first or height
        return height <= self._first


def layout_of(shape: Iterable[int], inputs: tuple[int, ...]) -> bool | None:
    """Return True for a map (B, H, W, C), False for (B, C, H, W), None for anything else.

    A map has the batch and the aspect of the input, more than one place, and is smaller.
    """
    sizes = tuple(shape)
    if len(sizes) != 4 or sizes[0] != inputs[0]:
        return None
    for is_last, (height, width) in ((False, sizes[2:]), (True, sizes[1:3])):
        is_smaller = 1 < height * width < inputs[2] * inputs[3]
        # A stride rounds each side up or down.
        if is_smaller and abs(height * inputs[3] - width * inputs[2]) < max(inputs[2:]):
            return is_last
    return None


def find_feature_layer(
    network: nn.Module, in_channels: int, input_px: tuple[int, int]
) -> FeatureLayer:
    """Find the last feature map of a network, in evaluation mode.

    Args:
        network: From images to logits.
        in_channels: Channels of its input.
        input_px: Height and width of its input.

    Raises:
        UsageError: It has no feature map, or works on tokens.
    """
    random = torch.Generator().manual_seed(0)
    shape = (1, in_channels, *input_px)
    one, other = (torch.randn(shape, generator=random) for _ in range(2))
    with torch.inference_mode(), _Calls(shape) as calls, _Modules(network, calls) as modules:
        expected = network(one)
    with torch.inference_mode():
        apart = float((network(other) - expected).abs().max())
        allowed = max(_TOLERANCE * apart, _ROUNDING * float(expected.abs().max()))
        for call in reversed(range(len(calls.maps))[-_MOST_TRIED:]):
            with _Calls(shape, (call, calls.maps[call])):
                found = network(other)
            if float((found - expected).abs().max()) <= allowed:
                return _describe(call, calls, modules, shape)
    raise refuse("no map of places carries all that this network makes of an image", "Grad-CAM")


class _Modules:
    """Follows the modules of a network while it runs, for :class:`_Calls`.

    Attributes:
        names: Name of the module by the identity of its output; the outermost one stays.
    """

    def __init__(self, network: nn.Module, calls: _Calls) -> None:
        self._network, self._calls = network, calls
        self.names: dict[int, str] = {}

    def __enter__(self) -> _Modules:
        self._hooks = [
            module.register_forward_hook(self._noting(name))
            for name, module in self._network.named_modules()
            # Identity returns what it was given.
            if name and not isinstance(module, nn.Identity)
        ]
        return self

    def _noting(self, name: str) -> Callable[..., None]:
        def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                self.names[id(output)] = name
                has_tokens = output.ndim == 3 and min(output.shape[1:]) > 1
                self._calls.modules.append((name, has_tokens))

        return note

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


def _describe(call: int, calls: _Calls, modules: _Modules, inputs: tuple[int, ...]) -> FeatureLayer:
    n_before = calls.n_ended[call]
    if sum(has_tokens for _, has_tokens in calls.modules[n_before:]) > n_before:
        raise refuse("this network works on tokens, and has no feature map", "Grad-CAM")
    found = calls.maps[call]
    is_last = bool(layout_of(found.shape, inputs))
    sizes = tuple(found.shape[1:])
    channels, height, width = (sizes[2], *sizes[:2]) if is_last else sizes
    name = modules.names.get(id(found))
    if name is None:
        last = calls.modules[n_before - 1][0] if n_before else "the input"
        name = f"{calls.functions[call]} after {last}"
    return FeatureLayer(call, name, (channels, height, width), is_last)
