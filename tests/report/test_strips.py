"""Strips of retrieved images, looked at pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from goldfold.errors import GoldfoldError
from goldfold.report.plotting import canvas
from goldfold.report.plotting.canvas import PAGE, rgb
from goldfold.report.plotting.style import FOLDS, MUTED
from goldfold.report.retrieval.strips import TILE, Answer, Strip, _apart, strips

PAINTS = [(200, 30, 200), (30, 200, 200), (200, 200, 30), (30, 30, 220), (230, 120, 160), (90, 60, 10), (5, 90, 250)]
GREEN, RED, GRAY = (rgb(color) for color in (FOLDS[2], FOLDS[5], MUTED))


def paint(folder: Path, number: int, size: tuple[int, int] = (60, 80)) -> Path:
    """A file of one color, (height, width)."""
    image = np.full((*size, 3), PAINTS[number][::-1], np.uint8)
    cv2.imencode(".png", image)[1].tofile(path := folder / f"颜色{number}.png")
    return path


def pixels(png: bytes) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert found.shape[1] == PAGE
    return found


def where(page: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """(n, 2) rows and columns of the pixels of exactly this color."""
    return np.argwhere((page == color).all(axis=2))


def test_answers_stand_in_reading_order_right_of_the_query(tmp_path: Path) -> None:
    paths = [paint(tmp_path, number) for number in range(7)]
    found = [Answer(path, f"id {place}", 1 - place / 10, True) for place, path in enumerate(paths[1:])]
    page = pixels(strips("seven", [Strip(paths[0], "query", found)], private_images=False))
    corners = [where(page, paint_).min(axis=0) for paint_ in PAINTS]
    query, first, last = corners[0], corners[1:6], corners[6]
    tall = paint(tmp_path, 0, (160, 40))
    narrow = pixels(strips("seven", [Strip(tall, "query", found)], private_images=False))
    assert [where(narrow, paint_).min(axis=0)[1] for paint_ in PAINTS[1:]] == [corner[1] for corner in corners[1:]]
    tops, lefts = zip(*first, strict=True)
    assert query[1] < lefts[0]
    assert max(tops) == min(tops)
    assert list(lefts) == sorted(lefts)
    assert last[0] > max(tops)
    assert last[1] == lefts[0]


def test_relevant_irrelevant_and_unknown_differ_in_color_and_in_shape(tmp_path: Path) -> None:
    path, signs = paint(tmp_path, 0), []
    for relevant, color in ((True, GREEN), (False, RED), (None, GRAY)):
        page = pixels(
            strips("one", [Strip(path, "query", [Answer(path, "an id", 0.5, relevant)])], private_images=False)
        )
        for other in {GREEN, RED, GRAY} - {color}:
            assert len(where(page, other)) < 100  # gray words have some such pixels
        assert len(where(page, color)) > 1000
        answer = page[70:, 220:]  # below the key, right of the query
        top = int(((answer == color).all(axis=2).sum(axis=1) > 50).argmax())  # the frame's upper edge
        left = int((answer[top] == color).all(axis=1).argmax())
        badge = answer[top : top + 19, left : left + 19]
        signs.append((badge == 255).all(axis=2))
        assert 10 < signs[-1].sum() < 200
    assert (signs[0] ^ signs[1]).sum() > 30
    assert (signs[1] ^ signs[2]).sum() > 30
    assert (signs[0] ^ signs[2]).sum() > 30


def holds(page: np.ndarray, part: np.ndarray) -> bool:
    """Whether a part is somewhere on a page, pixel by pixel."""
    left, top = cv2.minMaxLoc(cv2.matchTemplate(page, part, cv2.TM_SQDIFF))[2]
    return np.array_equal(page[top : top + part.shape[0], left : left + part.shape[1]], part)


def test_ranks_similarities_and_captions_are_written_beside_the_images(tmp_path: Path) -> None:
    path = paint(tmp_path, 0)
    found = [Answer(path, "帧 7\nbreath", 0.99274, True), Answer(path, "other", -0.0314, False)]
    page = pixels(strips("title", [Strip(path, "the query\nits label", found)], private_images=False))
    for text in ("0.993", "-0.031"):
        assert holds(page, canvas.text_line(text, 150, size=canvas.HEADING))
    assert not holds(page, canvas.text_line("0.994", 150, size=canvas.HEADING))
    for rank in ("1", "2"):
        assert holds(page, canvas.text_line(rank, 150, size=canvas.HEADING, weight=canvas.BOLD))
    for first, second in (("帧 7", "breath"), ("the query", "its label")):
        assert holds(page, canvas.text_line(first, 150))
        assert holds(page, canvas.text_line(second, 150, color=MUTED))


@pytest.mark.parametrize("size", [(40, 160), (160, 40), (9, 12), (900, 1200)])
def test_images_keep_their_proportions(tmp_path: Path, size: tuple[int, int]) -> None:
    other, path = paint(tmp_path, 0), paint(tmp_path, 1, size)
    page = pixels(strips("proportions", [Strip(other, "query", [Answer(path, "id", 0.1, None)])], private_images=False))
    spots = where(page, PAINTS[1])
    height, width = spots.max(axis=0) - spots.min(axis=0) + 1
    assert height / width == pytest.approx(size[0] / size[1], rel=0.06)
    assert max(height, width) > 130  # small ones are drawn as large as others


def test_any_mode_can_be_shown(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    deep, gray = draw.integers(0, 65535, (20, 30, 4)).astype(np.uint16), draw.integers(0, 255, (9, 9)).astype(np.uint8)
    for name, image in {"deep.png": deep, "gray.png": gray, "row.png": gray[:1]}.items():
        cv2.imwrite(str(tmp_path / name), image)
    found = [Answer(tmp_path / name, name, 0.0, False) for name in ("gray.png", "row.png")]
    pixels(strips("modes", [Strip(tmp_path / "deep.png", "deep", found)], private_images=False))


def test_long_words_of_any_script_stay_on_the_page(tmp_path: Path) -> None:
    path = paint(tmp_path, 0)
    plain = pixels(strips("a", [Strip(path, "a\nb", [Answer(path, "a\nb", 0.5, True)])], private_images=False))
    long = "кадр帧" * 60
    page = pixels(
        strips(long, [Strip(path, f"{long}\nb", [Answer(path, f"{long}\n{long}", 0.5, True)])], private_images=False)
    )
    assert page.shape[0] == plain.shape[0]
    assert (page[:, -10:] == 255).all()
    assert (
        pixels(strips("many words " * 20, [Strip(path, "a", [])], private_images=False)).shape[0]
        > pixels(strips("one", [Strip(path, "a", [])], private_images=False)).shape[0]
    )


def test_ids_of_a_query_and_its_answers_stay_apart() -> None:
    """Cut in their middle to the width of an image, all would read the same."""
    captions = [f"board_of_the_second_{side}_line_in_the_hall_0052\nscratch" for side in ("left", "right", "upper")]
    found = _apart(captions)
    assert len({canvas.shortened(each.partition("\n")[0], TILE) for each in captions}) == 1
    assert len({canvas.shortened(each.partition("\n")[0], TILE) for each in found}) == 3
    assert all(each.endswith("\nscratch") for each in found)


def test_nothing_to_show_and_files_that_are_no_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GoldfoldError) as error:
        strips("none", [], private_images=False)
    assert error.value.code == "nothing_to_draw"
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(GoldfoldError, match=r"text\.png"):
        strips(
            "text",
            [Strip(paint(tmp_path, 0), "query", [Answer(tmp_path / "text.png", "id", 0.5, None)])],
            private_images=False,
        )
