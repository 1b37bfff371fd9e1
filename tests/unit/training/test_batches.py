"""The order of images is a pure function of (seed, epoch)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eosin.training.data import ImagePart
from eosin.training.loader import read_part
from eosin.training.sampler import EpochBatches


def rows(n_rows, batch_size, seed, epoch=0):
    batches = EpochBatches(n_rows, batch_size, seed)
    found = batches.of(epoch)
    assert len(found) == len(batches)
    return found


@given(n_rows=st.integers(1, 70), batch_size=st.integers(1, 20), seed=st.integers(0, 5))
def test_every_image_once(n_rows, batch_size, seed):
    found = rows(n_rows, batch_size, seed)
    assert sorted(row for batch in found for row in batch) == list(range(n_rows))
    if batch_size > 1 and n_rows > 1:
        assert min(len(batch) for batch in found) > 1
        assert max(len(batch) for batch in found) <= batch_size + 1


@pytest.mark.parametrize(
    ("n_rows", "sizes"),
    [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (5, [5]), (4, [4]), (3, [3]), (1, [1])],
)
def test_a_last_batch_of_one_joins_its_neighbour(n_rows, sizes):
    assert [len(batch) for batch in rows(n_rows, 4, 0)] == sizes


def test_the_order_follows_seed_and_epoch_alone():
    assert rows(20, 6, 1, 3) == rows(20, 6, 1, 3)
    assert rows(20, 6, 1, 3) != rows(20, 6, 1, 4)
    assert rows(20, 6, 1, 3) != rows(20, 6, 2, 3)


def test_without_a_seed_the_table_s_order_stays():
    assert rows(5, 2, None, 9) == [[0, 1], [2, 3, 4]]


def test_a_batch_holds_what_its_indices_say():
    images = np.arange(7 * 12, dtype=np.uint8).reshape(7, 2, 2, 3)
    targets = np.arange(7) % 3
    part = ImagePart(images, targets)
    for rows_ in rows(7, 3, 0):
        batch, target, index = read_part(part, rows_)
        assert index.tolist() == rows_
        np.testing.assert_array_equal(batch, images[index])
        np.testing.assert_array_equal(target, targets[index])
        assert batch.shape == (len(index), 2, 2, 3)
