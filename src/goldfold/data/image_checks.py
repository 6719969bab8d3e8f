"""Decode every image and mask of the tables once, before anything is trained, and keep what was found by content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goldfold.audio.checks import CheckedSounds, are_sounds
from goldfold.competition import Fold, Tables
from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_bytes, write_json

if TYPE_CHECKING:
    from pandas import DataFrame, Series

OnBroken = Literal["refuse", "skip", "grey"]
TOLD = 64  # files between two reports of progress
OF_MASKS = ("marked", "unclear", "values", "white", "lossy")
FACTS = ("height", "width", "largest", "frames", *OF_MASKS)
GREY = 128
WAY_OUT = (
    "replace the files, or set on_broken=skip (broken training rows are left out of every fold, broken test images are "
    "predicted from a gray image) or on_broken=grey (gray images on both sides)"
)


@dataclass(frozen=True)
class Checked:
    """What decoding found.

    train, test: a row per image, in the order of the tables, with the columns id, path, problem (why the image or its
        mask cannot be used, or None), broken_mask (whether it is the mask), height, width, largest (sample of a 16-bit
        image), frames, marked (pixels of the mask), unclear (`masks.ambiguous`), values (distinct numbers of the mask),
        white (pixels of 255), lossy (`masks.is_lossy`); numbers are NaN where unknown.
    """

    train: DataFrame
    test: DataFrame

    def broken(self, part: Literal["train", "test"]) -> np.ndarray:
        """Positions of the rows that have a problem, int64."""
        return np.flatnonzero(getattr(self, part)["problem"].notna())


def are_images(rows: DataFrame) -> bool:
    """Whether the files in `path` are images: windows of sequences and recordings of sound are not."""
    return "path" in rows and not are_windows(rows) and not are_sounds(rows)


def are_windows(rows: DataFrame) -> bool:
    """Whether the files in `path` are windows of sequences (.npz)."""
    return "path" in rows and all(Path(path).suffix.lower() == ".npz" for path in rows["path"])


def decode_all(
    tables: Tables, contents: tuple[Series, Series], kept: Path, progress: Callable[[str, int, int], None]
) -> Checked | None:
    """Decode each file of `path` and `mask_path` that `kept` does not know by its content; None without images.

    contents: hashes of the train and test files. kept: a JSON file of sound contents, rewritten for these tables. A
    broken file is decoded again every time, since it may be mended.
    """
    if not are_images(tables.train):
        return None
    from filelock import FileLock

    parts = tables.train, tables.test
    jobs = [_jobs(rows, hashes) for rows, hashes in zip(parts, contents, strict=True)]
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(kept.with_suffix(".lock")):  # the processes of a distributed run decode once
        known = _read(kept)
        new = {key: job for key, *job in chain(*jobs) if key not in known}
        found = known | dict(zip(new, _in_threads(list(new.values()), progress), strict=True))
        facts = {key: found[key] for key, *_ in chain(*jobs)}
        if new or len(facts) < len(known):
            write_json(kept, {key: fact for key, fact in facts.items() if "problem" not in fact})
    frames = (_facts(rows, [facts[key] for key, *_ in own]) for rows, own in zip(parts, jobs, strict=True))
    return Checked(*frames)


def _read(kept: Path) -> dict[str, dict[str, Any]]:
    try:
        found = read_json(kept, dict)
    except GoldfoldError:
        return {}  # absent, or damaged: decode again
    known = {key: facts for key, facts in found.items() if isinstance(facts, dict)}
    return {key: facts for key, facts in known.items() if "marked" not in facts or facts.keys() >= set(OF_MASKS)}


def _jobs(rows: DataFrame, hashes: Series) -> list[tuple[str, Path, Path | None]]:
    """Key, image and mask of each row."""
    if "path" not in rows:
        return []
    from goldfold.images import reading

    if "mask_path" not in rows:
        return [(key, path, None) for key, path in zip(hashes, rows["path"], strict=True)]
    keys = [f"{one} {other}" for one, other in zip(hashes, reading.content_hashes(rows["mask_path"]), strict=True)]
    return list(zip(keys, rows["path"], rows["mask_path"], strict=True))


def _facts(rows: DataFrame, facts: Sequence[dict[str, Any]]) -> DataFrame:
    from pandas import DataFrame

    found = DataFrame(facts, columns=["problem", "broken_mask", *FACTS])
    return found.assign(id=rows["id"].tolist(), path=rows["path"].tolist()).astype({"problem": object})


def _in_threads(jobs: Sequence[Sequence[Any]], progress: Callable[[str, int, int], None]) -> list[dict[str, Any]]:
    from goldfold.images.reading import THREADS

    found = []
    with ThreadPoolExecutor(THREADS) as pool:
        for done, facts in enumerate(pool.map(lambda job: _decoded(*job), jobs), 1):
            found.append(facts)
            if done % TOLD == 0 or done == len(jobs):
                progress("decoding images", done, len(jobs))
    return found


def _decoded(path: Path, mask: Path | None) -> dict[str, Any]:
    from goldfold.images import headers, reading

    facts: dict[str, Any] = {}
    try:
        facts |= dict(zip(("height", "width"), reading.read(path).shape[:2], strict=True))
        facts |= headers.frames_and_depth(path)
    except GoldfoldError as error:
        return {"problem": headers.reason(path, error.__cause__), "broken_mask": False}
    if mask is None:
        return facts
    try:
        return facts | _of_mask(mask, path)
    except GoldfoldError as error:
        return {**facts, "problem": error.message, "broken_mask": True}


def _of_mask(mask: Path, image: Path) -> dict[str, Any]:
    from pandas import unique

    from goldfold.images import masks

    labels = masks.read(mask, image)
    return {
        "marked": int(np.count_nonzero(labels)),
        "unclear": masks.ambiguous(mask, image),
        "values": len(unique(labels.ravel())),
        "white": int(np.count_nonzero(labels == masks.WHITE)),
        "lossy": masks.is_lossy(mask),
    }


def readable(checked: Checked, tables: Tables, on_broken: OnBroken, cache: Path) -> Tables:
    """Return the tables that are trained on, with gray images in place of broken ones.

    Rows are never dropped, since submissions and folds of other runs list them: see `without_broken`. Gray images have
    the size of the broken one's header, else 64 x 64, and lie in `cache`.

    Raises:
        GoldfoldError: files are broken, and on_broken is `refuse`; a mask is, and it is `grey`.
    """
    masked = checked.train["broken_mask"].to_numpy() == True  # noqa: E712
    refused = on_broken == "refuse" and (len(checked.broken("train")) or len(checked.broken("test")))
    if refused or (on_broken == "grey" and masked.any()):
        raise _refusal(checked, masks_only=not refused)
    replaced = {
        part: getattr(tables, part).assign(path=_with_gray(getattr(checked, part), cache)) for part in ("train", "test")
    }
    return replace(tables, **replaced)


def without_broken(checked: Checked | CheckedSounds, folds: Sequence[Fold]) -> Sequence[Fold]:
    """Return the folds without the training rows whose image, mask or sound is broken."""
    broken = checked.broken("train")
    return [Fold(*(np.setdiff1d(rows, broken) for rows in fold)) for fold in folds]


def _refusal(checked: Checked, *, masks_only: bool) -> GoldfoldError:
    lists = [(part, rows) for part, rows in (("train", checked.train), ("test", checked.test))]
    bad = [(part, row) for part, rows in lists for row in rows[rows["problem"].notna()].itertuples()]
    bad = [(part, row) for part, row in bad if row.broken_mask or not masks_only]
    part, row = bad[0]
    total = sum(len(rows) for _, rows in lists)
    what, where = ("masks", "") if row.broken_mask else ("images", f", '{row.path}'")
    way_out = "correct the masks, or set on_broken=skip, which leaves their rows out of every fold"
    return GoldfoldError(
        "unreadable_mask" if row.broken_mask else "unreadable_image",
        f"{len(bad)} of {total} {what} cannot be used, first of {part} id {row.id!r}{where} ({row.problem}): "
        f"{way_out if row.broken_mask else WAY_OUT}",
    )


def _with_gray(found: DataFrame, cache: Path) -> list[Any]:
    """The path of each image, or of a gray one in its place."""
    return [
        _gray(row.path, cache) if row.problem and not row.broken_mask else row.path
        for row in found.replace({np.nan: None}).itertuples()
    ]


def _gray(path: str | Path, cache: Path) -> Path:
    """A gray PNG of the size that the header of a broken file has."""
    import cv2

    from goldfold.images import headers

    try:
        height, width = headers.size(path)
    except GoldfoldError:
        height, width = 64, 64
    file = cache / "grey" / f"{height}x{width}.png"
    if not file.exists():
        write_bytes(file, cv2.imencode(".png", np.full((height, width), GREY, np.uint8))[1].tobytes())
    return file
