"""What queries found, as strips of images: the query at the left, its answers by rank, right and wrong ones marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import reading as images
from goldfold.report.plotting import canvas
from goldfold.report.plotting.canvas import BOLD, HEADING, PAGE, TEXT, TITLE, below, beside, blank, words
from goldfold.report.plotting.style import FAINT, FOLDS, INK, MUTED

ACROSS = 5  # answers side by side; more go on below
MARGIN, GAP, GUTTER, BETWEEN = 14, 8, 22, 20  # pixels: round the page, between tiles, behind the query, between strips
QUERY = 190  # pixels of the first column
TILE = (PAGE - 2 * MARGIN - QUERY - GUTTER + GAP) // ACROSS - GAP
FRAME = 3  # pixels
BADGE = 19  # pixels
SIGNS = {  # a word, the colour of the frame, and strokes in the unit square, so that colour never speaks alone
    True: ("right", FOLDS[2], (((0.22, 0.55), (0.42, 0.75), (0.78, 0.28)),)),
    False: ("wrong", FOLDS[5], (((0.27, 0.27), (0.73, 0.73)), ((0.73, 0.27), (0.27, 0.73)))),
    None: ("not known, or not counted", MUTED, (((0.28, 0.5), (0.72, 0.5)),)),
}


@dataclass(frozen=True)
class Answer:
    """An image that was found. similarity: a cosine; right: None where nobody knows, or where it does not count."""

    path: Path
    caption: str
    similarity: float
    right: bool | None


@dataclass(frozen=True)
class Strip:
    """A query and its answers, the most alike first. Lines of a caption are parted by line breaks."""

    path: Path
    caption: str
    answers: Sequence[Answer]


def strips(title: str, rows: Sequence[Strip]) -> bytes:
    """A PNG 1020 pixels wide: a strip a query, five answers side by side with rank, similarity, caption and mark.

    Raises:
        GoldfoldError: there is no query, or an image cannot be read.
    """
    if not rows:
        raise GoldfoldError("a picture of retrieval needs one query or more, and got none: name the ids to ask for")
    parts = [_title(title, PAGE - 2 * MARGIN), _key(rows)]
    for strip in rows:
        parts += [blank(1, PAGE - 2 * MARGIN, FAINT), _strip(strip)]
    page = below(parts, gap=BETWEEN // 2)
    whole = blank(page.shape[0] + 2 * MARGIN, PAGE)
    whole[MARGIN:-MARGIN, MARGIN:-MARGIN] = page
    return canvas.png(whole)


def _title(title: str, room: int) -> np.ndarray:
    """In as many lines as it needs, broken between words."""
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".strip()
        if canvas.extent(longer, TITLE, BOLD) > room and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return below(words(line, room, size=TITLE, weight=BOLD) for line in lines)


def _key(rows: Sequence[Strip]) -> np.ndarray:
    """What the marks mean, those that are there."""
    found = {answer.right for strip in rows for answer in strip.answers}
    entries = [beside([_badge(right), words(SIGNS[right][0], PAGE)], gap=5) for right in SIGNS if right in found]
    return beside([words("similarity is the cosine, 1 at most", PAGE, colour=MUTED), *entries], gap=GUTTER)


def _strip(strip: Strip) -> np.ndarray:
    query = below([words("query", QUERY, size=HEADING, weight=BOLD), _picture(strip.path, QUERY, INK)], gap=3)
    asked = below([query, _caption(strip.caption, QUERY), blank(0, QUERY)], gap=3)
    tiles = [_answer(answer, rank) for rank, answer in enumerate(strip.answers, 1)]
    lines = [beside(tiles[start : start + ACROSS], gap=GAP) for start in range(0, len(tiles), ACROSS)]
    found = below(lines, gap=BETWEEN // 2) if lines else words("no answers", TILE, colour=MUTED)
    return beside([asked, blank(1, GUTTER - 2 * GAP), found], gap=GAP)


def _answer(answer: Answer, rank: int) -> np.ndarray:
    """Rank and similarity on a line, the image in its frame with its mark, the caption."""
    _, colour, _ = SIGNS[answer.right]
    place = words(f"{rank}", TILE, size=HEADING, weight=BOLD)
    similarity = words(f"{answer.similarity:.3f}", TILE, size=HEADING)
    head = blank(place.shape[0], TILE)
    head[:, : place.shape[1]] = place
    head[:, TILE - similarity.shape[1] :] = similarity
    image = _picture(answer.path, TILE, colour)
    image[:BADGE, :BADGE] = _badge(answer.right)
    return below([head, image, _caption(answer.caption, TILE)], gap=3)


def _picture(path: Path, side: int, colour: str) -> np.ndarray:
    """An image in a square of `side` pixels at most, its proportions kept, in a frame of a colour."""
    image, room = images.read(path), side - 2 * FRAME
    height, width = canvas.fitted(image.shape, room, room)
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    drawn = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)
    framed = blank(max(BADGE, height + 2 * FRAME), max(BADGE, width + 2 * FRAME), colour)
    framed[FRAME : FRAME + height, FRAME : FRAME + width] = drawn
    return framed


def _badge(right: bool | None) -> np.ndarray:
    """A small square of the colour with a white tick, cross or dash."""
    _, colour, strokes = SIGNS[right]
    badge = blank(BADGE, BADGE, colour)
    lines = [np.round(np.array(stroke) * (BADGE - 1)).astype(np.int32) for stroke in strokes]
    return cv2.polylines(badge, lines, False, (255, 255, 255), 2, cv2.LINE_AA)


def _caption(caption: str, room: int) -> np.ndarray:
    """The first line in ink, the others muted."""
    lines = caption.splitlines() or [""]
    return below(words(line, room, size=TEXT, colour=MUTED if place else INK) for place, line in enumerate(lines))
