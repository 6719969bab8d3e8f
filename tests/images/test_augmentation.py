"""Augmentation draws: independent of workers, different for samples and epochs, named pipelines."""

from __future__ import annotations

from functools import partial

import albumentations as A
import numpy as np
import pytest
import torch

from goldfold.errors import GoldfoldError
from goldfold.images import augmentation
from goldfold.images.sizes import height_and_width
from goldfold.nn import batches

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def augmented(pipeline: A.Compose, epoch: int, position: int) -> tuple[torch.Tensor, int]:
    changed = augmentation.apply(pipeline, 7, epoch, position, image=IMAGE)["image"]
    return torch.from_numpy(np.ascontiguousarray(changed)), position


def epoch_images(workers: int, epoch: int) -> list[torch.Tensor]:
    """Eight augmentations of one and the same image, as a fresh loader with fresh workers makes them."""
    pipeline = A.Compose([A.Affine(rotate=(-90, 90), p=1.0), A.RandomBrightnessContrast(p=1.0)], seed=1)
    maker = batches.from_dataset(partial(augmented, pipeline), 8, 2, seed=0, workers=workers)
    loaded = [torch.cat(part) for part in zip(*maker(epoch), strict=True)]
    return [loaded[0][i] for i in loaded[1].argsort()]


def test_samples_and_epochs_differ_and_the_number_of_workers_does_not_matter():
    alone = {epoch: epoch_images(0, epoch) for epoch in (0, 1)}
    with_workers = {epoch: epoch_images(2, epoch) for epoch in (0, 1)}
    again = epoch_images(2, 1)
    for epoch in (0, 1):
        assert all(torch.equal(a, b) for a, b in zip(alone[epoch], with_workers[epoch], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(with_workers[1], again, strict=True))
    distinct = {image.numpy().tobytes() for epoch in (0, 1) for image in with_workers[epoch]}
    assert len(distinct) == 16


def test_copies_of_a_row_differ_and_the_first_one_keeps_its_draw():
    ids = augmentation.distinct_ids(["a", 7, "a", "b", "7", "a"])
    assert (ids[0], ids[1], ids[3]) == ("a", 7, "b")
    turns = A.Compose([A.Affine(rotate=(-90, 90), p=1.0)])
    drawn = [augmentation.apply(turns, 0, 0, each, image=IMAGE)["image"].tobytes() for each in ids]
    assert len(set(drawn)) == len(ids)


def test_transforms_of_one_pipeline_draw_independently():
    flips = augmentation.pipeline("flips", 32)
    seen = {augmentation.apply(flips, 0, 0, sample, image=IMAGE)["image"].tobytes() for sample in range(60)}
    flipped_images = IMAGE[:, ::-1], IMAGE[::-1], IMAGE[::-1, ::-1], IMAGE
    assert seen == {np.ascontiguousarray(image).tobytes() for image in flipped_images}


def test_transforms_are_drawn_with_their_probability():
    flip = A.Compose([A.HorizontalFlip(p=0.3)])
    flipped = [
        np.array_equal(augmentation.apply(flip, 0, epoch, sample, image=IMAGE)["image"], IMAGE[:, ::-1])
        for epoch in range(20)
        for sample in range(100)
    ]
    assert abs(np.mean(flipped) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2000)


def test_mask_is_transformed_like_its_image():
    mask = (IMAGE[..., 0] > 128).astype(np.uint8)
    flips = augmentation.pipeline("flips", 32)
    for sample in range(20):
        changed = augmentation.apply(flips, 0, 0, sample, image=IMAGE, mask=mask)
        assert np.array_equal(changed["mask"], changed["image"][..., 0] > 128)


@pytest.mark.parametrize("name", augmentation.NAMES)
@pytest.mark.parametrize(("channels", "size"), [(1, 24), (3, 24), (3, (24, 12))])
def test_named_pipelines_return_the_requested_size(name, channels, size):
    pipeline = augmentation.pipeline(name, size)
    images = [augmentation.apply(pipeline, 0, 0, i, image=IMAGE[..., :channels])["image"] for i in range(12)]
    assert {(image.shape, image.dtype) for image in images} == {
        ((*height_and_width(size), channels), np.dtype(np.uint8))
    }
    assert (len({image.tobytes() for image in images}) == 1) == (name == "none")


def test_misspelled_name_suggests_the_nearest():
    with pytest.raises(GoldfoldError, match="did you mean 'flips'") as error:
        augmentation.pipeline("flip", 32)
    assert error.value.code == "unknown_augmentation"
