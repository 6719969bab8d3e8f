"""Collapse detection on real textures, made features, and a pretrained encoder without its first weights."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from skimage import data

from goldfold.anomaly import autoencoders
from goldfold.errors import GoldfoldError
from goldfold.nn import collapse


@pytest.fixture(scope="module", params=["brick", "grass", "gravel"])
def texture(request) -> np.ndarray:
    """Sixteen crops of a real surface, (16, 3, 64, 64) float32 in [0, 1]."""
    gray = getattr(data, request.param)().astype(np.float32) / 255
    crops = [gray[y : y + 64, x : x + 64] for y in range(0, 256, 64) for x in range(0, 256, 64)]
    return np.repeat(np.stack(crops)[:, None], 3, axis=1)


def blurred(images: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(images, (0, 0, 1.5, 1.5))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_blurred_copy_is_no_collapse_and_statistics_equal_numpys(texture):
    outputs = blurred(texture)
    found = collapse.measure_outputs(texture, outputs)
    assert found.verdicts == ()
    assert found.spatial_std == pytest.approx(outputs.std(axis=(2, 3), dtype=np.float64).mean())
    assert found.mean == pytest.approx(outputs.mean(dtype=np.float64))
    assert found.variance_ratio == pytest.approx(outputs.var(axis=0).mean() / texture.var(axis=0).mean(), rel=1e-4)
    assert 0.05 < found.variance_ratio < 1


@pytest.mark.parametrize(
    ("value", "verdicts"),
    [
        (0.5, ("gray", "same for all")),
        (0.0, ("black", "same for all")),
        (1.0, ("white", "same for all")),
        (0.1, ("same for all",)),
    ],
)
def test_constant_output_is_gray_black_or_white(texture, value, verdicts):
    assert collapse.measure_outputs(texture, np.full_like(texture, value)).verdicts == verdicts


def test_each_verdict_alone(texture):
    tones = np.linspace(0.25, 0.75, 16, dtype=np.float32)[:, None, None, None]
    flat_tones = collapse.measure_outputs(texture, np.broadcast_to(tones, texture.shape))
    assert flat_tones.verdicts == ("gray",)
    one_for_all = collapse.measure_outputs(texture, np.broadcast_to(texture[:1], texture.shape))
    assert one_for_all.verdicts == ("same for all",)
    assert one_for_all.variance_ratio == pytest.approx(0, abs=1e-12)
    mean_image = texture.mean(axis=0, keepdims=True)
    nearly = collapse.measure_outputs(texture, mean_image + 0.1 * (texture - mean_image))
    assert nearly.verdicts == ("same for all",)
    assert nearly.variance_ratio == pytest.approx(0.01, rel=1e-3)
    assert collapse.measure_outputs(texture, 0.02 * texture).verdicts[0] == "black"


def test_thresholds_are_the_documented_ones(texture):
    mean_image = texture.mean(axis=0, keepdims=True)
    for share, said in ((0.21, True), (0.24, False)):  # 0.05 is 0.2236 squared
        found = collapse.measure_outputs(texture, mean_image + share * (texture - mean_image))
        assert ("same for all" in found.verdicts) == said
    stripes = np.where(np.arange(64) % 2, 1.0, -1.0) + np.zeros_like(texture)
    for deviation, said in ((0.009, True), (0.011, False)):
        found = collapse.measure_outputs(texture, 0.5 + deviation * stripes)
        assert found.spatial_std == pytest.approx(deviation)
        assert ("gray" in found.verdicts) == said


def test_faithful_reconstructions_of_dark_bright_or_flat_images_are_no_collapse(texture):
    tones = np.linspace(0.3, 0.7, 16)[:, None, None, None]
    for images in (0.01 * texture, 1 - 0.01 * texture, tones + 0.01 * (texture - 0.5)):
        assert collapse.measure_outputs(images, images).verdicts == ()


def test_tensors_and_arrays_give_one_result(texture):
    images, outputs = torch.from_numpy(texture), torch.from_numpy(blurred(texture)).requires_grad_()
    assert collapse.measure_outputs(images, outputs) == collapse.measure_outputs(texture, blurred(texture))
    assert collapse.measure_outputs(images, outputs.bfloat16()).verdicts == ()
    vectors = noise(8, 5)
    assert collapse.measure_features(torch.from_numpy(vectors)) == collapse.measure_features(vectors)


def test_outputs_that_are_not_finite_are_a_verdict(texture):
    for bad in (np.nan, np.inf):
        outputs = texture.copy()
        outputs[3, 0, 5, 5] = bad
        found = collapse.measure_outputs(texture, outputs)
        assert found.verdicts == ("not finite",)
        assert all(map(math.isnan, (found.spatial_std, found.mean, found.variance_ratio)))


def test_variance_ratio_of_equal_images_is_nan(texture):
    for images in (texture[:1], np.repeat(texture[:1], 6, axis=0)):
        found = collapse.measure_outputs(images, blurred(images))
        assert math.isnan(found.variance_ratio)
        assert found.verdicts == ()
        assert collapse.measure_outputs(images, np.zeros_like(images)).verdicts == ("black",)


def test_wrong_shapes_and_ranges_are_refused(texture):
    for images, outputs, shape in ((texture[:0], texture[:0], "(0, 3,"), (texture, texture[1:], "(15, 3, 64, 64)")):
        with pytest.raises(GoldfoldError, match=re.escape(shape)) as error:
            collapse.measure_outputs(images, outputs)
        assert error.value.code == "wrong_image_shape"
    for images, outputs, words in (
        ((texture * 255).astype(np.uint8), texture, "images .* to 2"),
        (texture, 4 * texture - 1, "reconstructions .* to "),
        (texture * np.nan, texture, "images .* nan to nan"),
    ):
        with pytest.raises(GoldfoldError, match=words) as error:
            collapse.measure_outputs(images, outputs)
        assert error.value.code == "values_out_of_range"
    for features in (noise(0, 4), noise(4, 0), noise(4)):
        with pytest.raises(GoldfoldError, match=re.escape(str(features.shape))) as error:
            collapse.measure_features(features)
        assert error.value.code == "wrong_feature_shape"


def test_isotropic_features_are_no_collapse_and_statistics_equal_their_definitions():
    vectors = noise(256, 64)
    found = collapse.measure_features(vectors)
    assert found.verdicts == ()
    assert found.isotropic == 0.125
    assert found.spread == pytest.approx(0.125, rel=0.02)
    values = np.linalg.svd(vectors.astype(np.float64), compute_uv=False)
    assert found.effective_rank == pytest.approx(np.exp(stats.entropy(values)))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [units[i] @ units[j] for i in range(256) for j in range(i)]
    assert found.median_cosine == pytest.approx(np.median(pairs), abs=1e-6)
    assert found.spread == pytest.approx(units.std(axis=0, ddof=1).mean(), rel=1e-5)


def test_effective_rank_counts_equal_directions():
    for rank in (1, 3, 8):
        assert collapse.effective_rank(torch.eye(8)[:rank]) == pytest.approx(rank)
    assert collapse.effective_rank(torch.zeros(4, 3)) == 0
    assert collapse.effective_rank(torch.outer(torch.arange(1.0, 5), torch.ones(3))) == pytest.approx(1, abs=1e-4)


def test_features_in_one_point_are_detected():
    found = collapse.measure_features(1 + 1e-4 * noise(100, 64))
    assert found.verdicts == ("one point",)
    assert found.spread < 1e-3 * found.isotropic
    assert found.median_cosine > 0.999
    assert found.effective_rank < 1.1


def test_small_spread_or_high_cosine_means_one_point():
    """Two tight clusters on opposite sides spread widely; vectors that share a large part have a small spread."""
    narrow = collapse.measure_features(1 + 0.27 * noise(100, 64))
    assert narrow.spread < 0.3 * narrow.isotropic
    assert narrow.median_cosine < 0.95
    most = np.ones((100, 16), np.float32)
    most[80:] = -1
    parallel = collapse.measure_features(most + 0.01 * noise(100, 16))
    assert parallel.spread > 0.3 * parallel.isotropic
    assert parallel.median_cosine > 0.95
    assert narrow.verdicts == parallel.verdicts == ("one point",)


@pytest.mark.parametrize("vectors", [np.zeros((6, 5)), np.tile(noise(1, 5), (6, 1)), 1e-9 * np.ones((6, 5))])
def test_dead_encoder_is_detected(vectors):
    assert collapse.measure_features(vectors).verdicts == ("dead",)
    rounding = 1 + 1e-8 * noise(*vectors.shape)
    assert collapse.measure_features(vectors * rounding).verdicts == ("dead",)


def test_small_features_that_differ_are_not_dead():
    assert collapse.measure_features(1e-9 * noise(50, 16)).verdicts == ()


def test_maps_are_flattened():
    """Moving a map's content is a difference, though its average over positions stays."""
    maps = noise(20, 6, 3, 4)
    assert collapse.measure_features(maps) == collapse.measure_features(maps.reshape(20, -1))
    moved = np.stack([np.roll(maps[0], shift, axis=2) for shift in range(4)])
    assert collapse.measure_features(moved).verdicts == ()
    assert collapse.measure_features(moved.mean(axis=(2, 3))).verdicts == ("dead",)


def test_single_vector_has_no_spread_and_no_cosine():
    found = collapse.measure_features(noise(1, 5))
    assert (math.isnan(found.spread), math.isnan(found.median_cosine)) == (True, True)
    assert found.effective_rank == pytest.approx(1)
    assert found.verdicts == ()
    assert collapse.measure_features(np.zeros((1, 5))).verdicts == ("dead",)


def test_features_that_are_not_finite_are_a_verdict():
    vectors = noise(10, 4)
    vectors[2, 1] = np.inf
    found = collapse.measure_features(vectors)
    assert found.verdicts == ("not finite",)
    assert math.isnan(found.effective_rank)


@pytest.fixture(scope="module")
def pretrained() -> autoencoders.Autoencoder:
    return autoencoders.on_backbone("efficientnet_lite0", pretrained=True, skips="none").eval()


def test_pretrained_features_of_one_real_surface_are_no_collapse(texture, pretrained):
    with torch.inference_mode():
        features = pretrained.encode(torch.from_numpy(texture))
    found = collapse.measure_features(features)
    assert found.verdicts == ()
    assert found.effective_rank > 5


def test_encoder_without_first_layer_weights_is_dead(texture, pretrained):
    """Its first convolution has no weight left, as after steps that were too large; biases alone go on."""
    blind = copy.deepcopy(pretrained)
    with torch.no_grad():
        next(blind.encoder.parameters()).zero_()
    with torch.inference_mode():
        images = torch.from_numpy(texture)
        assert collapse.measure_features(blind.encode(images)).verdicts == ("dead",)
        assert "same for all" in collapse.measure_outputs(images, blind(images)).verdicts
