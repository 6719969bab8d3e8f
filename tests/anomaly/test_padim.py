"""Gaussians at places, against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from error_codes import raises_code
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import EmpiricalCovariance

from goldfold.anomaly import padim


def drawn(images: int = 60, places: int = 70, d: int = 5, seed: int = 0) -> torch.Tensor:
    """Features whose mean and spread differ from place to place."""
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(places, d, d, generator=torch.Generator().manual_seed(9))
    plain = torch.randn(images, places, d, generator=draw)
    return torch.einsum("npd,pde->npe", plain, mixing) + torch.arange(places)[:, None]


def test_distances_are_those_of_scipy_on_scikit_learns_covariance():
    normal, others = drawn(), drawn(7, seed=1) + 2
    found = padim.distances(others, padim.fit(normal, 0.1))
    assert found.shape == (7, 70)
    for place in (0, 31, 32, 69):
        known = EmpiricalCovariance().fit(normal[:, place].double().numpy())
        covariance = known.covariance_ + 0.1 * known.covariance_.trace() / 5 * np.eye(5)
        wanted = [mahalanobis(each, known.location_, np.linalg.inv(covariance)) for each in others[:, place].double()]
        assert found[:, place].numpy() == pytest.approx(wanted, rel=1e-3)


def test_fewer_images_than_features_tell_something_still():
    normal = drawn(images=4)
    known = padim.fit(normal, 0.1)
    assert padim.distances(normal, known).max() < padim.distances(normal + 50, known).min()


def test_half_precision_is_read_as_it_is():
    normal = drawn().half()
    assert padim.fit(normal, 0.1).mean.dtype == torch.float32
    assert torch.equal(padim.fit(normal, 0.1).factor, padim.fit(normal.float(), 0.1).factor)


@pytest.mark.parametrize(
    ("features", "shrinkage", "code"),
    [
        (drawn(images=1), 0.1, "too_few_images"),
        (drawn()[0], 0.1, "too_few_images"),
        (drawn(), 0.0, "shrinkage_not_positive"),
        (drawn() * torch.nan, 0.1, "features_not_finite"),
    ],
)
def test_what_tells_no_gaussian_is_refused(features, shrinkage, code):
    with raises_code(code):
        padim.fit(features, shrinkage)


def test_positions_without_variance_have_the_gaussian_of_the_floor():
    """A constant background: all positions but the first are equal in all images."""
    normal = drawn()
    constant = normal.clone()
    constant[:, 1:] = constant[:1, 1:]
    gaussians = padim.fit(constant, 0.1)
    shift = torch.tensor([0.3, 0.4, 0, 0, 0])
    same, moved = (padim.distances(constant[:1] + by, gaussians)[0] for by in (0 * shift, shift))
    assert (same[1:] < 1e-3).all()
    assert moved[1:].numpy() == pytest.approx(0.5 / padim.FLOOR**0.5, rel=1e-3)  # Euclidean, in units of the floor
    assert torch.equal(padim.fit(normal[:, :1], 0.1).factor[0], gaussians.factor[0])


def test_rounding_of_a_constant_background_is_no_defect():
    """Features that a resized or compressed background moves a little, beside an object that varies as usual."""
    normal = drawn()
    normal[:, 1:] = 1 + 1e-3 * torch.randn(normal[:, 1:].shape, generator=torch.Generator().manual_seed(2))
    gaussians = padim.fit(normal, 0.1)
    rounded, usual = 1 + torch.full((1, 70, 5), 0.01), padim.distances(normal, gaussians)[:, 0].max()
    assert padim.distances(rounded, gaussians)[0, 1:].max() < usual


def test_images_that_are_all_equal_have_gaussians_too():
    gaussians = padim.fit(torch.ones(5, 2, 3), 0.1)
    assert padim.distances(torch.full((1, 2, 3), 2.0), gaussians).numpy() == pytest.approx(3**0.5 / 0.1, rel=1e-4)
