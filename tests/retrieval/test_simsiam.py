"""SimSiam's loss, heads and learning rates against slow implementations of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from goldfold.retrieval import simsiam


def vectors(seed: int, n: int = 7, width: int = 5) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def by_hand(p1, p2, z1, z2) -> float:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))

    pairs = [part.double().numpy() for part in (p1, p2, z1, z2)]
    return float(np.mean([-(cosine(a, d) + cosine(b, c)) / 2 for a, b, c, d in zip(*pairs, strict=True)]))


def test_the_loss_is_that_of_the_paper():
    p1, p2, z1, z2 = map(vectors, range(4))
    assert simsiam.loss((p1, p2), (z1, z2)).item() == pytest.approx(by_hand(p1, p2, z1, z2), abs=1e-6)
    assert simsiam.loss((p1, p2), (p2, p1)).item() == pytest.approx(-1, abs=1e-6)


def test_no_gradient_flows_into_projections():
    p1, p2, z1, z2 = (vectors(seed).requires_grad_() for seed in range(4))
    simsiam.loss((p1, p2), (z1, z2)).backward()
    assert z1.grad is None
    assert z2.grad is None
    p, z = vectors(0).requires_grad_(), vectors(3)
    (-nn.functional.cosine_similarity(p, z).mean() / 2).backward()
    torch.testing.assert_close(p1.grad, p.grad)


def test_the_gradient_of_a_network_is_that_with_its_own_projections_as_constants():
    torch.manual_seed(0)
    encoder, head = simsiam.projector(5, 8, 6), simsiam.predictor(6)
    views = vectors(0, 12), vectors(1, 12)

    def gradients(detached: bool) -> list[torch.Tensor]:
        encoder.zero_grad()
        head.zero_grad()
        z = [encoder(view) for view in views]
        p = [head(one) for one in z]
        constant = [one.detach().clone() for one in z] if detached else z
        simsiam.loss(tuple(p), tuple(constant)).backward()
        return [parameter.grad.clone() for parameter in (*encoder.parameters(), *head.parameters())]

    for found, expected in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_heads_are_built_as_published():
    projector, predictor = simsiam.projector(512, 2048, 2048), simsiam.predictor(2048)
    assert sum(parameter.numel() for parameter in projector.parameters()) == 9_445_376  # 9.4 million
    assert [type(layer).__name__ for layer in projector] == ["Linear", "BatchNorm1d", "ReLU"] * 2 + [
        "Linear",
        "BatchNorm1d",
    ]
    assert projector[-1].affine is False
    assert all(layer.bias is None for layer in projector if isinstance(layer, nn.Linear))
    assert (predictor[0].out_features, predictor[0].bias) == (512, None)
    assert predictor[-1].bias is not None


def test_temporal_term_counts_images_with_a_known_later_frame_only():
    p, z = vectors(0), vectors(1)
    known = torch.tensor([True, False, True, False, False, True, True])
    chosen = nn.functional.cosine_similarity(p[known], z[known]).mean()
    heads = [(vectors(2), p), (vectors(3), vectors(4)), z]
    found = simsiam.loss_terms(heads, 0.2, known)
    assert found["temporal"].item() == pytest.approx(-0.2 * chosen.item(), abs=1e-6)
    assert found["simsiam"].item() == pytest.approx(by_hand(p, vectors(4), vectors(2), vectors(3)), abs=1e-6)
    assert simsiam.loss_terms(heads, 0.2, torch.zeros(7, dtype=torch.bool))["temporal"] == 0
    assert list(simsiam.loss_terms(heads[:2], 0.2, None)) == ["simsiam"]


def test_learning_rates_equal_torchs_cosine_over_the_planned_epochs():
    def rates(schedule, optimizer, epochs: int) -> list[list[float]]:
        found = []
        for _ in range(epochs):
            found.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            schedule.step()
        return found

    def sgd() -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": [nn.Parameter(torch.ones(1))]} for _ in range(2)], lr=0.05)

    for planned, epochs in ((None, 20), (100, 20)):
        one, two = sgd(), sgd()
        own = rates(simsiam.schedule(one, epochs, 9, planned=planned, fixed_predictor=True), one, epochs)
        reference = rates(torch.optim.lr_scheduler.CosineAnnealingLR(two, planned or epochs), two, epochs)
        np.testing.assert_allclose([first for first, _ in own], [first for first, _ in reference], atol=1e-12)
        assert {second for _, second in own} == {0.05}
    assert one.param_groups[0]["lr"] == pytest.approx(0.04523, abs=5e-6)  # after 20 of 100 planned epochs
