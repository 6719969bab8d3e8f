from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from error_codes import raises_code
from sklearn.neighbors import NearestNeighbors

from goldfold.anomaly import memory_bank

MEASURE = """
import torch
from goldfold.anomaly import memory_bank
def mebibytes(field):  # getrusage would begin with the peak of the parent process
    return int(open("/proc/self/status").read().split(field + ":")[1].split()[0]) / 1024
torch.set_num_threads(1)
bank, queries = torch.randn(50_000, 32), torch.randn(2_000, 32)
memory_bank.nearest(queries[:300], bank[:5_000], 2)
before = mebibytes("VmRSS")
memory_bank.nearest(queries, bank, 2)
print(mebibytes("VmHWM") - before)
"""


def normal(*shape: int, seed: int = 0, offset: float = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + offset


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("offset", [0, 1e3])
def test_neighbors_are_those_of_scikit_learn(k, offset):
    bank, queries = normal(9_000, 24, offset=offset), normal(700, 24, seed=1, offset=offset)
    distances, positions = memory_bank.nearest(queries, bank, k)
    reference = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank.double().numpy())
    expected, where = reference.kneighbors(queries.double().numpy())
    np.testing.assert_allclose(distances.numpy(), expected, rtol=1e-6)
    assert (positions.numpy() == where).all()
    assert distances.dtype == torch.float32


def test_a_row_of_the_memory_bank_is_its_own_neighbor_at_distance_zero():
    bank = normal(500, 8, offset=1e3)
    distances, positions = memory_bank.nearest(bank, bank, 1)
    assert (distances == 0).all()
    assert (positions[:, 0] == torch.arange(500)).all()


def test_distances_far_below_the_size_of_the_features_are_kept():
    bank = normal(50, 16)
    queries = bank + 1e-5 * normal(50, 16, seed=1)
    expected = (queries.double() - bank.double()).norm(dim=1)
    distances, _ = memory_bank.nearest(queries, bank, 1)
    torch.testing.assert_close(distances[:, 0], expected.float(), rtol=1e-5, atol=0)


def test_doubles_and_halves_are_compared_too():
    bank = normal(300, 8)
    expected = memory_bank.nearest(bank[:9], bank, 3)
    for found, wanted in zip(memory_bank.nearest(bank[:9].double(), bank.double(), 3), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    halves = (1000 * bank).half()  # the norm of all of them is beyond half precision
    assert (memory_bank.nearest(halves, halves, 1)[0] == 0).all()


def test_no_query_has_no_neighbors():
    distances, positions = memory_bank.nearest(torch.empty(0, 4), normal(5, 4), 2)
    assert distances.shape == positions.shape == (0, 2)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's memory as Linux tells it")
def test_neighbors_need_no_more_memory_than_stated():
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert float(done.stdout) < memory_bank.MEMORY  # all distances at once would be 381 MiB


def patchcore(patches: np.ndarray, bank: np.ndarray, neighbors: int) -> float:
    """Equations 6 and 7 of Roth et al. 2022 for one image, as the paper writes them."""
    distances = np.linalg.norm(patches[:, None] - bank, axis=2)
    worst = distances.min(1).argmax()
    nearest = distances[worst].argmin()
    around = np.argsort(np.linalg.norm(bank - bank[nearest], axis=1), kind="stable")[:neighbors]
    weight = 1 - np.exp(distances[worst, nearest]) / np.exp(distances[worst, around]).sum()
    return weight * distances[worst, nearest]


@pytest.mark.parametrize("neighbors", [2, 9, 1000])
def test_image_scores_are_those_of_the_paper(neighbors):
    bank, patches = normal(60, 12), normal(7, 30, 12, seed=1)
    scores, distances = memory_bank.image_scores(patches, bank, neighbors)
    expected = [patchcore(image, bank.double().numpy(), neighbors) for image in patches.double().numpy()]
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-5, rtol=0)
    assert distances.shape == (7, 30)
    torch.testing.assert_close(distances, torch.cdist(patches, bank).amin(2))


def test_an_image_scores_the_same_whatever_is_beside_it():
    bank, patches = normal(60, 12), normal(7, 30, 12, seed=1)
    together, _ = memory_bank.image_scores(patches, bank)
    alone = torch.cat([memory_bank.image_scores(image[None], bank)[0] for image in patches])
    torch.testing.assert_close(together, alone)


def test_distant_features_do_not_overflow_the_weights():
    bank, patches = 1e4 * normal(40, 8), 1e4 * normal(3, 5, 8, seed=1)
    assert memory_bank.image_scores(patches, bank)[0].isfinite().all()


@pytest.mark.parametrize(("rows", "neighbors"), [(1, 9), (60, 1)])
def test_a_single_neighbor_weighs_nothing(rows, neighbors):
    scores, distances = memory_bank.image_scores(normal(4, 6, 5), normal(rows, 5, seed=1), neighbors)
    assert (scores == distances.amax(1)).all()
    assert (scores > 0).all()


def test_vector_scores_are_mean_squared_differences():
    bank, features = normal(80, 16), normal(9, 16, seed=1)
    squares = (features[:, None] - bank).square().mean(2).sort(1).values
    torch.testing.assert_close(memory_bank.vector_scores(features, bank), squares[:, 0])
    torch.testing.assert_close(memory_bank.vector_scores(features, bank, 3), squares[:, :3].mean(1))


NOT_A_NUMBER = torch.tensor([[0.0, float("nan")]])


@pytest.mark.parametrize(
    ("queries", "bank", "k", "code", "fact"),
    [
        (torch.ones(2, 3), torch.empty(0, 3), 1, "wrong_feature_shape", "memory bank"),
        (torch.ones(2, 3), torch.ones(4, 2), 1, "feature_width_differs", "(2), got (2, 3)"),
        (torch.ones(3), torch.ones(4, 3), 1, "feature_width_differs", "(3,)"),
        (NOT_A_NUMBER, torch.ones(4, 2), 1, "features_not_finite", "array of queries"),
        (torch.ones(1, 2), NOT_A_NUMBER, 1, "features_not_finite", "memory bank"),
        (torch.ones(2, 3), torch.ones(4, 3), 5, "neighbors_out_of_range", "1 and the 4 rows of the memory bank, got 5"),
        (torch.ones(2, 3), torch.ones(4, 3), 0, "neighbors_out_of_range", "got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(queries, bank, k, code, fact):
    with raises_code(code, fact):
        memory_bank.nearest(queries, bank, k)


@pytest.mark.parametrize(
    ("patches", "neighbors", "code", "fact"),
    [
        (torch.ones(2, 0, 3), 9, "wrong_feature_shape", "(2, 0, 3)"),
        (torch.ones(2, 3), 9, "wrong_feature_shape", "(2, 3)"),
        (torch.ones(2, 1, 3), 0, "neighbors_out_of_range", "got 0"),
        (torch.ones(2, 1, 4), 9, "feature_width_differs", "(3)"),
    ],
)
def test_images_that_cannot_be_scored_are_refused(patches, neighbors, code, fact):
    with raises_code(code, fact):
        memory_bank.image_scores(patches, torch.ones(4, 3), neighbors)
