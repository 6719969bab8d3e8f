"""Batches: order of an epoch, gathering from memory, splitting over processes, DataLoader workers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import get_worker_info

from goldfold.errors import GoldfoldError
from goldfold.nn import batches


def test_order_is_a_permutation_that_depends_on_seed_and_epoch_alone():
    first = batches.epoch_order(3, 0, 100)
    assert sorted(first) == list(range(100))
    assert np.array_equal(first, batches.epoch_order(3, 0, 100))
    assert not np.array_equal(first, batches.epoch_order(3, 1, 100))
    assert not np.array_equal(first, batches.epoch_order(4, 0, 100))
    assert np.array_equal(batches.epoch_order(3, 7, 5, shuffle=False), [0, 1, 2, 3, 4])


def test_in_memory_equals_indexing_batch_by_batch():
    rows, labels = torch.randn(103, 2, 3), torch.arange(103)
    maker = batches.in_memory((rows, labels), 10, seed=1)
    for epoch in (0, 5):
        order = torch.from_numpy(batches.epoch_order(1, epoch, 103))
        expected = [(rows[part], labels[part]) for part in order.split(10)]
        got = list(maker(epoch))
        assert len(maker(epoch)) == len(got) == 11
        for (row, label), (row_expected, label_expected) in zip(got, expected, strict=True):
            assert torch.equal(row, row_expected)
            assert torch.equal(label, label_expected)


def test_blocks_do_not_change_the_batches(monkeypatch):
    tensors = (torch.randn(57, 8), torch.arange(57))
    whole = list(batches.in_memory(tensors, 5, seed=0)(2))
    monkeypatch.setattr(batches, "GATHER_BYTES", 400)
    blocks = list(batches.in_memory(tensors, 5, seed=0)(2))
    assert len(whole) == len(blocks) == 12
    assert all(
        torch.equal(a, b) for one, other in zip(whole, blocks, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_drop_last_keeps_full_batches_only():
    sizes = [len(rows) for (rows,) in batches.in_memory((torch.arange(23),), 5, seed=0, drop_last=True)(0)]
    assert sizes == [5, 5, 5, 5]
    assert len(batches.in_memory((torch.arange(3),), 5, seed=0, drop_last=True)(0)) == 0
    assert list(batches.in_memory((torch.arange(3),), 5, seed=0, drop_last=True)(0)) == []


@pytest.mark.parametrize(
    ("n", "batch_size", "world_size"), [(103, 12, 4), (101, 10, 2), (24, 12, 3), (2, 4, 4), (50, 8, 1)]
)
def test_every_batch_is_split_equally_over_processes(n, batch_size, world_size):
    order = batches.epoch_order(0, 0, n)
    alone = batches.split_batches(order, batch_size)
    parts = [batches.split_batches(order, batch_size, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert len({tuple(len(part) for part in own) for own in parts}) == 1  # the same sizes on every rank, batch by batch
    for step, together in enumerate(zip(*parts, strict=True)):
        union = set(np.concatenate(together).tolist())
        assert len(union) == sum(map(len, together))
        assert union <= set(alone[step].tolist())
    seen = sum(len(part) for own in parts for part in own)
    assert n - world_size < seen <= n


def test_batch_size_must_be_a_multiple_of_the_processes():
    for batch_size, world_size in ((10, 3), (0, 1)):
        with pytest.raises(GoldfoldError, match=f"{batch_size} .*{world_size} processes") as error:
            batches.split_batches(np.arange(20), batch_size, world_size=world_size)
        assert error.value.code == "batch_size_not_divisible"


def sample(epoch: int, position: int) -> tuple[torch.Tensor, int, int]:
    noise = np.random.default_rng((epoch, position)).random(3)
    worker = get_worker_info()
    return torch.from_numpy(noise), position, -1 if worker is None else worker.id


@pytest.mark.parametrize("workers", [0, 2])
def test_from_dataset_follows_the_order_and_passes_the_epoch(workers):
    maker = batches.from_dataset(sample, 11, 4, seed=9, workers=workers)
    seen_workers = set()
    for epoch in (0, 1, 0):
        loaded = list(maker(epoch))
        assert len(maker(epoch)) == len(loaded) == 3
        positions = torch.cat([position for _, position, _ in loaded]).numpy()
        assert np.array_equal(positions, batches.epoch_order(9, epoch, 11))
        noise = torch.cat([noise for noise, _, _ in loaded])
        expected = torch.stack([sample(epoch, int(position))[0] for position in positions])
        assert torch.equal(noise, expected)
        seen_workers |= set(torch.cat([worker for _, _, worker in loaded]).tolist())
    assert seen_workers == ({-1} if workers == 0 else {0, 1})


@pytest.mark.parametrize("workers", [0, 2])
def test_from_dataset_does_not_change_the_global_random_state(workers):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(batches.from_dataset(sample, 5, 2, seed=0, workers=workers)(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_forward_passes_are_bounded_by_pixels():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert batches.prediction_batches(5, 2, 224, cpu) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert (batches.rows_at_once(32, 224, cpu), batches.rows_at_once(8, 2016, cpu)) == (32, 1)
    assert (batches.rows_at_once(8, 2016, gpu), batches.rows_at_once(8, 5000, cpu)) == (4, 1)
