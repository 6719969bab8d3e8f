"""Batch samplers by class, by category and apart in time; later frames, neighbors in time and random views."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from goldfold.errors import GoldfoldError
from goldfold.retrieval import batch_samplers, two_views

LABELS = np.repeat(np.arange(9), [1, 2, 3, 4, 5, 6, 7, 8, 9])  # 45 images, a class with one of them


def epochs_of(make, epochs: int = 3) -> list[list[np.ndarray]]:
    return [make(epoch) for epoch in range(epochs)]


@pytest.mark.parametrize(
    "make",
    [
        lambda seed, epoch: batch_samplers.random_batches(45, 8, seed, epoch),
        lambda seed, epoch: batch_samplers.m_per_class(LABELS, 3, 12, seed, epoch),
        lambda seed, epoch: batch_samplers.two_categories(LABELS, LABELS // 3, 12, seed, epoch),
        lambda seed, epoch: batch_samplers.apart_in_time(LABELS // 5, np.arange(45.0), 2, 4, seed, epoch),
    ],
)
def test_batches_repeat_for_a_seed_and_an_epoch_and_hold_no_image_twice(make):
    def flat(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in make(seed, epoch)]

    assert flat(0, 1) == flat(0, 1)
    assert flat(0, 1) != flat(0, 0)
    assert flat(0, 1) != flat(1, 1)
    assert all(len(set(batch)) == len(batch) for batch in flat(0, 0))
    assert {k for batch in flat(0, 0) for k in batch} <= set(range(45))


def test_m_of_each_class_or_all_it_has():
    sizes = Counter(LABELS.tolist())
    shown = Counter()
    for epoch in range(20):
        batches = batch_samplers.m_per_class(LABELS, 3, 12, 0, epoch)
        assert len(batches) == 3
        for batch in batches:
            counts = Counter(LABELS[batch].tolist())
            short = [label for label, count in counts.items() if count < min(3, sizes[label])]
            assert len(set(batch.tolist())) == 12
            assert max(counts.values()) == 3
            assert len(short) <= 1  # the last class of a batch
            shown.update(counts.keys())
    assert min(shown.values()) > 0.8 * max(shown.values())


def test_images_of_a_class_take_turns():
    labels = np.repeat([0, 1], 20)
    seen = Counter(np.concatenate(batch_samplers.m_per_class(labels, 4, 8, 0, 0)).tolist())
    assert len(batch_samplers.m_per_class(labels, 4, 8, 0, 0)) == 5
    assert set(seen.values()) == {1}
    assert len(seen) == 40


@pytest.mark.parametrize(("m", "size"), [(2, 32), (12, 12), (3, 3)])
def test_batches_that_need_too_many_or_one_class_are_refused(m, size):
    with pytest.raises(GoldfoldError, match=f"batch of {size} .* {m} images") as error:
        batch_samplers.m_per_class(LABELS, m, size, 0, 0)
    assert error.value.code == "batch_not_fillable"


def test_a_batch_is_of_two_categories_with_all_their_classes():
    labels = np.repeat(np.arange(12), 10)  # three classes in each of four categories
    categories = labels // 3
    for epoch in range(4):
        seen = Counter()
        batches = batch_samplers.two_categories(labels, categories, 24, 0, epoch)
        assert len(batches) == 5
        for batch in batches:
            both = sorted(set(categories[batch].tolist()))
            seen.update(both)
            assert len(both) == 2
            assert Counter(categories[batch].tolist()) == dict.fromkeys(both, 12)
            assert Counter(labels[batch].tolist()) == {label: 4 for label in range(12) if label // 3 in both}
        assert max(seen.values()) - min(seen.values()) <= 2


def test_classes_have_two_images_each_if_not_all_fit():
    labels = np.repeat(np.arange(40), 5)
    for batch in batch_samplers.two_categories(labels, labels // 20, 16, 0, 0):
        assert set(Counter(labels[batch].tolist()).values()) == {2}


def test_small_category_gives_all_its_images_and_a_single_one_is_refused():
    labels = np.array([0, 0, 1, *([2] * 20), *([3] * 20)])
    categories = np.array([0] * 3 + [1] * 40)
    for batch in batch_samplers.two_categories(labels, categories, 16, 0, 0):
        assert set(batch.tolist()) >= {0, 1, 2}
        assert len(batch) == 11
    with pytest.raises(GoldfoldError, match="have 1") as error:
        batch_samplers.two_categories(labels, np.zeros(43), 16, 0, 0)
    assert error.value.code == "too_few_categories"


def test_random_batches_visit_every_image_once_and_drop_the_rest():
    visited = np.concatenate(batch_samplers.random_batches(45, 8, 0, 0))
    assert len(visited) == len(set(visited.tolist())) == 40
    assert [len(batch) for batch in batch_samplers.random_batches(5, 8, 0, 0)] == [5]


def test_frames_of_a_batch_are_apart_unless_they_are_of_different_sequences():
    sequences, times = np.repeat([0, 1], 50), np.tile(np.arange(50.0), 2)
    batches = batch_samplers.apart_in_time(sequences, times, 3, 10, 0, 0)
    assert len(batches) >= 8  # of ten
    for batch in batches:
        near = (sequences[batch][:, None] == sequences[batch]) & (np.abs(times[batch][:, None] - times[batch]) <= 3)
        assert len(batch) == near.sum() == 10
    # if each frame has its own sequence, none are kept apart
    both = batch_samplers.apart_in_time(np.arange(100), times, 3, 10, 0, 0)
    assert len(both) == 10
    assert np.array_equal(np.concatenate(both), np.concatenate(batch_samplers.random_batches(100, 10, 0, 0)))
    few = batch_samplers.apart_in_time(np.zeros(6), np.arange(6.0), 3, 10, 0, 0)
    assert [len(batch) for batch in few] == [2]


def test_later_frames_are_of_the_same_sequence_at_the_given_time():
    sequences = np.array([0, 0, 0, 1, 1, 0, 2])
    times = np.array([0, 1, 2, 3, 4, 5, 6.0])
    assert two_views.later_frames(sequences, times, 1).tolist() == [1, 2, -1, 4, -1, -1, -1]
    assert two_views.later_frames(sequences, times, 2).tolist() == [2, -1, -1, -1, -1, -1, -1]
    assert two_views.later_frames(sequences, times[::-1].copy(), 1).tolist() == [-1, 0, 1, -1, 3, -1, -1]
    rng = np.random.default_rng(0)
    sequences, times = rng.integers(0, 3, 60), rng.uniform(0, 30, 60)
    for row, found in enumerate(two_views.later_frames(sequences, times, 0.8)):
        off = np.where(sequences == sequences[row], np.abs(times - times[row] - 0.8), np.inf)
        assert found == (off.argmin() if off.min() < 0.4 else -1)


def test_neighbors_in_time_are_the_frames_of_the_sequence_within_the_distance():
    rng = np.random.default_rng(1)
    sequences, times = rng.integers(0, 3, 40), rng.integers(0, 20, 40).astype(float)
    for row, found in enumerate(two_views.neighbors_in_time(sequences, times, 2)):
        expected = (sequences == sequences[row]) & (np.abs(times - times[row]) <= 2)
        assert sorted(found.tolist()) == np.flatnonzero(expected).tolist()


def test_random_views_repeat_for_their_seed_and_differ_otherwise():
    image = np.random.default_rng(2).integers(0, 256, (30, 40, 3), np.uint8)
    square = image[:, :30]
    calm = two_views.RandomViews(
        two_views.SourceImages((), False, in_memory=[square]),
        [0],
        two_views.simsiam_pipeline(30, crop=1.0, strength=0, flip=False),
        0,
    )
    assert np.array_equal(calm.view(0, 0, 0), square)
    images = two_views.SourceImages((), False, in_memory=[image])
    made = two_views.RandomViews(images, ["ä"], two_views.simsiam_pipeline(16), seed=3)
    first = made.view(0, 0, 0)
    assert np.array_equal(first, made.view(0, 0, 0))
    assert not any(np.array_equal(first, made.view(*other)) for other in ((0, 0, 1), (1, 0, 0)))
    gray = two_views.simsiam_pipeline(16, gray=True)(image=image[..., :1])["image"]
    assert gray.shape == (16, 16, 1)
