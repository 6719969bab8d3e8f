"""How long a large submission takes to be read and checked, and masks to be coded: seconds and memory, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/submission_checks.py [--rows 1000000] [--masks 10000] [--dialect-rows 100000]

Every measurement is a process of its own, whose peak memory counts Python, pandas, the sample and the test table too.
It also asserts that the good file passes and that one fault, planted in the last row, is found; that is not timed. Run
lengths are five to an id, in images of 64 x 64. Masks are 512 x 512 with smooth blobs; their codes are checked as one
submission and decode to the mask they come from. Each dialect of run lengths has 100,000 rows of masks of 128 x 128,
two to an image, which may overlap as with COCO, once smooth and once with about four times as many runs. Limits are
held against CPU seconds: on one thread they are what a clock shows where nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from goldfold.competition import Submission
from goldfold.errors import GoldfoldError
from goldfold.submission import checks as submission_checks
from goldfold.submission import coco_rle, rle
from goldfold.submission import writing as submissions
from goldfold.submission.mask_runs import Dialect, RunLengths

SIDE, RUNS = 64, 5  # pixels of an image, runs of its mask
LIMITS = {"numbers": 3, "text ids": 3, "run lengths": 3, "masks": 10, "dialect": 10}  # seconds
MEMORY = 1536  # MiB; the densest masks are a file of 320 MB
SIGMAS = {"smooth": (6, 24), "dense": (2, 4)}  # of the noise of masks
BANK = 200  # different masks, used in turn


def sizes(test: pd.DataFrame) -> dict[object, tuple[int, int]]:
    ids, heights, widths = (test[column].tolist() for column in ("id", "height", "width"))  # far faster than columns
    return dict(zip(ids, zip(heights, widths, strict=True), strict=True))


CHECKS = {
    "numbers": {"p": submission_checks.between(0, 1)},
    "text ids": {"p": submission_checks.between(0, 1), "label": submission_checks.one_of("cat", "dog", "None")},
    "run lengths": {"runs": submission_checks.run_lengths(sizes)},
}
DIALECTS = {
    f"{order}, {first}, {none or 'empty'}": (
        Dialect(order, first, none).encode,
        RunLengths(sizes, Dialect(order, first, none), overlap=True),
        f"{128 * 128 + first} 1",
    )
    for order in ("column", "row")
    for first in (0, 1)
    for none in ("", "-1")
} | {"COCO": (coco_rle.encode, coco_rle.run_lengths(sizes), "0PVe3")}
FAULTS = {
    "numbers": ("p", 1.5, "must lie in"),
    "text ids": ("label", "cow", "must be one of"),
    "run lengths": ("runs", f"1 1 {SIDE * SIDE} 2", "passes the end of the image"),
}


def made(kind: str, rows: int) -> pd.DataFrame:
    """A submission of `rows` different rows."""
    rng = np.random.default_rng(0)
    if kind == "numbers":
        return pd.DataFrame({"id": np.arange(rows), "p": rng.random(rows)})
    ids = [f"image_{number:07}.png" for number in rng.permutation(rows)]
    if kind == "text ids":
        return pd.DataFrame({"id": ids, "p": rng.random(rows), "label": rng.choice(["cat", "dog", "None"], rows)})
    steps = rng.integers(1, SIDE * SIDE // (2 * RUNS), (rows, 2 * RUNS)).cumsum(axis=1)
    coded = np.stack([steps[:, ::2], np.diff(steps, axis=1)[:, ::2]], axis=2).reshape(rows, -1)
    return pd.DataFrame({"id": ids, "runs": [" ".join(map(str, row)) for row in coded.tolist()]})


def write_files(kind: str, rows: int, folder: Path) -> None:
    """The submission, one with a fault in its last row, and the sample submission."""
    frame = made(kind, rows)
    frame.to_csv(folder / "good.csv", index=False)
    column, value, _ = FAULTS[kind]
    frame.iloc[-1, frame.columns.get_loc(column)] = value
    frame.to_csv(folder / "bad.csv", index=False)
    blank = {"p": 0.5, "label": "cat", "runs": "1 1"}
    frame.assign(**{name: blank[name] for name in frame.columns[1:]}).to_csv(folder / "sample.csv", index=False)


def measure_check(kind: str, folder: Path) -> dict[str, float]:
    sample = pd.read_csv(folder / "sample.csv")
    test = sample[["id"]].assign(height=SIDE, width=SIDE)
    rules = Submission(write=lambda rows, predictions: rows, checks=CHECKS[kind])
    started, began = time.perf_counter(), time.process_time()
    submissions.read_checked(folder / "good.csv", sample, test, rules)
    found = {"s": time.perf_counter() - started, "CPU": time.process_time() - began, "MiB": peak()}
    complaint = complaint_about(lambda: submissions.read_checked(folder / "bad.csv", sample, test, rules))
    assert FAULTS[kind][2] in complaint, complaint
    assert f"id {sample['id'].iloc[-1]}" in complaint, complaint
    return found


def complaint_about(action: Callable[[], object]) -> str:
    try:
        action()
    except GoldfoldError as error:
        return str(error)
    return "none"


def blobs(number: int, side: int = 512, sigmas: tuple[float, float] = (6, 24)) -> np.ndarray:
    """(side, side) bool: smooth noise above a threshold that leaves a fiftieth to two fifths of the pixels."""
    import cv2

    rng = np.random.default_rng(number)
    smooth = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), rng.uniform(*sigmas))
    return smooth > np.quantile(smooth, rng.uniform(0.6, 0.98))


def measure_masks(masks: int) -> dict[str, float]:
    bank = [blobs(number) for number in range(BANK)]
    ids = pd.Series([f"image_{number:05}" for number in range(masks)], name="id")
    sample, test = pd.DataFrame({"id": ids, "runs": "1 1"}), pd.DataFrame({"id": ids, "height": 512, "width": 512})
    rules = Submission(write=lambda rows, predictions: rows, checks=CHECKS["run lengths"])
    started, began = time.perf_counter(), time.process_time()
    codes = [rle.encode(bank[number % BANK]) for number in range(masks)]
    coded = time.perf_counter() - started
    submissions.check(pd.DataFrame({"id": ids, "runs": codes}), sample, test, rules)
    seconds, cpu = time.perf_counter() - started, time.process_time() - began
    runs = sum(len(code.split()) // 2 for code in codes[:BANK]) / BANK
    for mask, code in zip(bank, codes, strict=False):
        assert np.array_equal(rle.decode(code, 512, 512), mask)
    return {"s": seconds, "CPU": cpu, "encoding": coded, "MiB": peak(), "runs": runs}


def measure_dialect(name: str, rows: int, kind: str) -> dict[str, float]:
    """Check `rows` masks of a dialect, twice: as they are, and with a run beyond the image in the last row."""
    bank = [blobs(number, 128, SIGMAS[kind]) for number in range(BANK)]
    encode, check, beyond = DIALECTS[name]
    codes = [encode(each) for each in bank]
    ids = [f"image_{number // 2:06}" for number in range(rows)]
    frame = pd.DataFrame({"id": ids, "runs": [codes[number % BANK] for number in range(rows)]})
    test = frame[["id"]].drop_duplicates().assign(height=128, width=128)
    rules = Submission(write=lambda rows, predictions: rows, checks={"runs": check}, many_per_id=True)
    started, began = time.perf_counter(), time.process_time()
    submissions.check(frame, frame, test, rules)
    found = {"s": time.perf_counter() - started, "CPU": time.process_time() - began, "MiB": peak()}
    frame.iloc[-1, 1] = beyond
    complaint = complaint_about(lambda: submissions.check(frame, frame, test, rules))
    assert f"first in line {rows + 1}" in complaint, complaint
    return {**found, "runs": sum(len(rle.encode(each).split()) // 2 for each in bank) / BANK}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(*arguments: object) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout or "null")


def report(kind: str, measured: list[dict[str, float]], what: str) -> bool:
    seconds, cpu = ([each[column] for each in measured] for column in ("s", "CPU"))
    memory = max(each["MiB"] for each in measured)
    held = statistics.median(cpu) < LIMITS[kind] and memory < MEMORY
    print(
        f"{kind:12} {statistics.median(seconds):6.2f}  ({min(seconds):.2f} to {max(seconds):.2f})"
        f"  {statistics.median(cpu):6.2f}  {LIMITS[kind]:5}  {memory:6,.0f} of {MEMORY:,}"
        f"  {'held' if held else 'BROKEN':6}  {what}",
        flush=True,
    )
    return held


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--masks", type=int, default=10_000)
    parser.add_argument("--dialect-rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(
        f"{arguments.rows:,} rows read and checked, {arguments.masks:,} masks; load {os.getloadavg()[0]:.2f}; medians"
    )
    print("                seconds (spread)      CPU  limit  MiB             ")
    held = []
    for kind in CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            in_own_process("write", kind, arguments.rows, folder)
            measured = [in_own_process("check", kind, folder) for _ in range(arguments.repeats)]
            size = Path(folder, "good.csv").stat().st_size / 1e6
        held.append(report(kind, measured, f"{size:.0f} MB"))
    measured = [in_own_process("masks", arguments.masks) for _ in range(arguments.repeats)]
    coding = statistics.median(each["encoding"] for each in measured)
    held.append(report("masks", measured, f"{coding:.2f} s of it encoding, {measured[0]['runs']:.0f} runs a mask"))
    for kind, name in product(SIGMAS, DIALECTS):
        measured = [in_own_process("dialect", name, arguments.dialect_rows, kind) for _ in range(arguments.repeats)]
        told = f"{arguments.dialect_rows:,} rows, {measured[0]['runs']:.0f} runs a mask"
        held.append(report("dialect", measured, f"{name} {told}"))
    sys.exit(not all(held))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", kind, rows, folder]:
            write_files(kind, int(rows), Path(folder))
        case ["check", kind, folder]:
            print(json.dumps(measure_check(kind, Path(folder))))
        case ["dialect", name, rows, kind]:
            print(json.dumps(measure_dialect(name, int(rows), kind)))
        case ["masks", masks]:
            print(json.dumps(measure_masks(int(masks))))
        case _:
            main()
