from __future__ import annotations

import pytest
import torch
from error_codes import raises_code
from torch import Tensor

from goldfold.anomaly import k_center


def gaussian(n: int, d: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def clustered(n: int, d: int) -> Tensor:
    """Forty clusters of very different spread, so that bounds of very different age meet in one round."""
    rng = torch.Generator().manual_seed(1)
    which = torch.randint(40, (n,), generator=rng)
    return 3 * gaussian(40, d)[which] + torch.rand(40, 1, generator=rng)[which] * gaussian(n, d)


def nearness(points: Tensor, chosen: Tensor) -> Tensor:
    """How far each pick was from those before it, over the largest distance any point had: 1 for exact greedy picks."""
    points = points.double()
    best = (points - points[chosen[0]]).norm(dim=1)
    shares = []
    for pick in chosen[1:]:
        shares.append(best[pick] / best.max())
        best = torch.minimum(best, (points - points[pick]).norm(dim=1))
    return torch.stack(shares)


@pytest.mark.parametrize("offset", [0, 1e3])
@pytest.mark.parametrize("make", [gaussian, clustered])
def test_every_pick_is_the_farthest_point(make, offset):
    points = make(3_500, 16) + offset  # several pools, so that old bounds are at work
    chosen = k_center.greedy_k_center(points, 500, first=7)
    assert chosen[0] == 7
    assert len(set(chosen.tolist())) == len(chosen) == 500
    assert nearness(points, chosen).min() > 1 - 1e-5


def test_picks_are_those_of_the_plain_algorithm():
    points = clustered(2_500, 3)
    distances = torch.cdist(points.double(), points.double())
    expected = [0]
    for _ in range(199):
        expected.append(int(distances[expected].amin(0).argmax()))
    assert k_center.greedy_k_center(points, 200).tolist() == expected


def test_the_head_of_a_coreset_is_a_coreset():
    points = clustered(3_000, 8)
    assert k_center.greedy_k_center(points, 900)[:250].tolist() == k_center.greedy_k_center(points, 250).tolist()


def test_copies_come_last_and_no_position_twice():
    points = gaussian(400, 6).repeat(3, 1)
    chosen = k_center.greedy_k_center(points, 1_200)
    assert sorted((chosen[:400] % 400).tolist()) == list(range(400))
    assert sorted(chosen.tolist()) == list(range(1_200))


def test_identical_points_are_still_distinct_positions():
    assert sorted(k_center.greedy_k_center(torch.ones(5, 3), 5, first=4).tolist()) == [0, 1, 2, 3, 4]
    assert k_center.greedy_k_center(torch.ones(1, 3), 1).tolist() == [0]


def test_progress_ends_with_all_chosen():
    reported = []
    k_center.greedy_k_center(gaussian(3_000, 8), 400, progress=lambda done, total: reported.append((done, total)))
    assert reported[-1] == (400, 400)
    assert reported == sorted(reported)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_pick_is_the_farthest_point_on_cuda():
    points = clustered(3_500, 16)
    chosen = k_center.greedy_k_center(points.cuda(), 500)
    assert chosen.is_cuda
    assert nearness(points, chosen.cpu()).min() > 1 - 1e-5


def test_the_covering_radius_is_the_largest_distance_to_a_center():
    points = clustered(2_000, 8) + 1e3
    centers = points[k_center.greedy_k_center(points, 100)]
    expected = torch.cdist(points.double(), centers.double()).amin(1).max().item()
    assert k_center.coverage_radius(points, centers) == pytest.approx(expected, rel=1e-6)
    assert k_center.coverage_radius(points, points) == 0


@pytest.mark.parametrize(
    ("points", "size", "first", "code", "fact"),
    [
        (torch.empty(0, 3), 1, 0, "wrong_feature_shape", "array of points"),
        (torch.ones(4), 1, 0, "wrong_feature_shape", "(4,)"),
        (torch.ones(4, 3), 5, 0, "coreset_size_out_of_range", "1 to 4 of them, got 5"),
        (torch.ones(4, 3), 0, 0, "coreset_size_out_of_range", "got 0"),
        (torch.ones(4, 3), 2, 4, "first_out_of_range", "0 to 3, got 4"),
        (torch.tensor([[1.0], [float("nan")]]), 1, 0, "features_not_finite", "array of points"),
        (torch.tensor([[1.0], [float("inf")]]), 1, 0, "features_not_finite", "array of points"),
    ],
)
def test_what_has_no_coreset_is_refused(points, size, first, code, fact):
    with raises_code(code, fact):
        k_center.greedy_k_center(points, size, first=first)


def test_no_centers_and_no_points_have_no_radius():
    with raises_code("wrong_feature_shape", "memory bank"):
        k_center.coverage_radius(torch.ones(4, 3), torch.empty(0, 3))
    with raises_code("wrong_feature_shape", "array of points"):
        k_center.coverage_radius(torch.empty(0, 3), torch.ones(4, 3))
