"""FastAP against pytorch-metric-learning and a slow implementation; losses of untrained embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses

from goldfold.retrieval import losses as metric_losses


def embeddings(n: int, width: int = 16, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def slow_fastap(given: torch.Tensor, labels: list[int], bins: int, sigma: float | None) -> float:
    """Anchor by anchor, bin by bin; sigma None: the triangular kernel."""
    units = given.numpy() / np.linalg.norm(given.numpy(), axis=1, keepdims=True)
    width, found = 4 / bins, []
    centers = [width * bin_ for bin_ in range(bins + 1)]
    for i in range(len(units)):
        positive, everyone, rights = np.zeros(bins + 1), np.zeros(bins + 1), 0
        for j in range(len(units)):
            if i == j:
                continue
            d = 2 - 2 * float(units[i] @ units[j])
            if sigma is None:
                counts = np.array([max(0, 1 - abs(d - c) / width) for c in centers])
            else:
                counts = np.array([np.exp(-((d - c) ** 2) / (2 * sigma**2)) for c in centers])
                counts /= counts.sum()
            everyone += counts
            if labels[i] == labels[j]:
                positive += counts
                rights += 1
        if rights:
            seen, below = np.cumsum(positive), np.cumsum(everyone)
            terms = [positive[b] * seen[b] / below[b] if below[b] > 0 else 0 for b in range(bins + 1)]
            found.append(sum(terms) / rights)
    return 1 - float(np.mean(found))


LABELS = [0, 0, 1, 1, 1, 2, 3, 3, 3, 3, 0, 4]


@pytest.mark.parametrize("bins", [10, 100])
def test_fastap_equals_the_library_and_the_definition(bins):
    given, labels = embeddings(12), torch.tensor(LABELS)
    found = metric_losses.create("fastap", bins=bins)(given, labels)
    assert found.item() == pytest.approx(losses.FastAPLoss(bins)(given, labels).item(), abs=1e-6)
    assert found.item() == pytest.approx(slow_fastap(given, LABELS, bins, None), abs=1e-6)


@pytest.mark.parametrize(("bins", "sigma"), [(10, 0.3), (100, 0.05), (10, 0.01)])
def test_gaussian_fastap_equals_its_definition(bins, sigma):
    given, labels = embeddings(12), torch.tensor(LABELS)
    found = metric_losses.create("fastap", bins=bins, kernel="gaussian", sigma=sigma)(given, labels)
    if sigma > 0.02:  # below, the plain quotient is 0 / 0 between two centers
        assert found.item() == pytest.approx(slow_fastap(given, LABELS, bins, sigma), abs=1e-6)
    assert found.isfinite()


@pytest.mark.parametrize("kernel", ["triangular", "gaussian"])
def test_fastap_has_the_gradient_of_its_value(kernel):
    loss, labels = metric_losses.create("fastap", bins=10, kernel=kernel, sigma=0.3), torch.tensor(LABELS)
    given = embeddings(12, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: loss(values, labels), given, eps=1e-6, atol=1e-5)


def test_without_a_positive_the_loss_is_0_and_has_a_gradient():
    for kernel in ("triangular", "gaussian"):
        given = embeddings(5).requires_grad_()
        loss = metric_losses.create("fastap", kernel=kernel)(given, torch.arange(5))
        loss.backward()
        assert loss == 0


@pytest.mark.parametrize(
    ("batch", "settings", "mean_ap", "of_many"),
    [
        (128, {"bins": 10}, 0.0105, 0.0101),
        (128, {"bins": 100}, 0.0303, 0.0290),
        (128, {"bins": 100, "kernel": "gaussian", "sigma": 0.05}, 0.0185, 0.0182),
        (64, {"bins": 10}, 0.0204, 0.0204),
        (64, {"bins": 100}, 0.0570, 0.0527),
        (64, {"bins": 100, "kernel": "gaussian", "sigma": 0.05}, 0.0328, 0.0345),
    ],
)
def test_random_embeddings_with_one_positive_each_have_the_known_mean_ap(batch, settings, mean_ap, of_many):
    labels = [torch.arange(batch // 2).repeat(2)] * 3
    found = metric_losses.untrained_loss(metric_losses.create("fastap", **settings), labels, 256, seed=0)
    assert 1 - found.value == pytest.approx(mean_ap, abs=found.sd * 3**0.5)  # of one batch: these were few
    assert abs(1 - found.value - of_many) < 4 * found.sd * (3 / metric_losses.UNTRAINED_BATCHES) ** 0.5


@pytest.mark.parametrize("batch", [64, 128])
def test_collapsed_embeddings_have_an_ap_of_one_in_all_others(batch):
    for kernel in ("triangular", "gaussian"):
        loss = metric_losses.create("fastap", kernel=kernel)
        found = loss(torch.ones(batch, 8), torch.arange(batch // 2).repeat(2))
        assert 1 - found.item() == pytest.approx(1 / (batch - 1), abs=1e-4)


def test_standard_deviation_of_an_epoch_is_that_over_many_epochs():
    loss, labels = metric_losses.create("fastap"), [torch.arange(16).repeat(2)] * 5
    found = metric_losses.untrained_loss(loss, labels, 32, seed=0)
    epochs = [np.mean([loss(embeddings(32, 32, 5 * k + b), labels[0]).item() for b in range(5)]) for k in range(200)]
    assert found.value == pytest.approx(np.mean(epochs), abs=3 * found.sd / 8**0.5)
    assert found.sd == pytest.approx(np.std(epochs), rel=0.4)


def test_class_weights_of_arcface_are_parameters_and_its_margin_is_in_degrees():
    torch.manual_seed(0)
    loss = metric_losses.create("arcface", classes=5, width=16, margin=20.0)
    reference = losses.ArcFaceLoss(5, 16, margin=20.0)
    reference.load_state_dict(loss.loss.state_dict())
    given, labels = embeddings(12, dtype=torch.float32), torch.tensor(LABELS)
    assert [tuple(value.shape) for value in loss.parameters()] == [(16, 5)]
    assert loss(given, labels).item() == pytest.approx(reference(given, labels).item(), abs=1e-6)


@pytest.mark.parametrize("miner", ["multi_similarity", "semihard", "hardest"])
def test_miner_selects_the_pairs_of_the_loss(miner):
    given, labels = embeddings(12, dtype=torch.float32), torch.tensor(LABELS)
    given = given + 6 * torch.eye(16)[labels]
    mined = metric_losses.create("multi_similarity", miner=miner)
    expected = losses.MultiSimilarityLoss()(given, labels, mined.miner(given, labels))
    assert mined(given, labels).item() == pytest.approx(expected.item())
    assert mined(given, labels).item() != pytest.approx(losses.MultiSimilarityLoss()(given, labels).item())


@pytest.mark.parametrize("name", ["fastap", "triplet", "contrastive", "arcface", "multi_similarity"])
def test_losses_are_in_float32_under_autocast(name):
    torch.manual_seed(0)
    loss = metric_losses.create(name, classes=5, width=16)
    given, labels = embeddings(12, dtype=torch.bfloat16), torch.tensor(LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(given, labels)
    assert found.dtype == torch.float32
    assert found.item() == loss(given.float(), labels).item()
