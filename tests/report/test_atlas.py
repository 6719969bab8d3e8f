"""Pictures of the epoch atlas: drawn from arrays whose colors are known, and found again pixel by pixel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from goldfold.errors import GoldfoldError
from goldfold.report.epochs.atlas import ALARM, CHOSEN, COLORS, Epoch, Probes, epoch_page, heat_ranges
from goldfold.report.epochs.contact_sheet import MAX_COLUMNS, MIN_WIDTH, contact_sheet, shown_epochs
from goldfold.report.epochs.curves import by_epoch, recipe_scores
from goldfold.report.plotting import canvas
from goldfold.report.plotting.canvas import STRIPES
from goldfold.report.plotting.style import DPI, FOLDS, INK, MUTED, WIDTH

INPUTS = ((250, 10, 200), (10, 250, 200), (200, 10, 250), (10, 200, 250))  # two normal images, two anomalous ones
RANGES = {"error": (0.0, 2.0)}


@pytest.fixture(autouse=True)
def _every_warning_fails() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _plain(colors: Sequence[Sequence[int]], height: int = 24, width: int = 24) -> np.ndarray:
    """An image of one color for each of `colors`."""
    return np.ones((len(colors), height, width, 3)) * np.reshape(colors, (-1, 1, 1, 3)) / 255


def _probes(**changes) -> Probes:
    ids = ["a", "地毯_0032", "c", "exp1_num_4821_" * 9]
    probes = Probes(ids=ids, labels=["normal", "normal", "断裂", "Crack"], images=_plain(INPUTS))
    return replace(probes, **({"anomalous": [False, False, True, True]} | changes))


def _epoch(number: int = 1, output: Sequence[int] = (90, 60, 30), error: float = 1.0, **changes) -> Epoch:
    pictures = {"reconstruction": _plain([output] * 4), "error": np.full((4, 12, 12), error, np.float16)}
    return Epoch(**({"number": number, "pictures": pictures, "scores": {"pixel": np.arange(4.0)}} | changes))


def _pixels(png: bytes, wide: bool = False) -> np.ndarray:
    """(height, width, 3) uint8, as wide as a page unless `wide`."""
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert (pixels.shape[1] > WIDTH * DPI) if wide else (pixels.shape[1] == WIDTH * DPI)
    return pixels


def _where(pixels: np.ndarray, color: Sequence[int] | str) -> np.ndarray:
    """(n, 2): the (y, x) of all pixels of a color."""
    color = np.rint(np.array(to_rgb(color)) * 255 if isinstance(color, str) else color).astype(int)
    return np.argwhere(cv2.inRange(pixels, tuple((color - 1).tolist()), tuple((color + 1).tolist())))


def _below(first: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Without those in the key, which stands above the `first` picture."""
    return places[places[:, 0] >= first[:, 0].min()]


def _heat(share: float) -> np.ndarray:
    return np.array(colormaps["magma"](share)[:3]) * 255


def test_a_page_shows_normal_images_left_and_anomalous_ones_right_each_beside_its_pictures() -> None:
    pixels = _pixels(epoch_page(_probes(), _epoch(), RANGES))
    found = [_where(pixels, color) for color in INPUTS]
    places = [each.mean(axis=0) for each in found]
    assert min(len(each) for each in found) > 100**2
    assert places[0][1] == places[1][1] < pixels.shape[1] / 2 < places[2][1] == places[3][1]
    assert places[0][0] == places[2][0] < places[1][0] == places[3][0]
    outputs, errors = _where(pixels, (90, 60, 30)), _below(found[0], _where(pixels, _heat(0.5)))
    assert len(outputs) == len(errors) == 4 * len(found[0])
    assert found[0][:, 1].max() < outputs[:, 1].min() < errors[:, 1].min()
    edges = [len(_where(pixels, COLORS[group])) for group in ("normal", "anomalous")]
    assert edges[1] > 2 * edges[0] > 0  # told apart by thickness too


def test_images_that_nobody_knows_are_not_called_normal() -> None:
    pixels = _pixels(epoch_page(_probes(anomalous=None), _epoch(), RANGES))
    assert not any(len(_where(pixels, COLORS[group])) for group in ("normal", "anomalous"))
    assert _where(pixels, INPUTS[0])[:, 1].mean() < _where(pixels, INPUTS[2])[:, 1].mean()


@pytest.mark.parametrize(("error", "share"), [(0.0, 0.0), (0.5, 0.25), (2.0, 1.0), (1e4, 1.0), (-3.0, 0.0)])
def test_heat_has_the_color_of_its_value_whatever_else_the_epoch_shows(error: float, share: float) -> None:
    pixels = _pixels(epoch_page(_probes(), _epoch(error=error), RANGES))
    assert len(_where(pixels, _heat(share))) > 4 * 100**2


def test_heat_is_drawn_in_the_colors_of_magma() -> None:
    ramp = np.linspace(0, 1, 256)[None]
    assert canvas.tile(ramp, (1, 256)) == pytest.approx(colormaps["magma"](ramp)[..., :3] * 255, abs=1)


def test_ranges_are_the_medians_of_percentiles_and_outlive_collapsed_epochs() -> None:
    generator = np.random.default_rng(0)
    errors = [generator.gamma(2, 1, (3, 8, 8)).astype(np.float16) for _ in range(4)] + [np.full((3, 8, 8), 1e4)]
    errors[0][0, 0, 0] = np.nan
    found = heat_ranges({"error": error, "colors": np.zeros((3, 8, 8, 3))} for error in errors)
    ends = [np.nanpercentile(error.astype(np.float32), (1, 99.5)) for error in errors]
    assert found == {"error": pytest.approx(np.median(ends, axis=0))}
    assert found["error"][1] < 20
    assert heat_ranges([{"error": np.full((1, 2, 2), np.nan)}]) == {"error": (0, 1)}


def test_what_is_not_finite_is_striped_and_nothing_else_is() -> None:
    dead = _plain([(90, 60, 30)] * 4)
    dead[2, :, :12, 1] = np.inf
    error = np.ones((4, 12, 12))
    error[3] = np.nan
    broken = _epoch(pictures={"reconstruction": dead, "error": error}, scores={"pixel": np.array([0, 1, 2, np.nan])})
    pixels = _pixels(epoch_page(_probes(), broken, RANGES))
    side = np.sqrt(len(_where(pixels, INPUTS[0])))
    striped = _below(_where(pixels, INPUTS[0]), np.concatenate([_where(pixels, color) for color in STRIPES]))
    assert len(striped) == pytest.approx(1.5 * side**2, rel=0.05)
    assert striped[:, 1].min() > pixels.shape[1] / 2
    sound = _pixels(epoch_page(_probes(), _epoch(), RANGES))
    assert not any(len(_where(sound, color)) for color in STRIPES)


def test_a_page_tells_alarms_and_the_rules_that_choose_it() -> None:
    plain = _pixels(epoch_page(_probes(), _epoch(7), RANGES, {"last": 30}))
    assert not len(_where(plain, ALARM))
    assert not len(_where(plain, CHOSEN))
    told = _epoch(7, facts={"auroc": 0.5}, alarms=["black"])
    told = _pixels(epoch_page(_probes(), told, RANGES, {"last": 30, "validation_loss": 7}))
    assert len(_where(told, ALARM)) > 200
    assert len(_where(told, CHOSEN)) > 50


def _epochs(count: int) -> list[Epoch]:
    return [_epoch(number, (90, 60 + number, 30)) for number in range(1, count + 1)]


def _columns(pixels: np.ndarray, epochs: Sequence[Epoch]) -> dict[int, np.ndarray]:
    """Number -> the (y, x) of the reconstructions of each epoch that is shown."""
    colors = {epoch.number: (90, 60 + epoch.number, 30) for epoch in epochs}
    found = {number: np.argwhere(cv2.inRange(pixels, color, color)) for number, color in colors.items()}
    return {number: places for number, places in found.items() if len(places)}


def test_a_sheet_has_a_column_per_epoch_beside_the_inputs_with_errors_below_reconstructions() -> None:
    epochs = _epochs(5)
    pixels = _pixels(contact_sheet(_probes(), epochs, RANGES))
    columns = _columns(pixels, epochs)
    assert list(columns) == [1, 2, 3, 4, 5]
    middles = [places[:, 1].mean() for places in columns.values()]
    assert np.diff(middles) == pytest.approx(np.diff(middles)[0])
    assert max(_where(pixels, color)[:, 1].max() for color in INPUTS) < columns[1][:, 1].min()
    down = [_where(pixels, color)[:, 0].mean() for color in INPUTS]
    assert down == sorted(down)
    errors = _below(columns[1], _where(pixels, _heat(0.5)))
    assert errors[:, 0].min() > columns[1][:, 0].min()
    assert len(errors) == sum(map(len, columns.values()))


@pytest.mark.parametrize("number", [1, 4, 6])
def test_a_chosen_column_is_framed_and_no_other(number: int) -> None:
    epochs = _epochs(6)
    pixels = _pixels(contact_sheet(_probes(), epochs, RANGES, {"validation_loss": number, "best": number}))
    column = _columns(pixels, epochs)[number][:, 1]
    lines = np.flatnonzero((pixels == canvas.rgb(CHOSEN)).all(axis=2).mean(axis=0) > 0.7)  # of the sheet's height
    assert column.min() - 4 <= lines.min() < column.min()
    assert column.max() < lines.max() <= column.max() + 4
    assert not len(_where(_pixels(contact_sheet(_probes(), epochs, RANGES)), CHOSEN))


def test_alarms_stand_above_their_column() -> None:
    epochs = _epochs(6)
    epochs[1] = replace(epochs[1], alarms=["black", "one point"])
    pixels = _pixels(contact_sheet(_probes(), epochs, RANGES))
    alarms, column = _where(pixels, ALARM), _columns(pixels, epochs)[2]
    assert alarms[:, 0].max() < column[:, 0].min()
    assert (alarms[:, 1].min(), alarms[:, 1].max()) == (column[:, 1].min(), column[:, 1].max())


def test_a_fact_that_an_epoch_lacks_leaves_its_place_empty() -> None:
    """Epochs that nobody looked at have no scores."""
    epochs = _epochs(2)
    told = [replace(epoch, facts={"auroc": 0.5}) for epoch in epochs]
    heights = [_pixels(contact_sheet(_probes(), each, RANGES)).shape[0] for each in (told, [told[0], epochs[1]])]
    assert heights[0] == heights[1]


def test_many_epochs_are_thinned_and_their_sheet_is_wider_than_a_page() -> None:
    epochs = _epochs(40)
    pixels = _pixels(contact_sheet(_probes(), epochs, RANGES, {"best": 18, "elsewhere": 99}), wide=True)
    columns = _columns(pixels, epochs)
    assert list(columns) == shown_epochs(range(1, 41), {"best": 18})
    assert {np.ptp(places[:, 1]) + 1 for places in columns.values()} == {MIN_WIDTH}


@pytest.mark.parametrize("count", [1, 2, 16, 17, 30, 300])
def test_shown_epochs_hold_first_last_and_chosen_and_leave_no_long_gap(count: int) -> None:
    numbers = [5 * place for place in range(1, count + 1)]
    chosen = {"a": numbers[count // 3], "b": numbers[count // 3], "c": numbers[-2 % count], "d": 3}
    shown = shown_epochs(numbers, chosen)
    assert len(shown) == min(count, MAX_COLUMNS)
    assert shown == sorted(set(shown))
    assert {numbers[0], numbers[-1], chosen["a"], chosen["c"]} <= set(shown) <= set(numbers)
    if count > 1:
        assert np.diff(shown).max() <= 5 * max(1, 3 * count / MAX_COLUMNS)
    every = {f"rule {number}": number for number in numbers}
    assert shown_epochs(numbers, every) == numbers


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7), (33, 20)])
@pytest.mark.parametrize("count", [1, 3])
def test_any_shape_and_number_of_images_epochs_and_pictures(count: int, shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    images = generator.random((count, *shape, 3)).astype(np.float32)
    probes = Probes(
        ids=["\udcff\n\t$x$"] * count, labels=["地毯" * 99] * count, images=images, anomalous=[True] * count
    )
    pictures = {f"图 {place}": generator.normal(0, 1e30, (count, 2 + place, 5)) for place in range(5)}
    pictures["colors"] = np.full((count, 3, 3, 3), 1e300)
    scores = {f"score_with_a_long_name_{place}": np.full(count, np.nan) for place in range(9)}
    epochs = [Epoch(number=1, pictures=pictures, scores={}), Epoch(number=9**9, pictures=pictures, scores=scores)]
    rules = {"a rule of many words " * 20: 9**9, "规则": 1}
    ranges = heat_ranges(epoch.pictures for epoch in epochs) | {"图 0": (0.0, 0.0)}
    for epoch in epochs:
        _pixels(epoch_page(probes, epoch, ranges, rules))
        _pixels(contact_sheet(probes, [epoch], ranges, rules))
    _pixels(contact_sheet(probes, epochs, ranges, rules))


@pytest.mark.parametrize(
    ("changes", "code", "facts"),
    [
        ({"pictures": {"error": np.zeros((3, 5, 5))}}, "picture_shape", ("'error' of epoch 1", "(3, 5, 5)")),
        ({"pictures": {"error": np.zeros((4, 3, 5, 5))}}, "picture_shape", ("(4, 3, 5, 5)", "(4, h, w, 3)")),
        ({"pictures": {"error": np.zeros(4)}}, "picture_shape", ("(4,)", "(4, h, w)")),
        ({"scores": {"map": np.zeros((4, 2))}}, "score_shape", ("'map' of epoch 1", "(4, 2)")),
    ],
)
def test_pictures_and_scores_that_are_not_one_per_image_are_refused(
    changes: dict, code: str, facts: Sequence[str]
) -> None:
    for draw in (epoch_page, lambda probes, epoch, ranges: contact_sheet(probes, [epoch], ranges)):
        with pytest.raises(GoldfoldError) as error:
            draw(_probes(), _epoch(**changes), RANGES)
        assert error.value.code == code
        assert all(fact in str(error.value) for fact in facts)


@pytest.mark.parametrize(
    "changes", [{"ids": []}, {"labels": ["x"]}, {"anomalous": [True]}, {"images": np.ones((4, 5, 5))}]
)
def test_probes_of_unequal_lengths_are_refused(changes: dict) -> None:
    with pytest.raises(GoldfoldError) as error:
        _probes(**changes)
    assert error.value.code == "probes_not_aligned"


@pytest.mark.parametrize("pair", ["地毯", "カナ", "한글", "Жю", "عب"])
def test_every_script_has_glyphs_of_its_own(pair: str) -> None:
    drawn = [canvas.centered(canvas.text_line(letter, 99), 30, 60) for letter in (*pair, "\U0010fffd")]
    assert all((each < 128).any() for each in drawn[:2])
    assert all((one != other).any() for one, other in ((drawn[0], drawn[1]), (drawn[0], drawn[2])))


@pytest.mark.parametrize("room", [1, 40, 75, 1000])
def test_words_are_shortened_in_their_middle_until_they_fit(room: int) -> None:
    text = "地毯_with_a_long_name_231"
    kept = canvas.shortened(text, room)
    start, _, end = kept.partition("…")
    assert canvas.text_width(kept) <= room or kept == "地…"
    assert text.startswith(start)
    assert text.endswith(end)
    assert (kept == text) == (canvas.text_width(text) <= room)
    if 20 < room < 1000:
        longer = f"{start}{text[len(start)]}…{end}"
        assert canvas.text_width(longer) > room - 13  # no more was cut than needed


def _table(epochs: int) -> pd.DataFrame:
    number = np.arange(1, epochs + 1)
    scores = {f"score_{place}": 0.5 + 0.05 * place * (1 - 0.8**number) for place in range(1, 7)}
    return pd.DataFrame({"epoch": number, **scores, "validation_loss": 1 / number, "rank": 5.0 * number})


def _lines(pixels: np.ndarray) -> np.ndarray:
    """The x of lines of the chosen color that run down most of the panels."""
    share = (np.abs(pixels.astype(int) - canvas.rgb(CHOSEN)).max(axis=2) < 60).mean(axis=0)
    found = np.flatnonzero(share > 0.6)
    return found[np.diff(found, prepend=-9) > 3]


def test_curves_have_a_color_per_score_and_a_line_at_every_chosen_epoch() -> None:
    table = _table(30)
    scores = [name for name in table if name.startswith("score")]
    pixels = _pixels(by_epoch(table, scores, {"validation_loss": 10, "best": 20, "last": 20}, 0.5))
    assert min(len(_where(pixels, color)) for color in FOLDS[1:7]) > 100
    assert not len(_where(pixels, FOLDS[7]))
    assert len(_where(pixels, INK)) > 500  # the monitored values
    lines = _lines(pixels)
    assert len(lines) == 2
    assert not len(_lines(_pixels(by_epoch(table, scores, {}, 0.5))))
    moved = _lines(_pixels(by_epoch(table, scores, {"best": 25}, 0.5)))
    assert moved[0] - lines[1] == pytest.approx((lines[1] - lines[0]) / 2, abs=3)


def test_the_chance_level_is_a_dashed_line_below_the_scores() -> None:
    pixels = _pixels(by_epoch(_table(30), ["score_6"], {}, 0.5))
    muted = (np.abs(pixels.astype(int) - canvas.rgb(MUTED)).max(axis=2) < 60)[:, 150:].mean(axis=1)
    dashed = np.flatnonzero((muted > 0.5) & (muted < 0.9))
    assert 1 <= len(dashed) <= 3
    assert dashed.min() > _where(pixels[:400], FOLDS[1])[:, 0].mean()


@pytest.mark.parametrize("others", [0, 5])
def test_curves_of_one_epoch_without_values_and_with_names_in_any_script(others: int) -> None:
    table = pd.DataFrame({"epoch": [7], "$x_1$": [np.nan], "score": [0.5]})
    for place in range(others):
        table[f"monitored {place}"] = [np.inf if place % 2 else 1e-9]
    _pixels(by_epoch(table, ["$x_1$", "score"], {"last": 7, "规则": 7}, 0.5))
    gaps = pd.concat([table.assign(epoch=epoch, score=np.nan if epoch % 2 else 0.7) for epoch in range(1, 8)])
    _pixels(by_epoch(gaps, ["$x_1$", "score"], {"rule " * 9: 1, "other " * 9: 4, "last " * 9: 7}, 0.5))


def test_scores_of_recipes_have_dots_where_their_scores_are() -> None:
    means, intervals = [0.6, 0.9, 0.7], [(0.55, 0.65), (0.88, 0.92), None]
    names = ["autoencoder", "patch library on a frozen backbone, of many words", "地毯"]
    pixels = _pixels(recipe_scores(names, means, intervals, 0.5, "roc_auc"))
    panel = np.flatnonzero((np.abs(pixels.astype(int) - canvas.rgb(MUTED)).max(axis=2) < 60).mean(axis=0) > 0.5)
    inside = pixels[:, panel[0] + 3 : 790]
    dark = np.abs(inside.astype(int) - canvas.rgb(INK)).max(axis=2) < 30
    thick = cv2.erode(dark.astype(np.uint8), np.ones((7, 7), np.uint8))
    count, _, _, middles = cv2.connectedComponentsWithStats(thick)
    assert count == 4  # three dots and the ground
    across = middles[1:][np.argsort(middles[1:, 1]), 0]
    assert (across[2] - across[0]) / (across[1] - across[0]) == pytest.approx(1 / 3, abs=0.02)


def test_a_recipe_without_a_score_keeps_its_line() -> None:
    _pixels(recipe_scores(["dead", "alive"], [np.nan, 0.7], [None, None], 0.5, "AUROC"))
    _pixels(recipe_scores(["dead"], [np.nan], [None], 0.5, "AUROC"))
