"""Mixup against soft labels, CutMix against torchvision's; batches that balance classes, with and without workers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms import v2

from goldfold.nn import batches, class_losses, mixup

INPUTS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(20) % 4


def mixed(alpha: float = 1.0, seed: int = 0) -> mixup.Mixed:
    return mixup.batches(batches.in_memory((INPUTS, LABELS), 8, seed), alpha, seed)


def test_inputs_and_labels_are_mixed_by_the_same_share() -> None:
    plain = list(batches.in_memory((INPUTS, LABELS), 8, 0)(3))
    for batch, (inputs, labels) in zip(mixed()(3), plain, strict=True):
        partners, share = batch[2:]
        assert sorted(partners.tolist()) == list(range(len(inputs)))
        assert 0 < share < 1
        found, pairs = mixup.mix(batch)
        assert torch.equal(found, share * inputs + (1 - share) * inputs[partners])
        assert torch.equal(pairs.first, labels)
        assert torch.equal(pairs.second, labels[partners])


def test_the_loss_of_mixed_labels_is_torchs_of_soft_labels() -> None:
    logits = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    pairs = mixup.Pairs(LABELS, LABELS.flip(0), 0.3)
    soft = 0.3 * F.one_hot(pairs.first, 4) + 0.7 * F.one_hot(pairs.second, 4)
    found = mixup.mixed_loss(lambda *given: {"loss": class_losses.cross_entropy(*given, smoothing=0.1)}, logits, pairs)
    torch.testing.assert_close(found["loss"], F.cross_entropy(logits, soft, label_smoothing=0.1))


def test_weights_of_mixed_labels_are_normalized_by_their_mixed_sum() -> None:
    logits = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    pairs, weights = mixup.Pairs(LABELS, LABELS.flip(0), 0.3), torch.tensor([1.0, 2.0, 4.0, 0.5])
    rows = [class_losses.focal(logits, labels, weights=weights, reduction="none") for labels in pairs[:2]]
    total = (0.3 * weights[pairs.first] + 0.7 * weights[pairs.second]).sum()
    found = mixup.mixed_loss(lambda *given: {"loss": class_losses.focal(*given, weights=weights)}, logits, pairs)
    torch.testing.assert_close(found["loss"], (0.3 * rows[0] + 0.7 * rows[1]).sum() / total)


def test_mixing_depends_on_seed_and_epoch_alone() -> None:
    def shares(epoch: int, seed: int = 0) -> list[tuple[float, list[int]]]:
        return [(batch[3], batch[2].tolist()) for batch in mixed(seed=seed)(epoch)]

    torch.manual_seed(5)
    first = shares(2)
    torch.manual_seed(6)
    assert first == shares(2)
    assert len({share for share, _ in first}) == len(first)
    for other in (shares(3), shares(2, seed=1)):
        assert all(mine[0] != yours[0] and mine[1] != yours[1] for mine, yours in zip(first, other, strict=True))


def test_processes_draw_the_same_shares_and_partners_of_their_own(monkeypatch) -> None:
    def parts(rank: int) -> list:
        monkeypatch.setattr(batches, "rank_and_world_size", lambda: (rank, 2))
        monkeypatch.setattr(mixup, "rank_and_world_size", lambda: (rank, 2))
        return list(mixed()(0))

    first, second = parts(0), parts(1)
    assert [batch[3] for batch in first] == [batch[3] for batch in second]
    assert [batch[2].tolist() for batch in first] != [batch[2].tolist() for batch in second]
    assert all(batch[2].max() < len(batch[0]) for batch in first + second)


def test_without_mixup_batches_are_those_that_were_given() -> None:
    maker = batches.in_memory((INPUTS, LABELS), 8, 0)
    assert mixup.batches(maker, 0.0, 0) is maker
    inputs, labels = mixup.mix(next(iter(maker(0))))
    assert isinstance(labels, torch.Tensor)
    assert inputs.dtype == torch.float32


RARE = np.array([0] * 900 + [1] * 80 + [5] * 20)


def test_balanced_draws_show_every_class_equally_often() -> None:
    drawn = batches.balanced_order(0, 0, RARE)
    shares = [np.mean(RARE[drawn] == label) for label in (0, 1, 5)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.05)  # 3 sd of a share of 1,000 draws
    rare = np.bincount(drawn, minlength=1000)[980:]
    assert rare.min() > 3  # 17 expected, with replacement
    assert np.array_equal(drawn, batches.balanced_order(0, 0, RARE))
    assert not np.array_equal(drawn, batches.balanced_order(0, 1, RARE))
    assert not np.array_equal(drawn, batches.balanced_order(1, 0, RARE))


def sample(epoch: int, position: int) -> tuple[int, int]:
    return epoch, position


@pytest.mark.parametrize("workers", [0, 2])
def test_balanced_batches_are_the_same_from_memory_and_from_a_dataset(workers) -> None:
    from_dataset = batches.from_dataset(sample, 1000, 100, 7, workers, balance=RARE)(3)
    in_memory = batches.in_memory((torch.arange(1000),), 100, 7, balance=RARE)(3)
    drawn = torch.cat([positions for _, positions in from_dataset])
    assert torch.equal(drawn, torch.cat([positions for (positions,) in in_memory]))
    assert np.array_equal(drawn.numpy(), batches.balanced_order(7, 3, RARE))


def test_processes_together_draw_the_balanced_batches_of_one(monkeypatch) -> None:
    def parts(rank: int, world_size: int) -> list[list[int]]:
        monkeypatch.setattr(batches, "rank_and_world_size", lambda: (rank, world_size))
        maker = batches.in_memory((torch.arange(1000),), 50, 3, balance=RARE)
        return [sorted(positions.tolist()) for (positions,) in maker(1)]

    together = [sorted(first + second) for first, second in zip(parts(0, 2), parts(1, 2), strict=True)]
    assert together == parts(0, 1)


class TorchvisionsDraws:
    """The numbers that torchvision's CutMix draws, given instead of drawn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, share: float, center: tuple[int, int]) -> None:
        row, column = center
        given = iter([torch.tensor([column]), torch.tensor([row])])  # it draws the column first
        monkeypatch.setattr(torch, "randint", lambda *args, **kwargs: next(given))
        self.share = share

    def sample(self, shape: tuple) -> torch.Tensor:
        return torch.tensor(self.share, dtype=torch.float64)


@pytest.mark.parametrize(
    ("share", "center"), [(0.5, (4, 5)), (0.9, (0, 0)), (0.05, (7, 11)), (0.3, (2, 10)), (1.0, (3, 3)), (0.0, (4, 6))]
)
def test_cutmix_is_torchvisions(share, center, monkeypatch):
    images = torch.randint(0, 256, (6, 8, 12, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(6) % 4
    theirs = v2.CutMix(num_classes=4)
    theirs._dist = TorchvisionsDraws(monkeypatch, share, center)
    wanted, soft = theirs(images.permute(0, 3, 1, 2), labels)
    place = (center[0] + 0.5) / 8, (center[1] + 0.5) / 12
    found, pairs = mixup.mix((images, labels, (torch.arange(6) - 1) % 6, share, place))
    assert torch.equal(found.permute(0, 3, 1, 2), wanted)
    own = pairs.share * F.one_hot(pairs.first, 4) + (1 - pairs.share) * F.one_hot(pairs.second, 4)
    torch.testing.assert_close(own, soft, check_dtype=False)


def test_cutmix_and_mixup_take_turns_and_repeat():
    images = torch.zeros(64, 8, 8, 1, dtype=torch.uint8)
    maker = mixup.batches(batches.in_memory((images, torch.arange(64) % 4), 2, 0), 0.2, 0, 1.0)
    drawn = [batch[3:] for batch in maker(1)]
    assert drawn == [batch[3:] for batch in maker(1)]
    cut = [each for each in drawn if len(each) == 2]
    assert 8 < len(cut) < 24  # of 32 batches, half of them in the mean
    assert len({center for _, center in cut}) == len(cut)
    alone = [len(batch) for batch in mixup.batches(batches.in_memory((images, images), 2, 0), 0.0, 0, 1.0)(1)]
    assert set(alone) == {5}
