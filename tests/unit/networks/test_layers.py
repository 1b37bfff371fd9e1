"""A network's layers: P1's Table 3, and modules that are odd."""

import torch
from torch import nn

from eosin.networks import build_network
from eosin.networks.layers import list_layers

#: P1, Table 3: kind, output shape, parameters; the rows above conv2d_5 follow from the same rule.
#: Keras counts batch-norm's moving mean and variance as parameters.
TABLE_3 = [
    *[("Conv2d", (32, 96, 96), 2_432), ("Conv2d", (32, 96, 96), 9_248)],
    *[("Conv2d", (32, 96, 96), 9_248), ("BatchNorm2d", (32, 96, 96), 128)],
    *[("MaxPool2d", (32, 48, 48), 0), ("Dropout", (32, 48, 48), 0)],
    *[("Conv2d", (64, 48, 48), 18_496), ("Conv2d", (64, 48, 48), 36_928)],
    *[("Conv2d", (64, 48, 48), 36_928), ("BatchNorm2d", (64, 48, 48), 256)],
    *[("MaxPool2d", (64, 24, 24), 0), ("Dropout", (64, 24, 24), 0)],
    *[("Conv2d", (128, 24, 24), 73_856), ("Conv2d", (128, 24, 24), 147_584)],
    *[("Conv2d", (128, 24, 24), 147_584), ("BatchNorm2d", (128, 24, 24), 512)],
    *[("MaxPool2d", (128, 12, 12), 0), ("Dropout", (128, 12, 12), 0)],
    *[("Flatten", (18_432,), 0), ("Linear", (512,), 9_437_696)],
    *[("BatchNorm1d", (512,), 2_048), ("Dropout", (512,), 0), ("Linear", (2,), 1_026)],
]


def test_p1_s_table_3():
    with torch.device("meta"):
        network = build_network("cancervisionnet", num_classes=2, input_px=96, arguments={})
        table = list_layers(network, 96)
    rows = [row for row in table.layers if row.kind != "ReLU"]  # Keras has it inside the layer
    assert [(row.kind, row.output_shape, row.params + row.buffers) for row in rows] == TABLE_3
    assert (table.total.params, table.total.buffers) == (9_922_498, 1_472)
    assert table.input_shape == (3, 96, 96)


class Odd(nn.Module):
    """A module with a weight of its own, one that is called twice, and one never."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.conv = nn.Conv2d(3, 4, 1)
        self.act = nn.ReLU()
        self.same = nn.Identity()
        self.spare = nn.Linear(2, 2)
        self.unused = nn.ReLU()
        self.pool = nn.Flatten()

    def forward(self, images):
        features = self.same(self.act(self.conv(images))) * self.scale[:, None, None]
        return self.act(self.pool(features))


def test_own_weights_are_a_row_and_what_is_never_called_is_counted_if_it_has_weights():
    network = Odd()
    network.conv.requires_grad_(False)
    table = list_layers(network, 2)
    assert [(row.name, row.output_shape, row.params, row.trainable) for row in table.layers] == [
        ("", (16,), 4, 4),
        ("conv", (4, 2, 2), 16, 0),
        ("act", (4, 2, 2), 0, 0),
        ("spare", (), 6, 6),
        ("pool", (16,), 0, 0),
    ]
    assert (table.total.params, table.total.trainable) == (26, 10)


def test_the_network_is_as_before():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    list_layers(network, 4)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
