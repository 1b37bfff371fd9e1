"""What a network is evaluated on is never augmented, whatever it is trained on."""

import numpy as np
import torch

from eosin.images.preprocess import to_input


def look(network, seen):
    """Note what the network is given while it is evaluated, and how much it is trained on."""

    def note(module, inputs):
        seen["train" if module.training else "judged"].append(inputs[0].clone())

    network.register_forward_pre_hook(note)
    return network


def test_validation_images_are_the_stored_bytes_with_and_without_a_policy(train_tiny, make_network):
    stored = train_tiny.inputs("none").val.images
    wanted = to_input(stored, train_tiny.inputs("none").preprocessing)
    trained_on = {}
    for policy in ("none", "default"):
        seen = {"train": [], "judged": []}
        train_tiny(policy, network=look(make_network(), seen), policy=policy, epochs=2)
        evaluated = torch.cat(seen["judged"]).numpy()
        np.testing.assert_array_equal(evaluated, np.concatenate([wanted] * 2))  # once an epoch
        trained_on[policy] = torch.cat(seen["train"])
    assert trained_on["none"].shape == trained_on["default"].shape
    assert not torch.allclose(trained_on["none"], trained_on["default"], atol=0.1)
