"""Pictures of masks: outcomes and classes have their colors, thin structures stay, private images are not opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from goldfold import metrics
from goldfold.errors import GoldfoldError
from goldfold.images import color_masks
from goldfold.report.epochs import atlas, contact_sheet
from goldfold.report.masks import colors, page
from goldfold.report.plotting import canvas


def pure(picture: np.ndarray, color: tuple[int, ...]) -> np.ndarray:
    """Where a picture over black has a color, mixed."""
    return (np.abs(picture.astype(int) - colors.OPACITY * np.array(color)) < 3).all(axis=2)


def test_outcomes_are_found_added_and_missed() -> None:
    truth, predicted = np.zeros((2, 20, 30), bool)
    truth[:10, :20], predicted[:10, 10:] = True, True
    drawn = colors.outcomes(np.zeros((20, 30, 3), np.uint8), truth, predicted)
    for color, columns in ((colors.MISSED, (0, 10)), (colors.FOUND, (10, 20)), (colors.ADDED, (20, 30))):
        expected = np.zeros((20, 30), bool)
        expected[:10, slice(*columns)] = True
        assert np.array_equal(pure(drawn, canvas.rgb(color)), expected)


def test_thin_structures_stay_visible_in_small_pictures() -> None:
    truth = np.zeros((1000, 1500), bool)
    truth[:, 701] = True  # a crack one pixel wide
    drawn = colors.outcomes(np.zeros((100, 150, 3), np.uint8), truth, np.zeros_like(truth))
    assert pure(drawn, canvas.rgb(colors.MISSED)).sum() == 100


def test_classes_have_colors_of_their_own_and_void_none() -> None:
    assert len(np.unique(colors.class_colors(40), axis=0)) == 40
    labels = np.repeat(np.arange(5), 6)[None].repeat(8, axis=0)
    drawn = colors.paint(np.full((8, 30, 3), 90, np.uint8), labels, 4)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 5
    assert (drawn[:, 24:] == 30).all()


def test_overlapping_classes_may_be_absent() -> None:
    exclusive = np.array([[[0.4]], [[0.35]], [[0.25]]])
    assert colors.class_map(exclusive).item() == 0
    assert colors.class_map(exclusive - 0.2).item() == -1
    assert colors.class_map(exclusive + 0.3).item() == 0


def test_the_worst_the_median_and_the_best_are_chosen() -> None:
    errors = np.random.default_rng(0).permutation(20) / 20
    groups = {name: errors[members].tolist() for name, members in page.chosen(errors).items()}
    assert groups == {"worst": [0.95, 0.9, 0.85, 0.8, 0.75], "median": [0.5, 0.45], "best": [0.05, 0.0]}
    assert page.chosen(np.array([0.1, np.nan, 0.3])) == {"worst": [2, 0, 1]}


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    """Three black images of 40 x 60 pixels, of which the left half has the label 1."""
    labels = np.zeros((40, 60), np.uint8)
    labels[:, :30] = 1
    for name, content in (("图.png", np.zeros((40, 60, 3), np.uint8)), ("mask.png", labels)):
        cv2.imencode(".png", content)[1].tofile(tmp_path / name)
    return pd.DataFrame({"id": list("abc"), "path": tmp_path / "图.png", "mask_path": tmp_path / "mask.png"})


@pytest.mark.parametrize("private", [False, True])
def test_a_page_shows_truth_and_prediction_unless_images_are_private(rows: pd.DataFrame, private: bool) -> None:
    maps = np.zeros((3, 2, 20, 30), np.float16)
    maps[:, 1, :10] = 1
    maps[:, 0, 10:] = 1
    found = page.page(rows, maps, np.ones(3), folds=[0, 1, 0], classes=("sky", "路"), private_images=private)
    picture = cv2.cvtColor(cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    first, second = (pure(picture, color) for color in colors.class_colors(2))
    assert picture.shape[1] == canvas.PAGE
    assert first.any() == second.any() == (not private)
    if not private:
        left, right = first[:, : 2 * canvas.PAGE // 3], first[:, 2 * canvas.PAGE // 3 :]
        assert left.sum() == pytest.approx(right.sum(), rel=0.05)  # half of the truth, half of the prediction
        assert np.argwhere(left)[:, 1].min() > 0.45 * canvas.PAGE  # the right half of the second tile


def test_pictures_of_an_epoch_follow_its_predictions(rows: pd.DataFrame) -> None:
    images = np.zeros((3, 50, 50, 3))
    maps = np.zeros((3, 20, 30), np.float32)
    maps[1] = 1
    found = page.pictures(images, rows, maps)
    assert {name: each.shape for name, each in found.items()} == dict.fromkeys(page.OF_FOREGROUND, (3, 50, 50, 3))
    against = 255 * found["prediction against truth"]
    assert pure(against[0], canvas.rgb(colors.MISSED)).mean() == 0.5
    assert pure(against[1], canvas.rgb(colors.FOUND)).mean() == 0.5
    assert pure(against[1], canvas.rgb(colors.ADDED)).mean() == 0.5


def test_epochs_have_the_legend_of_their_masks(rows: pd.DataFrame) -> None:
    maps = np.zeros((3, 2, 20, 30))
    assert list(colors.named(maps, ["sky", "路"])) == ["sky", "路", colors.NO_CLASS]
    assert list(colors.named(maps, None)) == ["0", "1", colors.NO_CLASS]
    legend = colors.named(maps[:, 0], None)
    probes = atlas.Probes(ids="abc", labels=["", "", ""], images=np.zeros((3, 8, 8, 3)), colors=legend)
    epoch = atlas.Epoch(number=1, pictures={"truth": np.zeros((3, 8, 8, 3))}, scores={})
    for drawn in (atlas.epoch_page(probes, epoch, {}), contact_sheet.contact_sheet(probes, [epoch], {})):
        picture = cv2.cvtColor(cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        for color in legend.values():
            assert (picture == color).all(axis=2).sum() >= np.prod(colors.SWATCH)


RED, BLUE = (255, 0, 0), (0, 0, 255)


def colored(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Masks whose left half is blue, class 1, and whose right half is red, class 0."""
    return (color_masks.read(path, color_masks.Table([RED, BLUE])) for path in rows["mask_path"])


def test_true_masks_are_read_as_the_metric_reads_them(rows: pd.DataFrame, tmp_path: Path) -> None:
    mask = np.zeros((40, 60, 3), np.uint8)
    mask[:, :30], mask[:, 30:] = BLUE[::-1], RED[::-1]  # cv2 writes BGR
    cv2.imencode(".png", mask)[1].tofile(tmp_path / "mask.png")
    given = SimpleNamespace(metric=metrics.mean_iou(colored, ("sky", "路")), also=())
    truths = page.truths_of(given, rows)
    maps = np.zeros((3, 2, 20, 30), np.float16)
    maps[:, 1, :, :15] = maps[:, 0, :, 15:] = 1
    drawn = page.pictures(np.zeros((3, 40, 60, 3)), rows, maps, truths)
    np.testing.assert_array_equal(drawn["truth"], drawn["prediction"])
    with pytest.raises(GoldfoldError, match="same largest channel"):  # two classes of equal largest channels
        page.pictures(np.zeros((3, 40, 60, 3)), rows, maps)
    assert page.truths_of(SimpleNamespace(metric=metrics.accuracy("y"), also=()), rows[["id"]]) is None


def test_overlapping_classes_have_their_truth_as_maps() -> None:
    truth = np.zeros((2, 8, 8), np.uint8)
    truth[1, :4] = 1
    known, _ = page.drawn(np.full((8, 8, 3), 90, np.uint8), truth, truth.astype(np.float32))
    assert (known[4:] == 30).all()
    assert len(np.unique(known[:4].reshape(-1, 3), axis=0)) == 1


def test_the_truth_is_drawn_once_and_not_at_every_epoch() -> None:
    green = np.zeros((1, 8, 8, 3))
    green[..., 1] = 1
    probes = atlas.Probes(ids="a", labels=[""], images=np.zeros((1, 8, 8, 3)), truths=green)
    epochs = [atlas.Epoch(number=n, pictures={"prediction": np.zeros((1, 8, 8, 3))}, scores={}) for n in (1, 2, 3)]
    for drawn in (contact_sheet.contact_sheet(probes, epochs, {}), atlas.epoch_page(probes, epochs[0], {})):
        picture = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR)
        count, *_ = cv2.connectedComponents((picture == (0, 255, 0)).all(axis=2).astype(np.uint8))
        assert count - 1 == 1
