"""Contact sheet of the epoch atlas: a column for each epoch, a row for each probe image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from goldfold.io.formatting import count, digits
from goldfold.report.epochs import atlas
from goldfold.report.epochs.atlas import ALARM, CHOSEN, EDGE, GAP, MARGIN, Epoch, Probes
from goldfold.report.plotting import canvas
from goldfold.report.plotting.canvas import (
    BOLD,
    HEADING,
    PAGE,
    TEXT,
    TINY,
    TITLE,
    Range,
    blank,
    hstack,
    text_line,
    vstack,
)
from goldfold.report.plotting.style import MUTED

MAX_COLUMNS = 16
MIN_WIDTH, MAX_WIDTH = 72, 96  # pixels of a column; the sheet is wider than a page if needed for the minimum
INPUT = 150  # pixels of the first column, which shows the inputs
START = EDGE + INPUT + GAP  # left end of the first epoch's column
LANE = 18  # pixels of a line that names selection rules
MIN_INPUT = 72  # pixels of the height of an input image


def contact_sheet(
    probes: Probes, epochs: Sequence[Epoch], ranges: Mapping[str, Range], chosen: Mapping[str, int] | None = None
) -> bytes:
    """A PNG of all epochs side by side: inputs at the left, then the outputs of each epoch, with the first score below.

    epochs: in the order of training; if there are more than 16, those of `shown_epochs` are drawn. ranges: from
    `heat_ranges`. chosen: selection rule -> epoch, named above its framed column. The sheet is 1020 pixels wide, or
    wider if columns would be narrower than 72 pixels.

    Raises:
        GoldfoldError: a picture or a score is not one per probe image.
    """
    chosen = chosen or {}
    numbers = shown_epochs([epoch.number for epoch in epochs], chosen)
    shown = [epoch for epoch in epochs if epoch.number in numbers]
    for epoch in shown:
        atlas.check(probes, epoch)
    width = min(MAX_WIDTH, max(MIN_WIDTH, (PAGE - 2 * MARGIN - START + GAP) // len(shown) - GAP))
    rules = {number: ", ".join(rule for rule in chosen if chosen[rule] == number) for number in chosen.values()}
    lefts = {epoch.number: START + column * (width + GAP) for column, epoch in enumerate(shown)}
    flags = {lefts[number]: names for number, names in sorted(rules.items()) if number in lefts}
    head = vstack([_title(probes, epochs, shown, ranges, chosen), _lanes(flags, max(lefts.values()) + width)], gap=8)
    groups = [_group(probes, shown, ranges, each, width) for each in probes.groups().items()]
    sheet = hstack([vstack([head, _heads(shown, width), *groups], gap=10), blank(0, GAP)])  # space for the last frame
    for left in flags:
        corners = (left - 2, head.shape[0]), (left + width + 1, sheet.shape[0] - 1)
        cv2.rectangle(sheet, *corners, canvas.rgb(CHOSEN), 2)
    return canvas.png(atlas.framed(sheet, max(PAGE, sheet.shape[1] + 2 * MARGIN)))


def shown_epochs(numbers: Sequence[int], chosen: Mapping[str, int], most: int = MAX_COLUMNS) -> list[int]:
    """Choose at most `most` epochs to show, in order.

    If there are more, the first, the last and the selected epochs are shown, then repeatedly the epoch farthest from
    those shown (k-center).

    >>> shown_epochs(range(1, 31), {"validation_loss": 16}, most=6)
    [1, 8, 12, 16, 23, 30]
    """
    if len(numbers) <= most:
        return list(numbers)
    taken = {0, len(numbers) - 1} | {index for index, number in enumerate(numbers) if number in chosen.values()}
    while len(taken) < most:
        taken.add(max(range(len(numbers)), key=lambda index: min(abs(index - other) for other in taken)))
    return [numbers[index] for index in sorted(taken)]


def _title(
    probes: Probes,
    epochs: Sequence[Epoch],
    shown: Sequence[Epoch],
    ranges: Mapping[str, Range],
    chosen: Mapping[str, int],
) -> np.ndarray:
    max_width = PAGE - 2 * MARGIN
    title = f"{count(len(probes.ids), 'image')} at {count(len(epochs), 'epoch')}"
    notes = ["at the left: input beside truth"] if probes.truths is not None else []
    notes.append(f"in each column: {' above '.join(shown[0].pictures)}")
    if len(shown) < len(epochs):
        notes.append(f"{len(shown)} epochs are shown: the first, the last, the selected ones and some between them")
    kept = {epoch.number for epoch in epochs}
    notes += [
        f"{rule} selects epoch {number}, whose weights are not saved"
        for rule, number in chosen.items()
        if number not in kept
    ]
    heats = {name: ranges[name] for name, values in shown[0].pictures.items() if values.ndim == 3}
    line = text_line(title, max_width, size=TITLE, weight=BOLD)
    legend = canvas.heat_legend(heats, atlas.striped(shown))
    return vstack([line, canvas.wrapped_text(notes, max_width), legend, *atlas.legends(probes)], gap=3)


def _lanes(flags: Mapping[int, str], width: int) -> np.ndarray:
    """Selection rules as flags above their columns, each on its own line with a pole down to its column."""
    lanes = blank(LANE * len(flags), width)
    for lane, left in enumerate(flags):
        lanes[lane * LANE :, left - 3 : left - 1] = canvas.rgb(CHOSEN)
    for lane, (left, rules) in enumerate(flags.items()):
        flag = text_line(rules, width - START - 4, color=CHOSEN, weight=BOLD)
        start = min(left + 4, width - flag.shape[1])
        lanes[lane * LANE : lane * LANE + flag.shape[0], start : start + flag.shape[1]] = flag
    if flags:
        lead = text_line("epoch selected by", INPUT, color=MUTED)
        lanes[: lead.shape[0], EDGE : EDGE + lead.shape[1]] = lead
    return lanes


def _heads(shown: Sequence[Epoch], width: int) -> np.ndarray:
    """Alarms, number and facts of each epoch."""
    rows = []
    for line in range(max(len(epoch.alarms) for epoch in shown)):
        pills = [
            canvas.pill(epoch.alarms[line], width, ALARM) if line < len(epoch.alarms) else blank(1, width)
            for epoch in shown
        ]
        rows.append(hstack([blank(1, INPUT), *pills], gap=GAP))
    numbers = [
        text_line(epoch.name or f"{epoch.number}", width, size=TEXT if epoch.name else HEADING, weight=BOLD)
        for epoch in shown
    ]
    rows.append(_row("epoch", numbers, width))
    for name in dict.fromkeys(name for epoch in shown for name in epoch.facts):
        values = [digits(epoch.facts[name]) if name in epoch.facts else "" for epoch in shown]
        rows.append(_row(name, [text_line(value, width) for value in values], width))
    return hstack([blank(1, EDGE), vstack(rows, gap=2)])


def _row(name: str, cells: Sequence[np.ndarray], width: int, size: int = TEXT) -> np.ndarray:
    """A line of a table: its name at the left, and a centered cell in each column."""
    label = text_line(name, INPUT - GAP, size=size, color=MUTED)
    height = max(part.shape[0] for part in (label, *cells))
    first = blank(height, INPUT)
    first[:, INPUT - GAP - label.shape[1] : INPUT - GAP] = canvas.centered(label, height, label.shape[1])
    return hstack([first, *(canvas.centered(cell, height, width) for cell in cells)], gap=GAP)


def _group(
    probes: Probes, shown: Sequence[Epoch], ranges: Mapping[str, Range], group: tuple[str, Sequence[int]], width: int
) -> np.ndarray:
    name, members = group
    rows = [_probe(probes, shown, ranges, probe, name, width) for probe in members]
    return atlas.edged(vstack([atlas.heading(probes, name, INPUT), *rows], gap=8), name)


def _probe(
    probes: Probes, shown: Sequence[Epoch], ranges: Mapping[str, Range], probe: int, group: str, width: int
) -> np.ndarray:
    """One image at every epoch: the pictures one below the other, then the first score."""
    size = canvas.fit_size(probes.images.shape[1:], 3 * width // 2, width)
    outputs = [
        [atlas.outlined(probes, probe, each) for each in atlas.tiles(epoch, ranges, probe, size)] for epoch in shown
    ]
    stacks = [_stack(each, width) for each in outputs]
    names = [
        atlas.label(probes, probe, group, INPUT),
        text_line(canvas.apart(probes.ids, INPUT)[probe], INPUT, color=MUTED),
    ]
    fixed = [each[probe] for each in (probes.images, probes.truths) if each is not None]
    height = max(MIN_INPUT, stacks[0].shape[0] - sum(name.shape[0] for name in names))
    inputs = [
        canvas.tile(each, canvas.fit_size(probes.images.shape[1:], height, INPUT // len(fixed))) for each in fixed
    ]
    image = hstack(atlas.outlined(probes, probe, each) for each in inputs)
    row = hstack([vstack([*names, image, blank(0, INPUT)]), *stacks], gap=GAP)
    score = next(iter(shown[0].scores), None)
    if score is None:
        return row
    values = [text_line(digits(epoch.scores[score][probe]), width, size=TINY) for epoch in shown]
    return vstack([row, _row(score, values, width, TINY)])


def _stack(tiles: Sequence[np.ndarray], width: int) -> np.ndarray:
    return vstack((canvas.centered(tile, tile.shape[0], width) for tile in tiles), gap=2)
