"""The epoch atlas: a page for each epoch with what it made of some probe images, and one sheet over all epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.io.formatting import digits
from goldfold.report.plotting import canvas
from goldfold.report.plotting.canvas import BOLD, HEADING, PAGE, TEXT, TITLE, Range, below, beside, blank, words
from goldfold.report.plotting.style import FOLDS, INK, MUTED

ALARM, CHOSEN = "#b5402f", FOLDS[0]
COLOURS = {"normal": FOLDS[2], "anomalous": FOLDS[5], "": MUTED}
MARGIN, GAP, GUTTER = 14, 4, 26  # pixels: round a page, between tiles, between groups side by side
EDGE = 10  # pixels of a group's colour, with the space beside it
BETWEEN = 12  # pixels from one probe to the next


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Images that every epoch is shown.

    ids, labels: what is written beside each. images: (k, h, w, 3) float in [0, 1]. anomalous: whether each shows a
    defect, by which they are grouped; None where nobody knows.
    """

    ids: Sequence[str]
    labels: Sequence[str]
    images: np.ndarray
    anomalous: Sequence[bool] | None = None

    def __post_init__(self) -> None:
        counts = [len(each) for each in (self.ids, self.labels, self.images, self.anomalous) if each is not None]
        if min(counts) == 0 or min(counts) < max(counts) or self.images.shape[3:] != (3,):
            raise GoldfoldError(
                f"an atlas needs images (k, h, w, 3), each with its id and label, and got images {self.images.shape}, "
                f"{len(self.ids)} ids and {len(self.labels)} labels; choose images of one size"
            )

    def groups(self) -> dict[str, list[int]]:
        """Positions of the normal and of the anomalous ones by these names, no group empty; all as '' where unknown."""
        if self.anomalous is None:
            return {"": list(range(len(self.ids)))}
        odd = np.asarray(self.anomalous, bool)
        groups = {"normal": np.flatnonzero(~odd).tolist(), "anomalous": np.flatnonzero(odd).tolist()}
        return {name: members for name, members in groups.items() if members}


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch made of the probes.

    number: 1, 2, ... through all stages. name: what it is called where that is not its number.
    pictures: name -> (k, h, w) heat or (k, h, w, 3) colours in [0, 1], of any height and width; scores: name -> (k,).
        Values may be nan or infinite, as a dead network gives them.
    facts: numbers of the whole epoch by name, such as its AUROCs. alarms: words for what is wrong with it.
    """

    number: int
    pictures: Mapping[str, np.ndarray]
    scores: Mapping[str, np.ndarray]
    facts: Mapping[str, float] = field(default_factory=dict)
    alarms: Sequence[str] = ()
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or f"Epoch {self.number}"


def heat_ranges(pictures: Iterable[Mapping[str, np.ndarray]]) -> dict[str, Range]:
    """What the colours of each heat span at every epoch, (low, high), so that epochs are compared by eye.

    The medians over epochs of the 1st and of the 99.5th percentile of what is finite: a few collapsed epochs with their
    large errors do not make all others dark. pictures: those of each epoch.
    """
    ends: dict[str, list[np.ndarray]] = {}
    for named in pictures:
        for name, values in named.items():
            if values.ndim == 3:
                finite = values[np.isfinite(values)].astype(np.float32)
                ends.setdefault(name, []).extend([np.percentile(finite, (1, 99.5))] if finite.size else [])
    return {name: tuple(np.median(found, axis=0).tolist()) if found else (0.0, 1.0) for name, found in ends.items()}


def epoch_page(
    probes: Probes, epoch: Epoch, ranges: Mapping[str, Range], chosen: Mapping[str, int] | None = None
) -> bytes:
    """A PNG 1020 pixels wide: each probe beside what the epoch made of it, normal ones left and anomalous ones right.

    ranges: as `heat_ranges` has them. chosen: rule -> epoch; the rules that choose this epoch are told.

    Raises:
        GoldfoldError: a picture or a score is not one per probe.
    """
    check(probes, epoch)
    columns = _columns(probes)
    room = (PAGE - 2 * MARGIN - (len(columns) - 1) * GUTTER) // len(columns)
    drawn = [_column(probes, epoch, ranges, column, room) for column in columns]
    body = beside(drawn, gap=GUTTER)
    page = below([_head(epoch, ranges, chosen or {}), body], gap=BETWEEN)
    return canvas.png(framed(page, PAGE))


def framed(part: np.ndarray, width: int) -> np.ndarray:
    """A part with the margins of a page that is `width` wide."""
    whole = blank(part.shape[0] + 2 * MARGIN, width)
    whole[MARGIN:-MARGIN, MARGIN : MARGIN + part.shape[1]] = part
    return whole


def check(probes: Probes, epoch: Epoch) -> None:
    count = len(probes.images)
    for name, values in epoch.pictures.items():
        if len(values) != count or values.ndim not in (3, 4) or values.shape[3:] not in ((), (3,)):
            raise GoldfoldError(
                f"a picture is ({count}, h, w) heat or ({count}, h, w, 3) colours for {count} images, and '{name}' of "
                f"epoch {epoch.number} is {values.shape}; mend what the recipe's plan returns as pictures"
            )
    for name, values in epoch.scores.items():
        if np.shape(values) != (count,):
            raise GoldfoldError(
                f"a score is one number per image, ({count},), and '{name}' of epoch {epoch.number} is "
                f"{np.shape(values)}; pass maps as pictures"
            )


def striped(epochs: Iterable[Epoch]) -> bool:
    """Whether any picture has values that are not finite."""
    return not all(np.isfinite(values).all() for epoch in epochs for values in epoch.pictures.values())


def _columns(probes: Probes) -> list[tuple[str, list[int]]]:
    """Two groups side by side, a single one in two halves where it is more than one image."""
    groups = list(probes.groups().items())
    if len(groups) == 2 or len(probes.ids) == 1:
        return groups
    name, members = groups[0]
    half = -(-len(members) // 2)
    return [(name, members[:half]), (name, members[half:])]


def _head(epoch: Epoch, ranges: Mapping[str, Range], chosen: Mapping[str, int]) -> np.ndarray:
    room = PAGE - 2 * MARGIN
    title = words(epoch.title, room, size=TITLE, weight=BOLD)
    alarms = [canvas.pill(alarm, canvas.extent(alarm, TEXT) + 12, ALARM) for alarm in epoch.alarms]
    lines = [beside([title, *(canvas.centred(alarm, title.shape[0], alarm.shape[1]) for alarm in alarms)], gap=10)]
    rules = [rule for rule, number in chosen.items() if number == epoch.number]
    if rules:
        lines.append(words(f"chosen by {', '.join(rules)}", room, colour=CHOSEN, weight=BOLD))
    lines.append(canvas.wrapped([f"{name} {digits(value)}" for name, value in epoch.facts.items()], room))
    shown = {name: ranges[name] for name, values in epoch.pictures.items() if values.ndim == 3}
    lines.append(canvas.heat_key(shown, striped([epoch])))
    return below((line for line in lines if line.size), gap=3)


def _column(
    probes: Probes, epoch: Epoch, ranges: Mapping[str, Range], column: tuple[str, Sequence[int]], room: int
) -> np.ndarray:
    """A group's heading, the names of its pictures, and its probes one below the other."""
    group, members = column
    names, inside = ["input", *epoch.pictures], room - EDGE
    side = (inside + GAP) // len(names) - GAP
    size = canvas.fitted(probes.images.shape[1:], 3 * side // 2, side)
    captions = [canvas.wrapped(said(epoch, probe), inside) for probe in range(len(probes.ids))]
    deepest = max(caption.shape[0] for caption in captions)
    above = beside((canvas.centred(words(name, side, colour=MUTED), 18, side) for name in names), gap=GAP)
    cells = []
    for probe in members:
        drawn = [canvas.tile(probes.images[probe], size), *tiles(epoch, ranges, probe, size)]
        row = beside((canvas.centred(each, size[0], side) for each in drawn), gap=GAP)
        name = label(probes, probe, group, inside * 2 // 3)
        name = beside([name, words(probes.ids[probe], inside - name.shape[1] - 8, colour=MUTED)], gap=8)
        spare = blank(deepest - captions[probe].shape[0], 1)
        cells.append(below([name, row, captions[probe], spare], gap=2))
    body = below([above, *cells], gap=BETWEEN)
    return below([heading(probes, group, room), edged(body, group)], gap=6)


def heading(probes: Probes, group: str, room: int) -> np.ndarray:
    """How many probes are of a group; nothing where no groups are known."""
    if not group:
        return blank(0, room)
    told = f"{len(probes.groups()[group])} {group}"
    return words(told, room, size=HEADING, weight=BOLD, colour=COLOURS[group])


def edged(part: np.ndarray, group: str) -> np.ndarray:
    """A part with an edge of its group's colour at the left, which is thicker at anomalous ones."""
    thick = 6 if group == "anomalous" else 2
    return beside([blank(part.shape[0], thick, COLOURS[group]), blank(1, EDGE - thick), part])


def label(probes: Probes, probe: int, group: str, room: int) -> np.ndarray:
    return words(probes.labels[probe], room, weight=BOLD, colour=COLOURS[group] if group else INK)


def said(epoch: Epoch, probe: int) -> list[str]:
    return [f"{name} {digits(values[probe])}" for name, values in epoch.scores.items()]


def tiles(epoch: Epoch, ranges: Mapping[str, Range], probe: int, size: canvas.Size) -> list[np.ndarray]:
    """The epoch's pictures of one probe."""
    return [canvas.tile(values[probe], size, ranges.get(name, (0, 1))) for name, values in epoch.pictures.items()]
