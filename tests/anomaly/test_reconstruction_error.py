from __future__ import annotations

import numpy as np
import pytest
import torch
from error_codes import raises_code
from skimage import data, filters
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from goldfold.anomaly import reconstruction_error


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two crops of a photograph, (2, 3, 64, 64), and what a good reconstruction of them looks like."""
    photograph = data.astronaut() / 255
    crops = np.stack([photograph[60:124, 200:264], photograph[300:364, 100:164]])
    blurred = np.stack([filters.gaussian(crop, 1, channel_axis=-1) for crop in crops])
    return tuple(torch.from_numpy(array).permute(0, 3, 1, 2).float().contiguous() for array in (crops, blurred))


def damaged(images: torch.Tensor) -> torch.Tensor:
    changed = images.clone()
    changed[0, :, 20:36, 20:36] = 1 - changed[0, :, 20:36, 20:36]
    return changed


def test_scores_equal_those_of_torchmetrics(pair):
    images, blurred = pair
    similarity = structural_similarity_index_measure(blurred, images, data_range=1.0, reduction="none")
    squares = ((images - blurred) ** 2).flatten(1).mean(1)
    score = reconstruction_error.score
    assert torch.allclose(score(reconstruction_error.ssim_error(*pair)), 1 - similarity, atol=1e-5)
    assert torch.allclose(score(reconstruction_error.squared_error(*pair)), squares, atol=1e-6)
    both = reconstruction_error.error_map(*pair, mse=1.0, ssim=0.25)
    assert torch.allclose(score(both), squares + 0.25 * (1 - similarity), atol=1e-5)


def test_the_map_equals_that_of_scikit_image_away_from_the_border(pair):
    images, blurred = (array.double() for array in pair)
    maps = reconstruction_error.ssim_error(images, blurred)
    _, similarity = structural_similarity(
        images[1].numpy(),
        blurred[1].numpy(),
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    inside = slice(5, -5)
    assert maps.shape == (2, 64, 64)
    assert np.allclose(maps[1, inside, inside], 1 - similarity.mean(axis=0)[inside, inside], atol=1e-9)


@pytest.mark.parametrize(("mse", "ssim"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_damage_raises_the_score_and_lights_up_where_it_is(pair, mse, ssim):
    images, blurred = pair
    good = reconstruction_error.error_map(images, blurred, mse, ssim)
    bad = reconstruction_error.error_map(damaged(images), blurred, mse, ssim)
    assert reconstruction_error.score(bad)[0] > reconstruction_error.score(good)[0] + 0.01
    assert torch.equal(bad[1], good[1])
    assert bad[0, 20:36, 20:36].mean() > 2 * bad[0].mean()


def test_equal_images_have_no_error(pair):
    images, _ = pair
    assert reconstruction_error.error_map(images, images).abs().max() < 1e-6


def test_a_weight_of_zero_leaves_its_part_out(pair):
    assert torch.equal(
        reconstruction_error.error_map(*pair, mse=2.0, ssim=0.0), 2 * reconstruction_error.squared_error(*pair)
    )
    assert torch.equal(reconstruction_error.error_map(*pair, mse=0.0), reconstruction_error.ssim_error(*pair))
    assert set(reconstruction_error.losses(*pair, mse=0.0)) == {"ssim"}


def test_losses_are_named_and_sum_to_the_mean_score(pair):
    losses = reconstruction_error.losses(*pair, mse=1.0, ssim=0.5)
    assert {name: term.shape for name, term in losses.items()} == {"mse": (), "ssim": ()}
    scores = reconstruction_error.score(reconstruction_error.error_map(*pair, mse=1.0, ssim=0.5))
    assert sum(losses.values()).item() == pytest.approx(scores.mean().item(), rel=1e-5)


@pytest.mark.parametrize(("mse", "ssim"), [(1.0, 0.0), (0.0, 1.0)])
def test_descending_the_gradient_brings_the_reconstruction_nearer(pair, mse, ssim):
    images = pair[0]
    guess = torch.full_like(images, 0.5) + 0.1 * pair[1]
    guess.requires_grad_()
    (loss,) = reconstruction_error.losses(images, guess, mse, ssim).values()
    (gradient,) = torch.autograd.grad(loss, guess)
    assert gradient.isfinite().all()
    nearer = guess.detach() - 0.02 * gradient / gradient.abs().max()
    assert sum(reconstruction_error.losses(images, nearer, mse, ssim).values()) < loss


def test_float32_under_autocast(pair):
    images, blurred = pair
    plain = reconstruction_error.error_map(images, blurred)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(reconstruction_error.error_map(images, blurred), plain)
        low = reconstruction_error.losses(images, blurred.bfloat16())
    assert {term.dtype for term in low.values()} == {torch.float32}
    assert reconstruction_error.feature_error(images.half(), blurred.half()).dtype == torch.float32


def test_feature_error_is_the_mean_square_of_each_image():
    maps, other = torch.rand(3, 5, 2, 4), torch.rand(3, 5, 2, 4)
    expected = [np.mean((a - b) ** 2) for a, b in zip(maps.numpy(), other.numpy(), strict=True)]
    assert reconstruction_error.feature_error(maps, other).numpy() == pytest.approx(np.array(expected), rel=1e-5)
    vectors = reconstruction_error.feature_error(maps.flatten(1), other.flatten(1))
    assert torch.allclose(vectors, reconstruction_error.feature_error(maps, other))


def test_a_pixel_that_is_nan_spoils_its_own_image_alone(pair):
    images, blurred = pair[0], pair[1].clone()
    blurred[0, 0, 3, 3] = torch.nan
    assert reconstruction_error.score(reconstruction_error.error_map(images, blurred)).isnan().tolist() == [True, False]


def test_what_cannot_be_compared_is_refused(pair):
    images, blurred = pair
    with raises_code("shapes_differ", "(2, 3, 60, 64) for (2, 3, 64, 64)"):
        reconstruction_error.error_map(images, blurred[:, :, 4:])
    with raises_code("shapes_differ"):
        reconstruction_error.feature_error(images, blurred[:1])
    with raises_code("wrong_image_format", "255"):
        reconstruction_error.losses((255 * images).byte(), (255 * blurred).byte())
    with raises_code("image_too_small", "6 pixels"):
        reconstruction_error.ssim_error(images[..., :5], blurred[..., :5])
    assert reconstruction_error.ssim_error(images[..., :6], blurred[..., :6]).isfinite().all()


@pytest.mark.parametrize(("mse", "ssim"), [(1.0, -1.0), (-1.0, 2.0), (0.0, 0.0), (float("nan"), 1.0)])
def test_weights_that_reverse_the_ranking_are_refused(pair, mse, ssim):
    for measure in (reconstruction_error.error_map, reconstruction_error.losses):
        with raises_code("weight_out_of_range"):
            measure(*pair, mse=mse, ssim=ssim)
