"""Training with the NumPy engine: P3's networks, on the CPU, without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec as find_module
from typing import Any

import numpy as np

from eosin.artifacts.layers import LayerRow, LayerTable
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo, Preprocessing
from eosin.artifacts.weights import to_twin, write_arrays
from eosin.core.errors import RecipeError, TrainingError
from eosin.core.registry import NetworkSpec, Registry
from eosin.core.types import DeviceSettings, ImageSource
from eosin.engine import ARCHITECTURES, Network
from eosin.experiment.backends import InitialWeights, Measured, Origin, Start, draft_info
from eosin.images.preprocess import to_input
from eosin.inference.classifier import MAX_PROBABILITY_GAP
from eosin.inference.engine import EngineNetwork
from eosin.metrics.calibration import softmax
from eosin.recipe.schema import Recipe, TrainSection
from eosin.training.data import FitInputs
from eosin.training.numpy_engine import fit, probe, to_channels_last

__all__ = ["SPECS", "check", "find_spec", "list_layers", "measure", "place", "train", "write"]

SPECS: Registry[NetworkSpec] = Registry("model of the NumPy engine")
SPECS.add(
    "light_cnn",
    NetworkSpec(
        name="light_cnn",
        paper="P3",
        build=ARCHITECTURES["light_cnn"],
        input_px=224,
        min_input_px=51,
        num_classes=2,
        preprocessing="caffe",
        arguments={"activation": "relu", "hidden_activation": "none"},
        stages={},
    ),
)
SPECS.add(
    "mnist_cnn",
    NetworkSpec(
        name="mnist_cnn",
        paper="P3",
        build=ARCHITECTURES["mnist_cnn"],
        input_px=28,
        min_input_px=7,
        num_classes=10,
        preprocessing="unit",
        arguments={},
        stages={},
        in_channels=1,
    ),
)
#: Keys that only PyTorch supports, with the values that the engine accepts.
FOREIGN_KEYS: dict[str, dict[str, tuple[Any, ...]]] = {
    "model": {"field_px": (None,)},
    "train": {
        "optimizer": ("adam", "sgd"),
        "weight_decay": (0.0,),
        "balance": ("none", "sampler", "oversample"),
        "loss": ("cross_entropy",),
        "label_smoothing": (0.0,),
        "mixup": (0.0,),
        "teachers": ((),),
        "device": ("auto", "cpu"),
        "precision": ("auto", "32-true"),
        "compile": (False,),
        "clip_gradient": (None,),
        "batch_norm": ("running",),
        "weight_averaging": ("none",),
    },
    "transfer": {
        "source": ("none",),
        "freeze": ("none",),
        "unfreeze_every": (None,),
        "layer_decay": (1.0,),
        "standardise": (False,),
        "stage": ((),),
    },
}
#: Images of the export's parity check.
_PARITY_IMAGES = 64


def find_spec(name: str) -> NetworkSpec:
    """Look up a network of the engine; ``UnknownNameError`` if it has none of this name."""
    return SPECS.get(name)


def check(recipe: Recipe) -> None:
    """Refuse keys of the recipe that the engine does not support, all at once."""
    refused: dict[str, tuple[Any, Any]] = {}
    for name, keys in FOREIGN_KEYS.items():
        for key, known in keys.items():
            value = getattr(getattr(recipe, name), key)
            if value not in known:
                refused[f"{name}.{key}"] = (value, known[0])
    if recipe.train.schedule.name == "plateau":
        refused["train.schedule.name"] = ("plateau", "constant")
    if recipe.train.schedule.warmup:
        refused["train.schedule.warmup"] = (recipe.train.schedule.warmup, 0.0)
    if refused:
        raise _refusal(refused)
    if recipe.train.threads is not None:
        raise RecipeError(
            "'train.threads' sets PyTorch's threads, but model.backend is \"numpy\"",
            hint="Set $OMP_NUM_THREADS and $OPENBLAS_NUM_THREADS instead",
        )


def _refusal(refused: Mapping[str, tuple[Any, Any]]) -> RecipeError:
    """Return the error for keys, each with its value and one that the engine has instead."""
    shown = ", ".join(
        f"'{key}' is {'set' if isinstance(value, tuple) else repr(value)}"
        for key, (value, _) in refused.items()
    )
    typed = " ".join(f"--set {key}={_as_typed(value)}" for key, (_, value) in refused.items())
    return RecipeError(
        f"the NumPy engine does not support what the recipe sets: {shown}",
        hint=f'Add {typed} or, with PyTorch, set model.backend = "pytorch"',
    )


def _as_typed(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def place(section: TrainSection) -> DeviceSettings:
    """Return the CPU: the engine knows no other device."""
    del section
    return DeviceSettings("cpu", "32-true", "cpu (NumPy engine)")


def train(
    recipe: Recipe, start: Start, inputs: FitInputs, run: RunFolder
) -> tuple[Network, InitialWeights]:
    """Train from random weights; the best state is also saved as ``checkpoints/best.npz``."""
    del start  # checked: it is nowhere
    network = fit(_build(recipe, inputs), recipe.train, inputs, run)
    network.save(run.best_npz)
    return network, InitialWeights()


def _build(recipe: Recipe, inputs: FitInputs) -> Network:
    network: Network = find_spec(recipe.model.name).build(
        num_classes=inputs.n_classes,
        input_px=inputs.preprocessing.input_px[0],
        in_channels=len(inputs.preprocessing.channels),
        seed=recipe.seed,
        **recipe.model.arguments,
    )
    return network


def list_layers(network: Network, preprocessing: Preprocessing | None = None) -> LayerTable:
    """List the network's layers, channels first, as PyTorch has them."""
    del preprocessing  # the network knows its input
    rows = []
    for name, layer in network.layers.items():
        params, buffers = (
            sum(array.size for array in arrays.values())
            for arrays in (layer.parameters, layer.buffers)
        )
        rows.append(
            LayerRow(
                name=name,
                kind=type(layer).__name__,
                output_shape=_channels_first(network.shapes[name]),
                params=params,
                trainable=params,
                buffers=buffers,
            )
        )
    return LayerTable(input_shape=_channels_first(network.shape), layers=rows)


def _channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[-1], *shape[:-1])


def write(network: Network, folder: ModelFolder, origin: Origin, images: ImageSource) -> ModelInfo:
    """Write the weights in the layout of the PyTorch twin, and ONNX if PyTorch is installed.

    Raises:
        TrainingError: The outputs of the exported network differ.
    """
    # When a training is restarted, the folder contains no valid model until the new one is written.
    folder.info.unlink(missing_ok=True)
    folder.onnx.unlink(missing_ok=True)
    write_arrays(folder.weights, to_twin(network.state))
    preprocessing = origin.preprocessing
    some = images[:_PARITY_IMAGES]
    params, macs = network.count_params(), count_macs(network)
    draft = draft_info(folder, origin, params=params, trainable=params, macs=macs, parity={})
    run = EngineNetwork(folder.weights, draft).run
    if find_module("torch") is not None and find_module("onnx") is not None:
        from eosin.exporting.onnx import export_twin

        run = export_twin(folder, draft).run
    shown = softmax(run(to_input(some, preprocessing)))
    wanted = network.predict(to_channels_last(some, preprocessing))
    gap = float(np.abs(shown - wanted).max())
    if not gap <= MAX_PROBABILITY_GAP:
        raise TrainingError(
            f"the written network differs from the trained one by {gap:.2g} in probability (at "
            f"most {MAX_PROBABILITY_GAP:g} is allowed)"
        )
    parity = {"max_probability_gap": gap, "n_images": len(some)}
    return draft.model_copy(update={"parity": parity})


def count_macs(network: Network) -> int:
    """Return the multiply-accumulates of convolutions and dense layers for one image."""
    total = 0
    for name, layer in network.layers.items():
        weight = layer.parameters.get("weight")
        if weight is not None and weight.ndim > 1:
            # One product per weight at every position of the output.
            total += weight.size * int(np.prod(network.shapes[name][:-1]))
    return total


def measure(recipe: Recipe, start: Start, inputs: FitInputs) -> Measured:
    """Count weights and operations, and time a few training steps."""
    del start  # checked: it is nowhere
    network = _build(recipe, inputs)
    params, macs = network.count_params(), count_macs(network)
    return Measured(params, macs, probe(network, recipe.train, inputs))
