"""Picture of queries: each at the left with its tags, and the images it retrieved by rank, marked if relevant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.report.plotting import canvas, photographs
from goldfold.report.plotting.canvas import BOLD, HEADING, PAGE, TEXT, TITLE, blank, hstack, rgb, text_line, vstack
from goldfold.report.plotting.style import FAINT, FOLDS, INK, MUTED

ACROSS = 5  # answers side by side; further ones continue below
MARGIN, GAP, GUTTER, BETWEEN = 14, 8, 22, 20  # pixels: page margin, between tiles, after the query, between strips
QUERY = 190  # pixels of the first column
TILE = (PAGE - 2 * MARGIN - QUERY - GUTTER + GAP) // ACROSS - GAP
FRAME = 3  # pixels
BADGE, BAR = 19, 4  # pixels
SIGNS = {  # relevant -> name, color of the frame, strokes of a sign in the unit square (so that color is not alone)
    True: ("relevant", FOLDS[2], (((0.22, 0.55), (0.42, 0.75), (0.78, 0.28)),)),
    False: ("irrelevant", FOLDS[5], (((0.27, 0.27), (0.73, 0.73)), ((0.73, 0.27), (0.27, 0.73)))),
    None: ("unknown, or not counted", MUTED, (((0.28, 0.5), (0.72, 0.5)),)),
}


@dataclass(frozen=True)
class Answer:
    """A retrieved image.

    similarity: its cosine to the query, or a distance. relevant: None if unknown, or if the metric does not count it.
    """

    path: Path
    caption: str
    similarity: float
    relevant: bool | None


class Tag(NamedTuple):
    """A label with its score in [0, 1]. true: whether the query has it; None if that is unknown."""

    label: str
    score: float
    true: bool | None


@dataclass(frozen=True)
class Strip:
    """A query and the images it retrieved, the most similar first. Captions may have several lines.

    tags: source -> its first tags, drawn as bars below the query, or beside it if nothing is retrieved.
    """

    path: Path
    caption: str
    answers: Sequence[Answer]
    tags: Mapping[str, Sequence[Tag]] = field(default_factory=dict)


def strips(
    title: str,
    rows: Sequence[Strip],
    *,
    private_images: bool,
    measure: str = "cosine similarity",
    decimals: int = 3,
) -> bytes:
    """A PNG 1020 pixels wide: a strip for each query, its answers in rows of five with rank, similarity and mark.

    private_images: whether tiles with the first lines of the captions, the ids, stand in the place of images.
    measure, decimals: what `Answer.similarity` is, and how many decimals of it are written.

    Raises:
        GoldfoldError: there is no query, or an image cannot be read.
    """
    if not rows:
        raise GoldfoldError("nothing_to_draw", "a picture of retrieval results needs at least one query: name its id")
    parts = [_title(title, PAGE - 2 * MARGIN), _legend(rows, measure)]
    for strip in rows:
        parts += [blank(1, PAGE - 2 * MARGIN, FAINT), _strip(strip, private_images, decimals)]
    page = vstack(parts, gap=BETWEEN // 2)
    whole = blank(page.shape[0] + 2 * MARGIN, PAGE)
    whole[MARGIN:-MARGIN, MARGIN:-MARGIN] = page
    return canvas.png(whole)


def _title(title: str, max_width: int) -> np.ndarray:
    """In as many lines as it needs, broken between words."""
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".strip()
        if canvas.text_width(longer, TITLE, BOLD) > max_width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return vstack(text_line(line, max_width, size=TITLE, weight=BOLD) for line in lines)


def _legend(rows: Sequence[Strip], measure: str) -> np.ndarray:
    """Meaning of the numbers and marks that the picture has."""
    found = {answer.relevant for strip in rows for answer in strip.answers}
    texts = [f"above each image: rank, {measure}"] if found else []
    if tags := [tag for strip in rows for each in strip.tags.values() for tag in each]:
        texts.append(
            "bars: scores of labels" + (", green if the label is true" if any(tag.true for tag in tags) else "")
        )
    entries = [hstack([_badge(sign), text_line(SIGNS[sign][0], PAGE)], gap=5) for sign in SIGNS if sign in found]
    lines = [text_line(text, PAGE - 2 * MARGIN, color=MUTED) for text in texts]
    return vstack([hstack([lines[0], *entries], gap=GUTTER), *lines[1:]], gap=3) if lines else blank(0, 1)


def _strip(strip: Strip, private: bool, decimals: int) -> np.ndarray:
    captions = [strip.caption, *(answer.caption for answer in strip.answers)]
    paths = [strip.path, *(answer.path for answer in strip.answers)]
    image, *images = photographs.read_all(paths, [_id(caption) for caption in captions], private=private)
    own, *others = _apart(captions)
    head = vstack([text_line("query", QUERY, size=HEADING, weight=BOLD), _framed(image, QUERY, INK)], gap=3)
    query = vstack([head, _caption(own, QUERY), blank(0, QUERY)], gap=3)
    tags = [_tags(source, each) for source, each in strip.tags.items()]
    if tags and not strip.answers:
        return hstack([query, blank(1, GUTTER - 2 * GAP), hstack(tags, gap=GUTTER)], gap=GAP)
    query = vstack([query, *tags], gap=BETWEEN // 2)
    answers = [replace(answer, caption=caption) for answer, caption in zip(strip.answers, others, strict=True)]
    tiles = [_answer(*each, rank, decimals) for rank, each in enumerate(zip(answers, images, strict=True), 1)]
    lines = [hstack(tiles[start : start + ACROSS], gap=GAP) for start in range(0, len(tiles), ACROSS)]
    found = vstack(lines, gap=BETWEEN // 2) if lines else text_line("nothing retrieved", TILE, color=MUTED)
    return hstack([query, blank(1, GUTTER - 2 * GAP), found], gap=GAP)


def _apart(captions: Sequence[str]) -> list[str]:
    """The captions with their ids cut so that different ones stay different."""
    ids = canvas.apart([_id(caption) for caption in captions], TILE)
    rests = ("".join(caption.partition("\n")[1:]) for caption in captions)
    return [f"{name}{rest}" for name, rest in zip(ids, rests, strict=True)]


def _tags(source: str, tags: Sequence[Tag]) -> np.ndarray:
    """The source, then a line and a bar for each tag."""
    lines = [text_line(f"tags by {source}", QUERY, size=HEADING, weight=BOLD)]
    for tag in tags:
        score = text_line(f"{tag.score:.2f}", QUERY)
        name = text_line(tag.label, QUERY - score.shape[1] - GAP)
        line = blank(name.shape[0] + BAR, QUERY)
        line[: name.shape[0], : name.shape[1]] = name
        line[: score.shape[0], QUERY - score.shape[1] :] = score
        line[-BAR:] = rgb(FAINT)
        line[-BAR:, : round(QUERY * min(max(tag.score, 0), 1))] = rgb(SIGNS[True][1] if tag.true else MUTED)
        lines.append(line)
    return vstack(lines, gap=4)


def _answer(answer: Answer, image: np.ndarray, rank: int, decimals: int) -> np.ndarray:
    """Rank and similarity on one line, then the image in its frame with its mark, then the caption."""
    _, color, _ = SIGNS[answer.relevant]
    number = text_line(f"{rank}", TILE, size=HEADING, weight=BOLD)
    similarity = text_line(f"{answer.similarity:.{decimals}f}", TILE, size=HEADING)
    head = blank(number.shape[0], TILE)
    head[:, : number.shape[1]] = number
    head[:, TILE - similarity.shape[1] :] = similarity
    framed = _framed(image, TILE, color)
    framed[:BADGE, :BADGE] = _badge(answer.relevant)
    return vstack([head, framed, _caption(answer.caption, TILE)], gap=3)


def _id(caption: str) -> str:
    return caption.partition("\n")[0]


def _framed(image: np.ndarray, side: int, color: str) -> np.ndarray:
    """An image in a colored frame, at most `side` pixels wide and high, with its aspect ratio."""
    inside = side - 2 * FRAME
    height, width = canvas.fit_size(image.shape, inside, inside)
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    drawn = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)
    framed = blank(max(BADGE, height + 2 * FRAME), max(BADGE, width + 2 * FRAME), color)
    framed[FRAME : FRAME + height, FRAME : FRAME + width] = drawn
    return framed


def _badge(relevant: bool | None) -> np.ndarray:
    """A small colored square with a white tick, cross or dash."""
    _, color, strokes = SIGNS[relevant]
    badge = blank(BADGE, BADGE, color)
    lines = [np.round(np.array(stroke) * (BADGE - 1)).astype(np.int32) for stroke in strokes]
    return cv2.polylines(badge, lines, False, (255, 255, 255), 2, cv2.LINE_AA)


def _caption(caption: str, max_width: int) -> np.ndarray:
    """The first line in black, the others in gray."""
    lines = caption.splitlines() or [""]
    return vstack(
        text_line(line, max_width, size=TEXT, color=MUTED if number else INK) for number, line in enumerate(lines)
    )
