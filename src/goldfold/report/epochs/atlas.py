"""Pages of the epoch atlas: for each saved epoch, its outputs on the same few images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.io.formatting import digits
from goldfold.report.masks.colors import color_legend
from goldfold.report.plotting import canvas
from goldfold.report.plotting.canvas import BOLD, HEADING, PAGE, TEXT, TITLE, Range, blank, hstack, text_line, vstack
from goldfold.report.plotting.style import FOLDS, INK, MUTED

ALARM, CHOSEN = "#b5402f", FOLDS[0]
OUTLINE = FOLDS[4]  # light blue, which no heatmap has
COLORS = {"normal": FOLDS[2], "anomalous": FOLDS[5], "": MUTED}
MARGIN, GAP, GUTTER = 14, 4, 26  # pixels: page margin, between tiles, between groups side by side
EDGE = 10  # pixels of the colored edge of a group and the space beside it
BETWEEN = 12  # pixels between images


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Images whose outputs are shown at every epoch.

    ids, labels: captions of each image. images: (k, h, w, 3) float in [0, 1]. anomalous: whether each image shows a
    defect, used to group them; None if unknown. masks: the true defect of each image, bool (height, width) of any size,
    which is outlined; None if unknown. colors: name -> (red, green, blue), a legend of the pictures' colors. truths:
    pictures of true masks, (k, h, w, 3) in [0, 1], which are drawn once, beside the images.
    """

    ids: Sequence[str]
    labels: Sequence[str]
    images: np.ndarray
    anomalous: Sequence[bool] | None = None
    masks: Sequence[np.ndarray] | None = None
    colors: Mapping[str, Sequence[int]] = field(default_factory=dict)
    truths: np.ndarray | None = None

    def __post_init__(self) -> None:
        known = (self.ids, self.labels, self.images, self.anomalous, self.masks, self.truths)
        counts = [len(each) for each in known if each is not None]
        if min(counts) == 0 or min(counts) < max(counts) or self.images.shape[3:] != (3,):
            raise GoldfoldError(
                "probes_not_aligned",
                f"an atlas needs images (k, h, w, 3) with one id and one label each, got images {self.images.shape}, "
                f"{len(self.ids)} ids and {len(self.labels)} labels: pass images of one size",
            )

    def groups(self) -> dict[str, list[int]]:
        """Positions of normal and anomalous images by group name; one group named '' if unknown, no empty group."""
        if self.anomalous is None:
            return {"": list(range(len(self.ids)))}
        anomalous = np.asarray(self.anomalous, bool)
        groups = {"normal": np.flatnonzero(~anomalous).tolist(), "anomalous": np.flatnonzero(anomalous).tolist()}
        return {name: members for name, members in groups.items() if members}


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """The outputs of one epoch for the probe images.

    number: 1, 2, ... through all stages. name: shown instead of the number if not empty.
    pictures: name -> heatmaps (k, h, w) or RGB images (k, h, w, 3) in [0, 1], of any height and width; scores:
        name -> (k,). Values may be NaN or infinite, as those of a diverged network.
    facts: name -> a number of the whole epoch, such as its AUROC. alarms: what is wrong with it, in a few words each.
    """

    number: int
    pictures: Mapping[str, np.ndarray]
    scores: Mapping[str, np.ndarray]
    facts: Mapping[str, float] = field(default_factory=dict)
    alarms: Sequence[str] = ()
    name: str = ""

    @property
    def title(self) -> str:
        """The heading of the epoch's page."""
        return self.name or f"Epoch {self.number}"


def heat_ranges(pictures: Iterable[Mapping[str, np.ndarray]]) -> dict[str, Range]:
    """The color range (low, high) of each heatmap, the same at every epoch so that epochs can be compared by eye.

    Medians over epochs of the 1st and 99.5th percentile of the finite values: a few collapsed epochs with large errors
    do not darken all others. pictures: of each epoch.
    """
    percentiles: dict[str, list[np.ndarray]] = {}
    for named in pictures:
        for name, values in named.items():
            if values.ndim == 3:
                finite = values[np.isfinite(values)].astype(np.float32)
                percentiles.setdefault(name, []).extend([np.percentile(finite, (1, 99.5))] if finite.size else [])
    return {name: _median_range(found) for name, found in percentiles.items()}


def _median_range(percentiles: Sequence[np.ndarray]) -> Range:
    """The median (low, high) over epochs; (0, 1) if no epoch had a finite value."""
    if not percentiles:
        return 0.0, 1.0
    low, high = np.median(percentiles, axis=0).tolist()
    return low, high


def epoch_page(
    probes: Probes, epoch: Epoch, ranges: Mapping[str, Range], chosen: Mapping[str, int] | None = None
) -> bytes:
    """A PNG 1020 pixels wide: each probe image beside the epoch's outputs, normal images left, anomalous ones right.

    ranges: from `heat_ranges`. chosen: selection rule -> epoch; rules that select this epoch are named.

    Raises:
        GoldfoldError: a picture or a score is not one per probe image.
    """
    check(probes, epoch)
    columns = _columns(probes)
    width = (PAGE - 2 * MARGIN - (len(columns) - 1) * GUTTER) // len(columns)
    body = hstack([_column(probes, epoch, ranges, column, width) for column in columns], gap=GUTTER)
    page = vstack([_head(epoch, ranges, chosen or {}), *legends(probes), body], gap=BETWEEN)
    return canvas.png(framed(page, PAGE))


def legends(probes: Probes) -> list[np.ndarray]:
    """The legends of the pictures' colors and of outlined defects, if they have them."""
    width = PAGE - 2 * MARGIN
    colors = [color_legend(probes.colors, width)] if probes.colors else []
    outlines = [text_line("blue outline: true defect", width, color=OUTLINE)] if probes.masks is not None else []
    return colors + outlines


def framed(part: np.ndarray, width: int) -> np.ndarray:
    """Put a part on a page that is `width` pixels wide, with margins."""
    whole = blank(part.shape[0] + 2 * MARGIN, width)
    whole[MARGIN:-MARGIN, MARGIN : MARGIN + part.shape[1]] = part
    return whole


def check(probes: Probes, epoch: Epoch) -> None:
    """Raise GoldfoldError if the epoch lacks a picture or a score of a probe image, or has another shape."""
    count = len(probes.images)
    for name, values in epoch.pictures.items():
        if len(values) != count or values.ndim not in (3, 4) or values.shape[3:] not in ((), (3,)):
            raise GoldfoldError(
                "picture_shape",
                f"picture '{name}' of epoch {epoch.number} has shape {values.shape}, but {count} images need heatmaps "
                f"({count}, h, w) or RGB images ({count}, h, w, 3). Fix what the recipe's plan returns as pictures",
            )
    for name, values in epoch.scores.items():
        if np.shape(values) != (count,):
            raise GoldfoldError(
                "score_shape",
                f"score '{name}' of epoch {epoch.number} has shape {np.shape(values)}, but needs one number per image, "
                f"({count},). Pass maps as pictures",
            )


def striped(epochs: Iterable[Epoch]) -> bool:
    """Whether any picture has values that are not finite."""
    return not all(np.isfinite(values).all() for epoch in epochs for values in epoch.pictures.values())


def _columns(probes: Probes) -> list[tuple[str, list[int]]]:
    """Two groups side by side; a single group of several images in two halves."""
    groups = list(probes.groups().items())
    if len(groups) == 2 or len(probes.ids) == 1:
        return groups
    name, members = groups[0]
    half = -(-len(members) // 2)
    return [(name, members[:half]), (name, members[half:])]


def _head(epoch: Epoch, ranges: Mapping[str, Range], chosen: Mapping[str, int]) -> np.ndarray:
    """Title with alarms, the rules that select the epoch, its facts, and the legend of the heatmaps."""
    width = PAGE - 2 * MARGIN
    title = text_line(epoch.title, width, size=TITLE, weight=BOLD)
    alarms = [canvas.pill(alarm, canvas.text_width(alarm, TEXT) + 12, ALARM) for alarm in epoch.alarms]
    lines = [hstack([title, *(canvas.centered(alarm, title.shape[0], alarm.shape[1]) for alarm in alarms)], gap=10)]
    rules = [rule for rule, number in chosen.items() if number == epoch.number]
    if rules:
        lines.append(text_line(f"selected by {', '.join(rules)}", width, color=CHOSEN, weight=BOLD))
    lines.append(canvas.wrapped_text([f"{name} {digits(value)}" for name, value in epoch.facts.items()], width))
    shown = {name: ranges[name] for name, values in epoch.pictures.items() if values.ndim == 3}
    lines.append(canvas.heat_legend(shown, striped([epoch])))
    return vstack((line for line in lines if line.size), gap=3)


def _column(
    probes: Probes, epoch: Epoch, ranges: Mapping[str, Range], column: tuple[str, Sequence[int]], width: int
) -> np.ndarray:
    """Heading of a group, names of the pictures, and one image with its outputs below the other."""
    group, members = column
    fixed = {"input": probes.images} | ({} if probes.truths is None else {"truth": probes.truths})
    names, inside = [*fixed, *epoch.pictures], width - EDGE
    side = (inside + GAP) // len(names) - GAP
    size = canvas.fit_size(probes.images.shape[1:], 3 * side // 2, side)
    captions = [canvas.wrapped_text(score_texts(epoch, probe), inside) for probe in range(len(probes.ids))]
    tallest = max(caption.shape[0] for caption in captions)
    header = hstack((canvas.centered(text_line(name, side, color=MUTED), 18, side) for name in names), gap=GAP)
    cells = []
    for probe in members:
        drawn = [outlined(probes, probe, canvas.tile(each[probe], size)) for each in fixed.values()]
        drawn += [outlined(probes, probe, each) for each in tiles(epoch, ranges, probe, size)]
        row = hstack((canvas.centered(each, size[0], side) for each in drawn), gap=GAP)
        name = label(probes, probe, group, inside * 2 // 3)
        left = inside - name.shape[1] - 8
        name = hstack([name, text_line(canvas.apart(probes.ids, left)[probe], left, color=MUTED)], gap=8)
        spare = blank(tallest - captions[probe].shape[0], 1)
        cells.append(vstack([name, row, captions[probe], spare], gap=2))
    body = vstack([header, *cells], gap=BETWEEN)
    return vstack([heading(probes, group, width), edged(body, group)], gap=6)


def heading(probes: Probes, group: str, width: int) -> np.ndarray:
    """Number of images of a group; empty if groups are unknown."""
    if not group:
        return blank(0, width)
    text = f"{len(probes.groups()[group])} {group}"
    return text_line(text, width, size=HEADING, weight=BOLD, color=COLORS[group])


def edged(part: np.ndarray, group: str) -> np.ndarray:
    """Add a left edge in the group's color; it is thicker for anomalous images."""
    thickness = 6 if group == "anomalous" else 2
    return hstack([blank(part.shape[0], thickness, COLORS[group]), blank(1, EDGE - thickness), part])


def label(probes: Probes, probe: int, group: str, max_width: int) -> np.ndarray:
    """Label of an image in the color of its group; different labels stay different where they are cut."""
    text = canvas.apart(probes.labels, max_width, weight=BOLD)[probe]
    return text_line(text, max_width, weight=BOLD, color=COLORS[group] if group else INK)


def outlined(probes: Probes, probe: int, part: np.ndarray) -> np.ndarray:
    """A tile of an image or of its outputs with the outline of the true defect, if masks are known."""
    return part if probes.masks is None else canvas.outlined(part, probes.masks[probe], OUTLINE)


def score_texts(epoch: Epoch, probe: int) -> list[str]:
    """Name and value of each score of one image."""
    return [f"{name} {digits(values[probe])}" for name, values in epoch.scores.items()]


def tiles(epoch: Epoch, ranges: Mapping[str, Range], probe: int, size: canvas.Size) -> list[np.ndarray]:
    """The epoch's pictures of one image, drawn at one size."""
    return [canvas.tile(values[probe], size, ranges.get(name, (0, 1))) for name, values in epoch.pictures.items()]
