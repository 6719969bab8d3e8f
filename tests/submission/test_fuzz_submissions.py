"""Thousands of damaged submissions of many kinds: each is refused if and only if an independent reader says so."""

from __future__ import annotations

import csv
import io
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pandas as pd
import pytest

from goldfold.errors import GoldfoldError
from goldfold.submission import sample as samples
from goldfold.submission import writing

sys.path.insert(0, str(Path(__file__).parent))
from made_submissions import KINDS, Kind, is_valid

Rows = list[list[str]]
# fmt: off
CELLS = [
    '', 'nan', 'NaN', 'inf', '-inf', 'Infinity', '1e999', 'dog', 'None', 'NA', 'TRUE', 'true', 'True', '1.0',
    '0.0', '0.5', '-1', '2', '7', '1,5', '0x10', '1_0', ' 0.5', '0.5 ', '１', '٣', '--', '#N/A', '+0.5', '.5',
    '5.', '1e-3', '1E5', '1d5', '00', '01', '99999999999999999999', '1 1', '1 1 3 2', '3 2 1 1', '1 99',
    '0 1', '1', '1 x', '0001 0002 0003', 'cat ', 'Cat', 'x\ry', 'a\x00b', '\x1c',
]
# fmt: on
RESPELLED: dict[str, Callable[[str], str]] = {
    "strip zeros": lambda text: text.lstrip("0") or "0",
    "add a zero": lambda text: f"0{text}",
    "add .0": lambda text: f"{text}.0",
    "as a float": lambda text: repr(float(text)) if text.replace(".", "").isdigit() else text + "e0",
    "space before": lambda text: f" {text}",
    "space after": lambda text: f"{text} ",
    "upper case": lambda text: text.swapcase() + "",
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "composed": lambda text: unicodedata.normalize("NFKC", text),
    "carriage return": lambda text: f"{text}\r{text}",
    "line feed": lambda text: f"{text}\n",
    "byte order mark": lambda text: f"\ufeff{text}",
    "zero width": lambda text: f"{text}\u200b",
    "empty": lambda text: "",
    "other": lambda text: "new",
    "quote": lambda text: f'"{text}',
    "null byte": lambda text: f"{text}\0",
    "comma": lambda text: f"{text},",
}


def of_rows(rows: Rows, kind: Kind, random: Random) -> Iterator[tuple[str, Rows]]:
    """Files with other rows and cells, by name; they are also given as frames."""
    header, body = rows[0], rows[1:]
    at, other = random.sample(range(len(body)), 2)
    yield "as it is", rows
    yield "without a row", [header, *body[:at], *body[at + 1 :]]
    yield "a row twice", [*rows, body[at]]
    yield "a row twice, side by side", [header, *body[: at + 1], *body[at:]]
    yield "a row instead of another", [header, *[body[other] if row is body[at] else row for row in body]]
    yield "an extra row", [*rows, ["new", *body[at][1:]]]
    swapped = [body[other] if n == at else body[at] if n == other else row for n, row in enumerate(body)]
    yield "two rows swapped", [header, *swapped]
    yield "reversed", [header, *body[::-1]]
    yield "header only", [header]
    yield "without a column", [row[:-1] for row in rows]
    yield "columns turned", [row[::-1] for row in rows]
    yield "with an index", [["", *header], *([str(n), *row] for n, row in enumerate(body))]
    yield "a column twice", [[*row, row[-1]] for row in rows]
    yield "the header again", [*rows, header]
    for name in (" id", "ID", "p ", "", header[0].upper(), f"{header[0]}\0", f" {header[0]}"):
        yield f"column called {name!r}", [[name, *header[1:]], *body]
    for name, change in RESPELLED.items():
        for column in range(kind.keys):
            changed = [change(cell) if n == column else cell for n, cell in enumerate(body[at])]
            yield f"key {column}: {name}", [header, *body[:at], changed, *body[at + 1 :]]
        yield f"all ids: {name}", [header, *([change(row[0]), *row[1:]] for row in body)]
    for cell in CELLS:
        column = random.randrange(kind.keys, len(header))
        changed = [cell if n == column else old for n, old in enumerate(body[at])]
        yield f"cell {cell!r}", [header, *body[:at], changed, *body[at + 1 :]]
        if random.random() < 0.2:
            yield (
                f"all cells {cell!r}",
                [header, *([*row[: kind.keys], *[cell] * (len(row) - kind.keys)] for row in body)],
            )
    yield (
        "class 99",
        [header, *body[:at], [body[at][0], *["99"] * (kind.keys - 1), *body[at][kind.keys :]], *body[at + 1 :]],
    )


def of_bytes(data: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """Files that no frame gives, by name."""
    lines = data.split(b"\n")
    at = random.randrange(1, len(lines) - 1)
    yield "CRLF", data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    yield "CR", data.replace(b"\r", b"").replace(b"\n", b"\r")
    yield "no last line feed", data.rstrip(b"\n")
    yield "blank lines", b"\n".join([*lines[:at], b"", *lines[at:], b"", b""])
    yield "byte order mark", b"\xef\xbb\xbf" + data
    yield "unquoted", data.replace(b'"', b"")
    yield "semicolons", data.replace(b",", b";")
    yield "tabs", data.replace(b",", b"\t")
    yield "spaces after commas", data.replace(b",", b", ")
    yield "UTF-16", data.decode().encode("utf-16")
    yield "Latin-1", data.decode().encode("latin-1", "replace") + b"\xe9"
    yield "cut off", data[: random.randrange(len(data) // 2, len(data))]
    yield "a row cut off", b"\n".join([*lines[:at], lines[at].rpartition(b",")[0], *lines[at + 1 :]])
    yield "a row too long", b"\n".join([*lines[:at], lines[at] + b",1", *lines[at + 1 :]])
    yield "commas at all ends", b"\n".join(line + b"," if line else line for line in lines)
    yield (
        "commas at all ends but the header's",
        b"\n".join([lines[0], *(line + b"," if line else line for line in lines[1:])]),
    )
    yield "an open quote", b"\n".join([*lines[:at], b'"' + lines[at], *lines[at + 1 :]])
    yield "a comment", data + b"# made by hand\n"
    yield "null bytes", data.replace(b",", b",\0", 1)
    yield "no header", b"\n".join(lines[1:])
    yield "nothing", b""
    for _ in range(12):
        place, new = random.randrange(len(data)), bytes([random.choice(b'0159.,- "\n\rxeE+\x00\xff')])
        yield f"byte {place} is {new!r}", data[:place] + new + data[place + 1 :]
        yield f"byte {new!r} at {place}", data[:place] + new + data[place:]
        yield f"without byte {place}", data[:place] + data[place + 1 :]


def encoded(rows: Rows, quoting: int = csv.QUOTE_ALL) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n", quoting=quoting).writerows(rows)
    return file.getvalue().encode("utf-8")


def refusal(action: Callable[[], object]) -> str:
    try:
        action()
    except GoldfoldError as error:
        return f"{error.code}: {error.message}"
    return ""


def judged(name: str, seed: int, folder: Path) -> Iterator[tuple[str, bool, str]]:
    """(what was done, whether the file is valid, why it was refused) for each file of one kind of competition."""
    kind, random = KINDS[name], Random(f"{name} {seed}")
    (folder / "sample_submission.csv").write_bytes(encoded(kind.sample))
    loaded = pd.read_csv(folder / "sample_submission.csv", dtype={"images": str})
    sample = samples.from_file(folder, loaded, kind.submission)
    test, path = kind.test(), folder / "submission.csv"

    def read(data: bytes) -> str:
        path.write_bytes(data)
        return refusal(lambda: writing.read_checked(path, sample, test, kind.submission))

    good = kind.good(random)
    for done, rows in of_rows(good, kind, random):
        data = encoded(rows)
        yield done, is_valid(data, kind), read(data)
        frame = pd.DataFrame([[cell or None for cell in row] for row in rows[1:]], columns=rows[0], dtype=object)
        refused = refusal(lambda frame=frame: writing.check(frame, sample, test, kind.submission))
        yield f"{done}, as a frame", is_valid(data, kind), refused
        if not refused:
            writing.write(frame, path, {})
            yield f"{done}, as a frame that is written", is_valid(path.read_bytes(), kind), refused
    plain = csv.QUOTE_ALL if any("\r" in cell for row in good for cell in row) else csv.QUOTE_MINIMAL
    for done, data in of_bytes(encoded(good, plain), random):
        yield done, is_valid(data, kind), read(data)


def misjudged(seeds: range, folder: Path) -> tuple[int, int, list[str]]:
    """How many files were judged, how many of them are valid, and which were misjudged."""
    counts, faults = [0, 0], []
    for name in KINDS:
        for seed in seeds:
            for done, valid, refused in judged(name, seed, folder):
                counts[0] += 1
                counts[1] += valid
                if valid == bool(refused):
                    faults.append(f"{'false alarm' if valid else 'miss'}: {name}, {done} {refused}")
    return *counts, faults


@pytest.mark.slow
def test_a_few_hundred_damaged_files_are_judged_as_an_independent_reader_does(tmp_path):
    count, valid, faults = 0, 0, []
    for number, name in enumerate(KINDS):
        for position, (done, is_good, refused) in enumerate(judged(name, 0, tmp_path)):
            if position % 17 == number % 17:
                count, valid = count + 1, valid + is_good
                faults += [f"{name}, {done}: {is_good} {refused}"] if is_good == bool(refused) else []
    assert not faults
    assert count > 150


@pytest.mark.slow
def test_thousands_of_damaged_files_are_judged_as_an_independent_reader_does(tmp_path):
    count, valid, faults = misjudged(range(1, 4), tmp_path)
    assert not faults, f"{len(faults)} of {count}: " + "\n".join(faults[:40])
    assert count - valid > 3000
    assert valid > 500
