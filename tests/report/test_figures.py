"""Pictures of a run: drawn from numbers, looked at pixel by pixel."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from goldfold.data.fields import records
from goldfold.errors import GoldfoldError
from goldfold.experiment.intervals.limits import fold_statistics
from goldfold.io.formatting import shortened, shortened_apart, width
from goldfold.report.plotting.style import DPI, FOLDS, INK, MUTED, WIDTH, wrapped
from goldfold.report.run import most_wrong as gallery
from goldfold.report.run.figures import fold_scores, learning_curves
from goldfold.report.run.most_wrong import most_wrong

LEFT = int(0.15 * WIDTH * DPI)  # where panels have begun and labels ended


@pytest.fixture(autouse=True)
def _every_warning_fails() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _pixels(png: bytes) -> np.ndarray:
    """(height, width, 3) in [0, 1]; the picture is as wide as a page and not blank."""
    assert png.startswith(b"\x89PNG")
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB) / 255
    assert pixels.shape[1] == WIDTH * DPI
    assert pixels.std() > 0.02
    return pixels


def _share(pixels: np.ndarray, color: str) -> float:
    return float((np.abs(pixels - to_rgb(color)).max(axis=2) < 0.02).mean())


def _dashed_rows(pixels: np.ndarray) -> int:
    """Lines of pixels that are muted along a good part of the page, with gaps: a dashed line, not an axis."""
    muted = (np.abs(pixels[:, LEFT:] - to_rgb(MUTED)).max(axis=2) < 0.25).mean(axis=1)
    return int(((muted > 0.5) & (muted < 0.9)).sum())


def _history(epochs: int, stage: str = "train", start: float = 0.6, metric: bool = True) -> list[dict]:
    return [
        {
            "stage": stage,
            "epoch": epoch,
            "loss": {"cross_entropy": 0.7 * 0.9**epoch},
            "metric": start + 0.3 * (1 - 0.8**epoch) if metric else None,
            "learning_rate": [1e-3 * (1 - epoch / (epochs + 1)), 1e-5],
        }
        for epoch in range(1, epochs + 1)
    ]


def _summary(scores: list[float], chance: float, pooled: bool = True) -> dict:
    folds = {str(fold): score for fold, score in enumerate(scores)}
    summary = {
        "higher_is_better": True,
        "chance": chance,
        "folds": folds,
        **fold_statistics(scores, (-math.inf, math.inf)),
    }
    interval = [min(scores), max(scores)]
    return summary | ({"pooled": scores[0], "pooled_interval_95": interval} if pooled else {})


def test_learning_curves_show_each_fold_their_mean_and_a_near_chance_level() -> None:
    histories = {(fold, 0): _history(12, start=0.6 + 0.02 * fold**2) for fold in range(3)}
    pixels = _pixels(learning_curves(histories, "roc_auc", 0.5, dict.fromkeys(histories, 12)))
    shares = [_share(pixels, color) for color in (*FOLDS[:3], INK)]
    assert min(shares) > 2e-4
    assert _share(pixels, FOLDS[5]) == 0
    assert _dashed_rows(pixels) > 0


def test_a_far_chance_level_is_told_and_not_drawn() -> None:
    histories = {(0, 0): _history(12)}
    assert _dashed_rows(_pixels(learning_curves(histories, "roc_auc", -5.0, {(0, 0): 12}))) == 0


def test_the_chosen_epoch_is_ringed_where_it_is() -> None:
    histories = {(0, 0): _history(10)}
    none, early, late = (_pixels(learning_curves(histories, "roc_auc", 0.5, {(0, 0): epoch})) for epoch in (None, 3, 9))
    middles = [np.argwhere(np.abs(ringed - none).max(axis=2) > 0.1)[:, 1].mean() for ringed in (early, late)]
    first, last = 3 / 10.5, 9 / 10.5
    assert (middles[1] - middles[0]) / (WIDTH * DPI) == pytest.approx(last - first, abs=0.1)


def test_learning_curves_of_stages_terms_groups_seeds_and_unequal_lengths() -> None:
    histories = {}
    for fold, seed in ((0, 0), (0, 1), (1, 0)):
        first = _history(8, "自监督", metric=False)
        second = _history(5 + fold, "fast_ap_$x")
        for row in second:
            row["loss"] = {"fast_ap": -0.03 / row["epoch"], "centre": 2e-5, "对齐": 3.0}
            row["learning_rate"] = [1e-3, 1e-5, 0.0]
        second[1]["metric"] = None
        histories[fold, seed] = first + second
    _pixels(learning_curves(histories, "map_at_r", 0.05, {(0, 0): 2, (0, 1): None, (1, 0): 6}))


def test_one_epoch_is_a_point_and_no_metric_is_no_curve() -> None:
    pixels = _pixels(learning_curves({(0, 0): _history(1)}, "accuracy", 0.1, {(0, 0): 1}))
    assert _share(pixels, INK) > 1e-4
    _pixels(learning_curves({(0, 0): _history(3, metric=False)}, "accuracy", 0.1, {(0, 0): 3}))


def test_pictures_leave_matplotlib_as_it_was() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    fold_scores({"roc_auc": _summary([0.8, 0.9], 0.5)})
    assert dict(matplotlib.rcParams) == before


def test_fold_scores_put_dots_where_the_scores_are() -> None:
    scores = [0.80, 0.90, 0.85]
    pixels = _pixels(fold_scores({"roc_auc": _summary(scores, 0.78, pooled=False)}))
    dots = [np.argwhere(np.abs(pixels - to_rgb(FOLDS[fold])).max(axis=2) < 0.02) for fold in range(3)]
    down, across = np.array([dot.mean(axis=0) for dot in dots]).T
    assert down[0] < down[1] < down[2]
    assert (across[2] - across[0]) / (across[1] - across[0]) == pytest.approx(0.5, abs=0.02)
    line = np.abs(pixels - to_rgb(MUTED)).max(axis=2)[: int(down[2])] < 0.1
    assert line[:, LEFT : int(across[0])].sum(axis=0).max() > 20  # chance, left of the lowest fold


def test_chance_within_an_interval_is_drawn() -> None:
    """The folds are close together, and the axis reaches as far as the interval of their mean."""
    summary = _summary([0.80, 0.801, 0.802], 0.6, pooled=False) | {"interval_95": [0.4, 0.99]}
    dashed, far = (_pixels(fold_scores({"roc_auc": {**summary, "chance": chance}})) for chance in (0.6, -3.0))
    lines = [(np.abs(each - to_rgb(MUTED)).max(axis=2) < 0.1)[:, LEFT:].sum(axis=0).max() for each in (dashed, far)]
    assert lines[0] > 40 > lines[1]


def test_captions_of_long_ids_stay_apart() -> None:
    def short(text: str) -> str:
        return shortened(text, 11)

    ids = [f"patient_0017_left_{number:02d}_scan_of_the_lung" for number in range(12)]
    assert len(set(map(short, ids))) == 1
    for texts in (ids, [f"{name}_{'x' * 30}{name[::-1]}" for name in ids], ["图" * 40 + name for name in ids]):
        found = shortened_apart(texts, short)
        assert len(set(found)) == 12
        assert all(width(each) <= 11 for each in found)
    assert "left_07" in shortened_apart(ids, short)[7]
    assert shortened_apart(["a", "long name of a class", "a"], short) == ["a", "long …class", "a"]


@pytest.mark.parametrize("count", [1, 5, 12])
def test_fold_scores_of_any_number_of_folds_and_metrics(count: int) -> None:
    generator = np.random.default_rng(0)
    metrics = {
        f"指标_{place}": _summary(list(generator.normal(10**place, 0.1, count)), 0.0) | {"higher_is_better": place > 1}
        for place in range(1, 5)
    }
    metrics["指标_1"]["pooled_interval_95"] = None
    _pixels(fold_scores(metrics))


def test_every_metric_has_a_panel_of_its_own() -> None:
    """Each panel has one dot of the first fold's color in its left half, and rows of panels make the page higher."""
    heights = []
    for count in (3, 5):
        names = [f"a_metric_with_a_rather_long_name_{place}" for place in range(count)]
        pixels = _pixels(fold_scores({name: _summary([0.8, 0.9], -9.0, pooled=False) for name in names}))
        dots = (np.abs(pixels - to_rgb(FOLDS[0])).max(axis=2) < 0.05).astype(np.uint8)
        assert cv2.connectedComponents(dots)[0] - 1 == count
        heights.append(pixels.shape[0])
    assert heights[0] < heights[1]


def test_text_below_panels_fits_into_its_panel() -> None:
    """Between two panels a column of pixels stays white below the axes."""
    names = [
        "average_precision_macro_skip_empty",
        "平均精度宏观得分非常长的名称没有空格的名称在这里",
        "recall_at_some_precision",
    ]
    pixels = _pixels(fold_scores({name: _summary([0.8, 0.9], -9.0) for name in names}))
    below = pixels[-70:].min(axis=(0, 2)) > 0.99
    edges = np.flatnonzero(np.diff(below.astype(int)))
    gaps = [end - start for start, end in pairwise(edges) if below[start + 1]]
    assert sum(gap > 15 for gap in gaps) >= 2


def test_different_east_asian_names_make_different_pictures() -> None:
    """Without a font for them each character would be the same box."""
    drawn = {name: _pixels(fold_scores({name: _summary([0.8, 0.9], 0.5)})) for name in ("猫", "犬", "고", "ネ")}
    assert len({each.tobytes() for each in drawn.values()}) == 4
    heights = {each.shape for each in drawn.values()}
    assert len(heights) == 1


def test_a_long_name_beside_a_panel_is_broken() -> None:
    name = "average_precision_macro_skip_empty_of_every_class_of_one_group"
    pixels = _pixels(learning_curves({(0, 0): _history(3)}, name, 0.5, {(0, 0): 3}))
    inked = np.flatnonzero(pixels[:, :50].min(axis=(1, 2)) < 0.5)
    longest = max(map(len, np.split(inked, np.flatnonzero(np.diff(inked) > 20) + 1)))
    assert longest < 0.4 * len(pixels)  # the height of a panel


@pytest.mark.parametrize("columns", [5, 20, 80])
def test_broken_text_is_complete_and_narrow(columns: int) -> None:
    for text in ("average_precision_macro (higher is better)", "平均精度宏观得分 非常长", "x" * 100, ""):
        lines = wrapped(text, columns).split("\n")
        assert all(width(line) <= columns for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_equal_folds_have_no_span_and_still_a_picture() -> None:
    _pixels(fold_scores({"accuracy": _summary([1.0, 1.0, 1.0], 0.5)}))


def _rows(folder: Path, images: list[np.ndarray]) -> pd.DataFrame:
    """A table of `images` (RGB or gray) saved under Chinese names."""
    paths = [folder / f"牙刷_{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1].tobytes())
    return pd.DataFrame({"id": [f"id_{number}" for number in range(len(images))], "path": paths, "label": 0})


def _cell(pixels: np.ndarray, number: int) -> np.ndarray:
    """The tile of the picture's first line of tiles, without its rim."""
    side = pixels.shape[1] // gallery.COLUMNS
    top = int(gallery.TITLE * DPI)
    return pixels[top + 12 : top + side - 20, number * side + 12 : (number + 1) * side - 12]


def test_the_most_wrong_come_first_and_the_rest_not_at_all(tmp_path: Path) -> None:
    images = [np.full((30, 30, 3), (number, 10, 200), np.uint8) for number in range(0, 250, 10)]
    errors = np.linspace(0, 1, 25)
    png = most_wrong(_rows(tmp_path, images), errors, errors, folds=[0] * 25, targets=["label"], private_images=False)
    pixels = _pixels(png)
    for place in range(6):
        assert _cell(pixels, place).mean(axis=(0, 1)) * 255 == pytest.approx([240 - 10 * place, 10, 200], abs=1)
    assert _share(pixels, "#0a0ac8") > 0.01  # the 24th, with red 10
    assert _share(pixels, "#000ac8") == 0  # the 25th, with red 0, also within 0.02 of nothing else


def test_every_shape_of_image_keeps_its_proportions(tmp_path: Path) -> None:
    wide, high, single = np.zeros((40, 160), np.uint8), np.zeros((900, 300, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)
    rows = _rows(tmp_path, [wide, high, single])
    pixels = _pixels(
        most_wrong(
            rows, np.ones(3), np.array([3.0, 2.0, 1.0]), folds=[0, 1, 2], targets=["label"], private_images=False
        )
    )
    shares = [float((_cell(pixels, place).max(axis=2) < 0.1).mean()) for place in range(3)]
    assert shares[0] == pytest.approx(0.25, abs=0.08)
    assert shares[1] == pytest.approx(0.33, abs=0.08)
    assert shares[2] == 1


def test_masks_are_outlined_where_they_end(tmp_path: Path) -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    prediction = np.zeros((2, 50, 50), np.float16)
    prediction[0, :, :15] = 1  # the left 30 columns of 100; the second image has none
    objects = np.zeros((100, 100), np.uint16)
    objects[:70] = 3  # the upper 70 rows
    cv2.imencode(".png", objects)[1].tofile(tmp_path / "mask.png")
    rows = _rows(tmp_path, [image, image]).assign(mask_path=tmp_path / "mask.png")
    pixels = _pixels(
        most_wrong(rows, prediction, np.array([0.9, 0.5]), folds=[0, 1], targets=["mask"], private_images=False)
    )
    tile = _cell(pixels, 0)
    warmth = tile[..., 0] - tile[..., 2]  # of orange predictions above 0, of blue truth below it
    across, down = np.argwhere(warmth > 0.2)[:, 1], np.argwhere(warmth < -0.2)[:, 0]
    assert np.median(across) / tile.shape[1] == pytest.approx(0.27, abs=0.04)  # the rim is cut from the tile
    assert np.median(down) / tile.shape[0] == pytest.approx(0.73, abs=0.04)
    second = _cell(pixels, 1)
    assert (second[..., 0] - second[..., 2]).max() < 0.2


def test_outlined_masks_are_read_as_the_metric_reads_them(tmp_path: Path) -> None:
    """The file marks the upper half, the metric reads the left half."""
    cv2.imencode(".png", np.repeat([[255], [0]], 50, axis=0).astype(np.uint8))[1].tofile(tmp_path / "mask.png")
    rows = _rows(tmp_path, [np.zeros((100, 100, 3), np.uint8)]).assign(mask_path=tmp_path / "mask.png")
    left = np.tile(np.repeat([1, 0], 50), (100, 1))
    nothing, options = np.zeros((1, 50, 50)), {"folds": [0], "targets": ["mask_path"], "private_images": False}
    tile = _cell(_pixels(most_wrong(rows, nothing, np.ones(1), truths=lambda rows: [left] * len(rows), **options)), 0)
    blue = np.argwhere(tile[..., 2] - tile[..., 0] > 0.2)
    assert np.ptp(blue[:, 0]) > 0.9 * tile.shape[0]  # a line from top to bottom
    assert np.ptp(blue[:, 1]) < 0.05 * tile.shape[1]


@pytest.mark.parametrize(
    ("row", "prediction", "targets", "classes", "caption"),
    [
        ({"p": 1 / 3}, np.float32(0.98765), ["p"], None, "true 0.333, pred 0.988"),
        ({"price": 181500.0}, np.array([120250.4]), ["price"], None, "true 181,500, pred 120,250"),
        ({"label": 7}, np.eye(10)[2] * 0.75 + 0.025, ["label"], range(10), "true 7 (0.025)\npred 2 (0.775)"),
        ({"kind": "地毯"}, np.array([0.1, 0.9]), ["kind"], ["地毯", "牙刷"], "true 地毯 (0.100)\npred 牙刷 (0.900)"),
        ({"kind": "cat"}, np.str_("dog"), ["kind"], None, "true cat, pred dog"),
        ({"a": 1, "b": 0, "c": 1}, np.array([0.25, 0.8, 0.9]), list("abc"), None, "extra b 0.80\nmissed a 0.25"),
        (
            dict.fromkeys("abcd", 1),
            np.array([0.5, 0.4, 0.1, 0.2]),
            list("abcd"),
            None,
            "missed c 0.10\nmissed d 0.20\nmissed b 0.40",
        ),
        ({"a": 0, "b": 1}, np.array([0.5, 0.8]), list("ab"), None, "all labels right"),
        ({"kind": "cat"}, np.array([0.1, 0.9]), ["kind"], None, ""),
        ({"x": 1.5, "y": 2.0}, np.array([0.1, 0.9]), ["x", "y"], None, ""),
        ({"mask": 0}, np.zeros((4, 4)), ["mask"], None, ""),
        ({"defect": 1, "kind": "Ч"}, records(score=np.array([43.126]))[0], ["defect"], None, "true 1, score 43.126"),
    ],
)
def test_captions(row: dict, prediction: np.ndarray, targets: list[str], classes: list | None, caption: str) -> None:
    assert gallery._answer(pd.Series(row, dtype=object), prediction, targets, classes) == caption


def test_chinese_and_dollar_names_are_drawn_without_a_warning(tmp_path: Path) -> None:
    classes = [r"地毯$\no{$", "a_very_long_name_of_a_class"]
    rows = _rows(tmp_path, [np.full((20, 20), 90, np.uint8)] * 2).assign(label=classes)
    _pixels(
        most_wrong(
            rows, np.eye(2)[::-1], np.ones(2), folds=[0, 0], targets=["label"], private_images=False, classes=classes
        )
    )


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    rows = _rows(tmp_path, [np.zeros((5, 5), np.uint8)])
    Path(rows["path"][0]).write_bytes(b"")
    with pytest.raises(GoldfoldError, match="牙刷_0"):
        most_wrong(rows, np.ones(1), np.ones(1), folds=[0], targets=["label"], private_images=False)
