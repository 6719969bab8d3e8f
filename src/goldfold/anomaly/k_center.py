"""Greedy k-center coreset selection, exact, with lazy updates of the distances."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from goldfold.anomaly import memory_bank
from goldfold.errors import GoldfoldError

POOL = 1024  # large enough for many picks per round, small enough for the processor's cache
PART = 256
CHOSEN = -1.0  # below every squared distance: a point is never chosen twice


def greedy_k_center(
    points: Tensor, size: int, *, first: int = 0, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """Greedy k-center coreset: each chosen point is the farthest from all those chosen before.

    Returns positions, int64 (size,).

    points: float (n, d), n >= size >= 1, on any device; computed in float32. No position comes twice. Equal points may
    be chosen one after the other once all others are chosen. Any first part of the result is a coreset itself.
    first: the position to begin with (PatchCore draws it at random).
    progress: called with (number chosen so far, size) from time to time.

    This is farthest-first traversal (Gonzalez 1985; Roth et al. 2022, section 3.2), pick by pick. Squared distances are
    |x|² + |c|² - 2x·c around the mean; among points whose distances differ by less than rounding any may come first.

    Distances to the nearest center only shrink, so an old distance is an upper bound of the current one. The `POOL`
    points with the largest bounds are updated, and picks are made among them until none of them reaches the bounds of
    the other points. Points that never come near the covering radius are never updated again.

    Raises GoldfoldError for no points, values that are not finite, and a size or a first position out of range.
    """
    _check(points, size, first)
    points = points.float() - points.float().mean(0)  # far from zero, squares would cancel the differences
    chosen = torch.tensor([first], device=points.device)
    bounds = (points - points[first]).square_().sum(1)
    bounds[first] = CHOSEN
    counted = torch.ones_like(bounds, dtype=torch.int64)  # number of chosen points that each bound takes into account
    while len(chosen) < size:
        pool, beyond = _farthest(bounds)
        members = points[pool]
        current = _updated(bounds[pool], counted[pool], members, points, chosen)
        picks, bounds[pool] = _picked(members, current, beyond, size - len(chosen))
        chosen = torch.cat([chosen, pool[picks]])
        counted[pool] = len(chosen)
        if progress is not None:
            progress(len(chosen), size)
    return chosen


def coverage_radius(points: Tensor, centers: Tensor) -> float:
    """The largest distance of a point to its nearest center, in bounded memory.

    points: float (n, d). centers: float (m, d). Raises GoldfoldError as `memory_bank.nearest` does.
    """
    memory_bank.check_features("array of points", points)
    distances, _ = memory_bank.nearest(points, centers, 1)
    return distances.max().item()


def _check(points: Tensor, size: int, first: int) -> None:
    memory_bank.check_features("array of points", points)
    if not 1 <= size <= len(points):
        raise GoldfoldError(
            "coreset_size_out_of_range",
            f"a coreset of {len(points)} points has 1 to {len(points)} of them, got {size}: change the size",
        )
    if not 0 <= first < len(points):
        raise GoldfoldError(
            "first_out_of_range", f"the first of {len(points)} points is 0 to {len(points) - 1}, got {first}: change it"
        )


def _farthest(bounds: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the `POOL` largest bounds, and the largest bound of the other points."""
    largest, positions = bounds.topk(min(POOL + 1, len(bounds)))
    beyond = largest[POOL] if len(bounds) > POOL else bounds.new_tensor(CHOSEN)
    return positions[:POOL], beyond


def _updated(bounds: Tensor, counted: Tensor, members: Tensor, points: Tensor, chosen: Tensor) -> Tensor:
    """Squared distances of the members to the nearest of all chosen points, from `bounds` that count the first few."""
    oldest = int(counted.min())
    centers = points[chosen[oldest:]]
    norms, member_norms = centers.square().sum(1), members.square().sum(1)
    for part in counted.argsort().split(PART):  # members updated at similar times share a product
        start = int(counted[part[0]]) - oldest
        if start < len(centers):
            products = torch.addmm(norms[start:], members[part], centers[start:].T, alpha=-2)
            squares = (products.amin(1) + member_norms[part]).clamp_(min=0)
            bounds[part] = torch.minimum(bounds[part], squares)
    return bounds


def _picked(members: Tensor, bounds: Tensor, beyond: Tensor, most: int) -> tuple[list[int], Tensor]:
    """Up to `most` farthest members, while no point outside can be farther, and the members' bounds afterwards."""
    norms = members.square().sum(1)
    picks: list[int] = []
    while len(picks) < most:
        farthest, position = bounds.max(0)
        if farthest < beyond:
            break
        pick = int(position)
        squares = torch.addmv(norms, members, members[pick], alpha=-2).add_(norms[pick])
        bounds = torch.minimum(bounds, squares.clamp_(min=0))
        bounds[pick] = CHOSEN
        picks.append(pick)
    return picks, bounds
