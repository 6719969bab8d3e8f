"""All epochs of a run at a glance: a column for each epoch, a row for each probe image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from goldfold.io.formatting import count, digits
from goldfold.report.epochs import atlas
from goldfold.report.epochs.atlas import ALARM, CHOSEN, EDGE, GAP, MARGIN, Epoch, Probes
from goldfold.report.plotting import canvas
from goldfold.report.plotting.canvas import BOLD, HEADING, PAGE, TEXT, TINY, TITLE, Range, below, beside, blank, words
from goldfold.report.plotting.style import MUTED

MOST = 16  # columns
NARROWEST, WIDEST = 72, 96  # pixels of a column: the sheet is a page wide unless its columns would be narrower
INPUT = 150  # pixels of the first column
START = EDGE + INPUT + GAP  # where the epochs' columns begin
LANE = 18  # pixels of a line that names rules
LINE = 18  # pixels of a line in the table of facts
SMALLEST_INPUT = 72


def contact_sheet(
    probes: Probes, epochs: Sequence[Epoch], ranges: Mapping[str, Range], chosen: Mapping[str, int] | None = None
) -> bytes:
    """A PNG of all epochs side by side: each input at the left, then what the epochs made of it, the first score below.

    epochs: in the order of training; of more than 16 those of `shown_epochs` are drawn. ranges: as `heat_ranges` has
    them. chosen: rule -> epoch, named above its framed column. The sheet is 1020 pixels wide, and wider where its
    columns would be narrower than 72 pixels.

    Raises:
        GoldfoldError: a picture or a score is not one per probe.
    """
    chosen = chosen or {}
    numbers = shown_epochs([epoch.number for epoch in epochs], chosen)
    shown = [epoch for epoch in epochs if epoch.number in numbers]
    for epoch in shown:
        atlas.check(probes, epoch)
    width = min(WIDEST, max(NARROWEST, (PAGE - 2 * MARGIN - START + GAP) // len(shown) - GAP))
    rules = {number: ", ".join(rule for rule in chosen if chosen[rule] == number) for number in chosen.values()}
    lefts = {epoch.number: START + place * (width + GAP) for place, epoch in enumerate(shown)}
    flags = {lefts[number]: told for number, told in sorted(rules.items()) if number in lefts}
    above = below([_title(probes, epochs, shown, ranges, chosen), _lanes(flags, max(lefts.values()) + width)], gap=8)
    groups = [_group(probes, shown, ranges, each, width) for each in probes.groups().items()]
    sheet = beside([below([above, _heads(shown, width), *groups], gap=10), blank(0, GAP)])  # the last frame's edge
    for left in flags:
        corners = (left - 2, above.shape[0]), (left + width + 1, sheet.shape[0] - 1)
        cv2.rectangle(sheet, *corners, canvas.rgb(CHOSEN), 2)
    return canvas.png(atlas.framed(sheet, max(PAGE, sheet.shape[1] + 2 * MARGIN)))


def shown_epochs(numbers: Sequence[int], chosen: Mapping[str, int], most: int = MOST) -> list[int]:
    """Which of these epochs a contact sheet has columns for, in their order: all where they are at most `most`.

    Else the first, the last and the chosen ones, and others as far from those as there are until they are `most`.

    >>> shown_epochs(range(1, 31), {"validation_loss": 16}, most=6)
    [1, 8, 12, 16, 23, 30]
    """
    if len(numbers) <= most:
        return list(numbers)
    taken = {0, len(numbers) - 1} | {place for place, number in enumerate(numbers) if number in chosen.values()}
    while len(taken) < most:
        taken.add(max(range(len(numbers)), key=lambda place: min(abs(place - other) for other in taken)))
    return [numbers[place] for place in sorted(taken)]


def _title(
    probes: Probes, epochs: Sequence[Epoch], shown: Sequence[Epoch], ranges: Mapping[str, Range], chosen: Mapping
) -> np.ndarray:
    room = PAGE - 2 * MARGIN
    told = f"{count(len(epochs), 'epoch')} of {count(len(probes.ids), 'image')}"
    notes = [f"in each column: {' above '.join(shown[0].pictures)}"]
    if len(shown) < len(epochs):
        notes.append(f"{len(shown)} epochs are shown: the first, the last, the chosen ones and some between them")
    kept = {epoch.number for epoch in epochs}
    notes += [
        f"{rule} chooses epoch {number}, which is not here" for rule, number in chosen.items() if number not in kept
    ]
    heats = {name: ranges[name] for name, values in shown[0].pictures.items() if values.ndim == 3}
    title = words(told, room, size=TITLE, weight=BOLD)
    return below([title, canvas.wrapped(notes, room), canvas.heat_key(heats, atlas.striped(shown))], gap=3)


def _lanes(flags: Mapping[int, str], room: int) -> np.ndarray:
    """Rules as flags above their columns, each on a line of its own with a pole down to its column."""
    lanes = blank(LANE * len(flags), room)
    for lane, left in enumerate(flags):
        lanes[lane * LANE :, left - 3 : left - 1] = canvas.rgb(CHOSEN)
    for lane, (left, rules) in enumerate(flags.items()):
        flag = words(rules, room - START - 4, colour=CHOSEN, weight=BOLD)
        start = min(left + 4, room - flag.shape[1])
        lanes[lane * LANE : lane * LANE + flag.shape[0], start : start + flag.shape[1]] = flag
    if flags:
        lead = words("epoch chosen by", INPUT, colour=MUTED)
        lanes[: lead.shape[0], EDGE : EDGE + lead.shape[1]] = lead
    return lanes


def _heads(shown: Sequence[Epoch], width: int) -> np.ndarray:
    """Alarms, the number and the facts of each epoch."""
    rows = []
    for place in range(max(len(epoch.alarms) for epoch in shown)):
        pills = [
            canvas.pill(epoch.alarms[place], width, ALARM) if place < len(epoch.alarms) else blank(1, width)
            for epoch in shown
        ]
        rows.append(beside([blank(1, INPUT), *pills], gap=GAP))
    numbers = [
        words(epoch.name or f"{epoch.number}", width, size=TEXT if epoch.name else HEADING, weight=BOLD)
        for epoch in shown
    ]
    rows.append(_row("epoch", numbers, width))
    for name in dict.fromkeys(name for epoch in shown for name in epoch.facts):
        values = [digits(epoch.facts[name]) if name in epoch.facts else "" for epoch in shown]
        rows.append(_row(name, [words(value, width) for value in values], width))
    return beside([blank(1, EDGE), below(rows, gap=2)])


def _row(name: str, cells: Sequence[np.ndarray], width: int, size: int = TEXT) -> np.ndarray:
    """A line of a table: its name beside the columns, and a cell in the middle of each."""
    label = words(name, INPUT - GAP, size=size, colour=MUTED)
    height = max(part.shape[0] for part in (label, *cells))
    first = blank(height, INPUT)
    first[:, INPUT - GAP - label.shape[1] : INPUT - GAP] = canvas.centred(label, height, label.shape[1])
    return beside([first, *(canvas.centred(cell, height, width) for cell in cells)], gap=GAP)


def _group(
    probes: Probes, shown: Sequence[Epoch], ranges: Mapping[str, Range], group: tuple[str, Sequence[int]], width: int
) -> np.ndarray:
    name, members = group
    rows = [_probe(probes, shown, ranges, probe, name, width) for probe in members]
    return atlas.edged(below([atlas.heading(probes, name, INPUT), *rows], gap=8), name)


def _probe(
    probes: Probes, shown: Sequence[Epoch], ranges: Mapping[str, Range], probe: int, group: str, width: int
) -> np.ndarray:
    """One image in every epoch: the pictures one below the other, then the first score."""
    size = canvas.fitted(probes.images.shape[1:], 3 * width // 2, width)
    stacks = [_stack(atlas.tiles(epoch, ranges, probe, size), width) for epoch in shown]
    names = [atlas.label(probes, probe, group, INPUT), words(probes.ids[probe], INPUT, colour=MUTED)]
    room = max(SMALLEST_INPUT, stacks[0].shape[0] - sum(name.shape[0] for name in names))
    image = canvas.tile(probes.images[probe], canvas.fitted(probes.images.shape[1:], room, INPUT))
    row = beside([below([*names, image, blank(0, INPUT)]), *stacks], gap=GAP)
    score = next(iter(shown[0].scores), None)
    if score is None:
        return row
    told = [words(digits(epoch.scores[score][probe]), width, size=TINY) for epoch in shown]
    return below([row, _row(score, told, width, TINY)])


def _stack(tiles: Sequence[np.ndarray], width: int) -> np.ndarray:
    return below((canvas.centred(tile, tile.shape[0], width) for tile in tiles), gap=2)
