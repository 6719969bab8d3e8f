"""Routing: against slow readings of the definition and scikit-learn, on real textures, through records and files."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from skimage import data
from sklearn.metrics.pairwise import additive_chi2_kernel

from goldfold.anomaly import class_routing
from goldfold.data import fields
from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import ScoredRows
from goldfold.io.files import read_array, write_array
from goldfold.metrics.class_routing import routing_accuracy

CLASSES = ("brick", "地毯", "牙刷")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def scene(seed: int = 0, each: int = 6) -> tuple[list[np.ndarray], list[str]]:
    """Images of mixed sizes: a flat color of its own for every class, with noise."""
    draw = np.random.default_rng(seed)
    names = list(np.repeat(CLASSES, each))
    colors = dict(zip(CLASSES, ((150, 80, 60), (90, 60, 120), (210, 210, 220)), strict=True))
    sizes = draw.integers(33, 70, (len(names), 2))
    images = [
        (np.asarray(colors[name]) + draw.normal(0, 25, (*size, 3))).clip(0, 255).astype(np.uint8)
        for name, size in zip(names, sizes, strict=True)
    ]
    return images, names


def resized(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)


def textures(part: slice) -> tuple[list[np.ndarray], list[str]]:
    """Crops of real surfaces, equally bright on average: neither brightness nor place says anything, contrast does."""
    images, names = [], []
    for name in ("brick", "grass", "gravel"):
        rows = getattr(data, name)()[part].astype(float)
        for top in range(0, rows.shape[0] - 127, 64):
            for left in range(0, 512 - 127, 64):
                crop = rows[top : top + 128, left : left + 128, None]
                images.append((crop - crop.mean() + 128).clip(0, 255).astype(np.uint8).repeat(3, axis=2))
                names.append(name)
    return images, names


def test_the_nearest_prototype_is_found_pixel_by_pixel():
    images, names = scene()
    strangers = [noise(40, 50, 3, seed=k) for k in range(4)] + images
    small = [resized(image) for image in images]
    prototypes = {
        name: np.mean([one / 255 for one, of in zip(small, names, strict=True) if of == name], axis=0)
        for name in sorted(set(names))
    }
    found = class_routing.by_prototype(iter(strangers), class_routing.prototypes(iter(images), names))
    for row, image in enumerate(strangers):
        pixels = resized(image) / 255
        distances = sorted((((pixels - mean) ** 2).mean(), name) for name, mean in prototypes.items())
        (nearest, name), (second, _), _ = distances
        assert found.names[row] == name
        assert found.distances[row] == pytest.approx(nearest, rel=1e-12)
        assert found.margins[row] == pytest.approx((second - nearest) / second, abs=1e-12)
    assert found.names[4:].tolist() == names
    assert found.positions.dtype == np.int64


def test_histograms_are_numpys_and_sum_to_one():
    image = noise(17, 23, 3)
    counts, _ = np.histogramdd(image.reshape(-1, 3), bins=[np.arange(0, 257, 32)] * 3)
    np.testing.assert_array_equal(class_routing.histogram(image), counts.ravel() / (17 * 23))


def test_chi_square_is_half_of_scikit_learns():
    drawn = np.random.default_rng(0).dirichlet(np.full(512, 0.05), 5)
    drawn[:, ::3] = 0
    drawn /= drawn.sum(1, keepdims=True)
    found = np.stack([class_routing.chi_square(one, drawn) for one in drawn])
    np.testing.assert_allclose(found, -additive_chi2_kernel(drawn) / 2, atol=1e-14)
    assert class_routing.chi_square(np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 0.0]])).tolist() == [1.0, 0.0]


def test_colors_tell_textures_apart_where_places_do_not():
    known, names = textures(slice(0, 256))
    shown, truth = textures(slice(256, 512))
    by_places = class_routing.by_prototype(shown, class_routing.prototypes(known, names))
    by_colors = class_routing.by_prototype(shown, class_routing.prototypes(known, names, textures=set(names)))
    assert np.mean(by_colors.names == truth) > np.mean(by_places.names == truth) + 0.2
    assert np.mean(by_colors.names == truth) > 0.75


def test_only_textures_are_chosen_again_and_the_smaller_margin_counts():
    images, names = scene()
    names = [name + "'" if row % 2 else name for row, name in enumerate(names)]  # six classes, hard to tell apart
    known = class_routing.prototypes(images, names, textures=("brick", "brick'", "牙刷"))
    assert [known.classes[position] for position in known.textures] == ["brick", "brick'", "牙刷"]
    mixed = [cv2.addWeighted(resized(one), 0.5, resized(other), 0.5, 0) for one in images[::2] for other in images[::3]]
    found = class_routing.by_prototype(mixed, known)
    chosen_again = 0
    for row, image in enumerate(mixed):
        pixels = ((known.images - resized(image) / 255) ** 2).mean((1, 2, 3))
        winner = pixels.argmin()
        position, score, margin = winner, pixels.min(), 1 - pixels.min() / np.sort(pixels)[1]
        if winner in known.textures:
            colors = (
                -additive_chi2_kernel(class_routing.histogram(image)[None], known.histograms[known.textures])[0] / 2
            )
            position, score = known.textures[colors.argmin()], colors.min()
            over_objects = 1 - pixels.min() / np.delete(pixels, known.textures).min()
            margin = min(over_objects, 1 - score / np.sort(colors)[1])
            chosen_again += position != winner
        assert found.positions[row] == position
        assert (found.distances[row], found.margins[row]) == pytest.approx((score, margin), abs=1e-12)
    assert chosen_again > 5
    assert 0 < np.isin(found.positions, known.textures).mean() < 1


def test_one_texture_alone_is_no_choice_among_textures():
    images, names = scene()
    plain, alone = (
        class_routing.by_prototype(images, class_routing.prototypes(images, names, textures=some))
        for some in ((), ("地毯",))
    )
    assert alone.names.tolist() == names
    np.testing.assert_array_equal(plain.margins, alone.margins)
    np.testing.assert_array_equal(plain.distances, alone.distances)


def test_one_class_takes_everything_without_doubt():
    images, _ = scene()
    found = class_routing.by_prototype(images, class_routing.prototypes(images, ["地毯"] * len(images)))
    assert set(found.names) == {"地毯"}
    assert (found.margins == 1).all()
    assert set(class_routing.by_memory_bank(torch.rand(3, 4), {"牙刷": torch.rand(2, 4)}).margins) == {1.0}


def test_equal_distances_are_no_margin():
    found = class_routing.by_memory_bank(
        torch.zeros(1, 2), {"b": torch.tensor([[0.0, 1.0]]), "a": torch.tensor([[1.0, 0.0]])}
    )
    assert (found.names[0], found.margins[0]) == ("a", 0.0)
    same = class_routing.by_memory_bank(torch.zeros(1, 2), {"a": torch.zeros(3, 2), "b": torch.zeros(1, 2)})
    assert (same.distances[0], same.margins[0]) == (0.0, 0.0)


def test_the_nearest_memory_bank_is_found_vector_by_vector_and_patch_by_patch():
    draw = torch.Generator().manual_seed(0)
    banks = {name: torch.randn(9, 5, generator=draw) + k for k, name in enumerate(reversed(CLASSES))}
    vectors, patches = 2 * torch.randn(20, 5, generator=draw), 2 * torch.randn(8, 7, 5, generator=draw)
    found, patched = class_routing.by_memory_bank(vectors, banks), class_routing.by_memory_bank(patches, banks)
    for row, vector in enumerate(vectors):
        distances = {name: ((bank - vector) ** 2).mean(1).min().item() for name, bank in banks.items()}
        assert found.names[row] == min(distances, key=distances.get)
        assert found.distances[row] == pytest.approx(min(distances.values()), rel=1e-5)
    for row, image in enumerate(patches):
        nearest = {
            name: torch.stack([(bank - patch).norm(dim=1).min() for patch in image]).mean().item()
            for name, bank in banks.items()
        }
        first, second, _ = sorted(nearest.values())
        assert patched.names[row] == min(nearest, key=nearest.get)
        assert patched.distances[row] == pytest.approx(first, rel=1e-5)
        assert patched.margins[row] == pytest.approx(1 - first / second, abs=1e-5)


def test_a_defect_does_not_route_an_image_away():
    """One patch of a carpet is like nothing known, and lies nearer to the other class than to its own."""
    draw = torch.Generator().manual_seed(0)
    banks = {"地毯": torch.randn(50, 8, generator=draw), "牙刷": torch.randn(50, 8, generator=draw) + 6}
    carpet = torch.randn(1, 16, 8, generator=draw)
    carpet[0, 3] = 30
    found = class_routing.by_memory_bank(carpet, banks)
    assert found.names.tolist() == ["地毯"]
    strangest = {name: torch.cdist(carpet[0], bank).amin(1).max() for name, bank in banks.items()}
    assert strangest["牙刷"] < strangest["地毯"]  # what the largest distance would have said


def test_more_rows_make_a_memory_bank_nearer():
    draw = torch.Generator().manual_seed(0)
    small, large, queries = (torch.randn(rows, 8, generator=draw) for rows in (10, 1000, 200))
    assert np.mean(class_routing.by_memory_bank(queries, {"small": small, "large": large}).names == "large") > 0.95


def test_no_images_are_routed_nowhere():
    images, names = scene()
    known = class_routing.prototypes(images, names, textures=("地毯", "牙刷"))
    assert class_routing.by_prototype([], known).names.shape == (0,)
    assert class_routing.by_memory_bank(torch.empty(0, 3), {"a": torch.ones(1, 3)}).positions.shape == (0,)


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, "", 3, "x" * 65])
def test_what_is_no_name_is_refused(missing):
    with raises_code("class_name_invalid", "1 of 3"):
        class_routing.class_names(["a", missing, "b"])
    with raises_code("class_name_invalid", "1 of 2"):
        class_routing.by_memory_bank(torch.ones(1, 2), {"a": torch.ones(1, 2), missing: torch.ones(1, 2)})


IMAGE = noise(40, 40, 3)


@pytest.mark.parametrize(
    ("images", "names", "textures", "code", "fact"),
    [
        ([], [], (), "no_classes", "none"),
        ([IMAGE], ["a", "b"], (), "lengths_differ", "2 classes and 1 images"),
        ([IMAGE] * 3, ["a", "b"], (), "lengths_differ", "2 classes and more images"),
        ([IMAGE, IMAGE], ["wood", "carpet"], ("woood",), "unknown_texture", "did you mean 'wood'"),
        ([IMAGE[..., 0]], ["a"], (), "wrong_image_format", "uint8 (40, 40)"),
        ([IMAGE[..., :1]], ["a"], (), "wrong_image_format", "uint8 (40, 40, 1)"),
        ([IMAGE / 255], ["a"], (), "wrong_image_format", "float64"),
        ([IMAGE[:0]], ["a"], (), "wrong_image_format", "(0, 40, 3)"),
        (["牙刷.png"], ["a"], (), "wrong_image_format", "str"),
    ],
)
def test_prototypes_of_nothing_are_refused(images, names, textures, code, fact):
    with raises_code(code, fact):
        class_routing.prototypes(images, names, textures)


@pytest.mark.parametrize(
    ("features", "banks", "code", "fact"),
    [
        (torch.ones(2, 3), {}, "no_classes", "none"),
        (
            torch.ones(2, 3),
            {"a": torch.ones(1, 3), "地毯": torch.empty(0, 3)},
            "wrong_feature_shape",
            "class '地毯': the memory bank must",
        ),
        (torch.ones(2, 3), {"牙刷": torch.ones(1, 4)}, "feature_width_differs", "class '牙刷'"),
        (torch.ones(2, 0, 3), {"a": torch.ones(1, 3)}, "feature_width_differs", "(2, 0, 3)"),
        (torch.full((2, 3), torch.nan), {"a": torch.ones(1, 3)}, "features_not_finite", "queries"),
    ],
)
def test_memory_banks_that_cannot_be_compared_are_refused(features, banks, code, fact):
    with raises_code(code, fact):
        class_routing.by_memory_bank(features, banks)


def routed(*names: str) -> np.ndarray:
    return fields.records(score=np.zeros(len(names), np.float32), routed=class_routing.class_names(names))


ROWS = pd.DataFrame({"kind": ["地毯", "地毯", "地毯", "牙刷"], "number": [1, 1, 1, 2]})
METRIC = routing_accuracy("kind")


def test_routing_accuracy_counts_rows():
    predictions = routed("地毯", "牙刷", "地毯", "牙刷")
    assert METRIC.score(ROWS, predictions) == METRIC.options.per_row(ROWS, predictions).mean() == 0.75
    assert METRIC.options.field in predictions.dtype.names
    assert METRIC.options.row_error(ROWS, predictions).tolist() == [0, 1, 0, 0]
    assert METRIC.chance(ROWS) == METRIC.score(ROWS, routed(*["地毯"] * 4)) == 0.75
    low, high = limits.of_mean([0.75], (0, 1), jackknife.sampling(METRIC, [ScoredRows(ROWS, [predictions])]))
    assert 0 <= low < 0.75 < high <= 1


def test_a_wrong_route_outside_the_rows_is_wrong_and_no_more():
    assert METRIC.score(ROWS[:3], routed("brick", "brick", "brick")) == 0.0
    assert METRIC.score(ROWS, routed("brick", "brick", "brick", "牙刷")) == 0.25


def test_names_that_match_nothing_give_no_score():
    with raises_code("class_names_disagree", "'carpet'", "'kind'", "'地毯'"):
        METRIC.score(ROWS, routed("carpet", "carpet", "carpet", "toothbrush"))


@pytest.mark.parametrize("missing", [None, np.nan])
def test_rows_without_a_class_give_no_score(missing):
    for kinds in ([missing] * 4, ["地毯", "地毯", "牙刷", missing]):
        rows = pd.DataFrame({"kind": kinds})
        for what in (METRIC.chance, lambda rows: METRIC.score(rows, routed(*["地毯"] * 4))):
            with raises_code("values_missing", "'kind'"):
                what(rows)


@pytest.mark.parametrize(
    ("predictions", "code", "fact"),
    [
        (fields.records(routed=np.zeros(4, np.int16)), "routes_not_names", "int16"),
        (np.zeros(4), "routes_not_names", "float64"),
        (fields.records(routed=np.array(["地毯", "", "", "牙刷"])), "routes_not_names", "2 empty"),
        (fields.records(score=np.zeros(4)), "unknown_field", "'routed'"),
        (routed("地毯"), "predictions_wrong_length", "4 rows"),
    ],
)
def test_what_is_no_route_is_refused(predictions, code, fact):
    with raises_code(code, fact):
        METRIC.score(ROWS, predictions)


def test_numbers_are_no_class_names():
    with raises_code("class_name_invalid", "strings"):
        routing_accuracy("number").score(ROWS, routed(*["1"] * 4))


def test_routes_survive_files_and_folds_of_other_classes(tmp_path):
    """Each fold knows other classes: positions would mean different ones, names of one width are put together."""
    one = class_routing.by_memory_bank(torch.zeros(2, 2), {"地毯": torch.zeros(1, 2), "zipper": torch.ones(1, 2)})
    other = class_routing.by_memory_bank(
        torch.ones(2, 2), {"zipper": torch.ones(1, 2), "a long name of a class": -torch.ones(1, 2)}
    )
    folds = [fields.records(score=each.distances, routed=each.names) for each in (one, other)]
    assert folds[0].dtype == folds[1].dtype
    together = np.zeros(4, folds[0].dtype)
    together[:2], together[2:] = folds
    write_array(tmp_path / "oof.npy", together)
    read = read_array(tmp_path / "oof.npy")
    assert fields.field(read, "routed").tolist() == ["地毯", "地毯", "zipper", "zipper"]
    assert read.dtype == together.dtype
    assert METRIC.score(pd.DataFrame({"kind": ["地毯", "地毯", "zipper", "地毯"]}), read) == 0.75
