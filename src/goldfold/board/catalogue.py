"""Competitions on the board: public files, solution, and the split of its ids into public and private."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sqlalchemy import select

from goldfold.board import times, uploads
from goldfold.board.database import ERROR, PENDING, Board, Hosted, Submission
from goldfold.errors import GoldfoldError
from goldfold.io.files import write_bytes
from goldfold.io.seeding import derive

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from sqlalchemy.orm import Session

Grade = Callable[["DataFrame", "DataFrame"], float]
USAGE = "usage.csv"  # next to the solution: which ids are public and which are private
DRAWS = 100  # random splits tried


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Terms of a competition for `add`; see `database.Hosted`."""

    slug: str
    name: str
    title: str
    description: str
    metric: str
    higher_is_better: bool
    daily: int
    deadline: str | None


def add(board: Board, entry: Entry, public: Path, solution: Path, usage: DataFrame) -> bool:
    """Host a competition, or update its files and terms; True if the solution changed and submissions are rescored.

    public: folder of files to download. solution: file with the hidden labels. usage: result of `split`.
    """
    folder = competition_folder(board, entry.slug)
    answers = solution.read_bytes()
    digest = hashlib.sha256(answers + usage.to_csv(index=False).encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    _replace(public, folder / "public")
    with board.writing() as session:
        hosted = session.scalar(select(Hosted).where(Hosted.slug == entry.slug))
        changed = hosted is not None and hosted.solution != digest
        if hosted is None or changed:
            write_bytes(folder / "private" / "solution.csv", answers)
            write_bytes(folder / "private" / USAGE, usage.to_csv(index=False).encode())
        if hosted is None:
            hosted = Hosted(added=times.now())
            session.add(hosted)
        for name, value in vars(entry).items():
            setattr(hosted, name, value)
        hosted.solution = digest
        if changed:
            _score_again(board, session, entry.slug)
    return changed


def split(
    board: Board, slug: str, sample: DataFrame, solution: DataFrame, grade: Grade, whole_gallery: bool = False
) -> DataFrame:
    """Split the ids at random into public and private, half each; columns id and usage.

    The seed comes from the slug, and an existing split is kept while the ids stay the same. A split is drawn again if
    the solution itself cannot be graded on a half, for example because a class is missing.

    sample: the sample submission; its first column holds the ids. solution, grade: see `Competition.grade`.
    whole_gallery: see `Submission.whole_gallery`.

    Raises:
        GoldfoldError: no split can be graded (`solution_not_gradable`), or the solution has other ids
            (`solution_ids_differ`).
    """
    key = sample.columns[0]
    ids = pd.Series(sample[key].unique())
    if set(ids) != set(solution[key]):
        raise GoldfoldError(
            "solution_ids_differ",
            f"the ids in the solution of '{slug}' differ from those in its sample submission: make prepare again",
        )
    if (competition_folder(board, slug) / "private" / USAGE).exists():
        kept = read_usage(competition_folder(board, slug), sample)
        if kept["id"].tolist() == ids.tolist():
            return kept
    for number in range(DRAWS):
        usage = _draw(ids, derive(slug, "public and private", number))
        halves = zip(sides(solution, key, usage), truths(solution, key, usage, whole_gallery), strict=True)
        if all(_gradable(half[list(sample.columns)], truth, grade) for half, truth in halves):
            return usage
    raise GoldfoldError(
        "solution_not_gradable",
        f"grade() failed on halves of the solution of '{slug}' in {DRAWS} random splits: fix grade(), or add rows",
    )


def read_usage(folder: Path, sample: DataFrame) -> DataFrame:
    """Read the split of a hosted competition, with ids of the sample submission's dtype."""
    types = {"id": sample.dtypes.iloc[0]}
    return pd.read_csv(folder / "private" / USAGE, dtype=types, keep_default_na=False)


def sides(rows: DataFrame, key: str, usage: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Public and private rows, in their original order; all rows of an id are on the same side."""
    public = rows[key].isin(usage["id"][usage["usage"] == "public"])
    return rows[public].reset_index(drop=True), rows[~public].reset_index(drop=True)


def truths(solution: DataFrame, key: str, usage: DataFrame, whole_gallery: bool) -> tuple[DataFrame, DataFrame]:
    """What the public and the private rows of a submission are graded against; see `Submission.whole_gallery`."""
    return (solution, solution) if whole_gallery else sides(solution, key, usage)


def data_files(board: Board, slug: str) -> dict[str, Path]:
    """Name -> file of all public files, sorted; symbolic links are left out."""
    folder = competition_folder(board, slug) / "public"
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path for path in files}


def archive(board: Board, slug: str) -> Path:
    """Zip of all public files, written at the first request."""
    folder = competition_folder(board, slug)
    place = folder / f"public-{(folder / 'public').stat().st_mtime_ns}.zip"  # a new name if the data changes
    if place.exists():
        return place
    files = data_files(board, slug)
    partial = folder / f"{place.name}.{secrets.token_hex(4)}.partial"
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as packed:
        for name, path in files.items():
            packed.write(path, name)
    os.replace(partial, place)
    return place


def competition_folder(board: Board, slug: str) -> Path:
    """Folder of a hosted competition; `slug` must come from the database or `host-add`, never from a request."""
    return board.folder / "competitions" / slug


def _score_again(board: Board, session: Session, slug: str) -> None:
    """Set all submissions to pending but those whose file was at fault, and was removed."""
    for each in session.scalars(select(Submission).where(Submission.slug == slug)):
        if each.status != ERROR or uploads.path(board, each.token).exists():
            each.status, each.error, each.public_score, each.private_score = PENDING, "", None, None


def _replace(source: Path, place: Path) -> None:
    """Replace `place` by a copy of `source` in one step; files are hard links if possible, links become their files."""
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        fresh = Path(folder)
        shutil.copytree(source, fresh / "public", copy_function=_link)
        os.utime(fresh / "public")  # a new time, which `archive` uses in its file name
        for old in place.parent.glob("public-*.zip"):
            old.unlink()
        if place.exists():
            os.replace(place, fresh / "before")
        os.replace(fresh / "public", place)


def _link(source: str, place: str) -> None:
    """Link or copy a file; a symbolic link is followed, since the board serves none."""
    file = os.path.realpath(source)
    if not os.path.isfile(file):
        raise GoldfoldError("file_missing", f"{source} leads to no file, but to {file}: prepare the data again")
    try:
        os.link(file, place)
    except OSError:
        shutil.copy2(file, place)


def _draw(names: Series, seed: int) -> DataFrame:
    public = np.random.default_rng(seed).permutation(len(names)) < len(names) // 2
    return pd.DataFrame({"id": names, "usage": np.where(public, "public", "private")})


def _gradable(perfect: DataFrame, truth: DataFrame, grade: Grade) -> bool:
    try:
        return bool(np.isfinite(grade(perfect, truth)))
    except Exception:
        return False
