"""Audits of recordings: broken, silent or clipped ones, several sample rates, and near-duplicates across folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldfold.trust.audits.copies import alike_across
from goldfold.trust.audits.findings import Finding, FindingKind, first_three

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.audio.checks import CheckedSounds
    from goldfold.competition import Fold

SILENT = 1e-3  # largest sample of a silent recording, -60 dB below full scale
CLIPPED = 1e-3  # share of samples at full scale from which a recording is clipped

BROKEN_AUDIO = FindingKind(
    code="broken_audio",
    topic="Data and rules",
    levels=("warning",),
    found="audio files that cannot be decoded, and what is done with their rows",
    seen="Audio files are damaged, truncated or without samples, and the config has `on_broken: skip` (training rows "
    "are left out of every fold, test rows are predicted from silence) or `on_broken: grey` (silence on both sides). "
    "With `on_broken: refuse`, the default, the run stops instead (`unreadable_audio`). Every file is decoded once "
    "before training; sound contents are remembered in `data/cache/sounds`.",
    misleads="The rows that are left out are not scored, and nothing can be predicted from silence.",
    cure="Replace the files.",
    example="2 of 600 rows have an audio file that cannot be used, ids 'a1', 'b7' (first: it has no samples), ...: ...",
)
SILENT_AUDIO = FindingKind(
    code="silent_audio",
    topic="Data and rules",
    levels=("warning",),
    found="recordings in which nothing can be heard",
    seen="No sample of a recording reaches -60 dB of full scale (0.001).",
    misleads="Its label cannot be learned, and its prediction is the same as that of any other silence.",
    cure="Listen to them, and drop their rows in `load()`; if all are quiet, set `loudness: peak`.",
    example="3 of 900 recordings are silent (no sample above 0.001), ids 'a', 'b', 'c': ...",
)
CLIPPED_AUDIO = FindingKind(
    code="clipped_audio",
    topic="Data and rules",
    levels=("note",),
    found="recordings with many samples at full scale",
    seen="More than 1 of 1,000 samples of a recording are at full scale: the microphone or a program cut them off.",
    misleads="Clipping adds frequencies that the sound did not have, and only some sources do it.",
    cure="Record or convert them again at a lower level, if that is possible.",
    example="12 of 900 recordings are clipped (more than 0.1 % of their samples at full scale), ids 'a', ...: ...",
)
SEVERAL_SAMPLE_RATES = FindingKind(
    code="several_sample_rates",
    topic="Data and rules",
    levels=("note",),
    found="recordings of several sample rates in one table",
    seen="The files of the train and test tables have several sample rates. All are resampled to one.",
    misleads="Recordings of a low rate have no high frequencies, by which a network tells their source.",
    cure="Set `high` to half of the lowest rate, if the rate tells the target or differs between train and test.",
    example="900 recordings have 2 sample rates: 22,050 Hz (600 of train, 100 of test), 44,100 Hz (200, 0): ...",
)
NEAR_DUPLICATE_AUDIO = FindingKind(
    code="near_duplicate_audio",
    topic="Leakage",
    levels=("warning",),
    found="recordings that sound nearly the same on both sides of a fold",
    seen="Spectrograms of the first 30 s, 32 x 32 pixels, correlate by more than 0.99 with one on the other side of a "
    "fold, also without what all have in common: a copy in another format, at another level or rate.",
    misleads="The target of a copy can be remembered, so the score is too high.",
    cure="Listen to the pairs, and draw folds by group so that copies stay together, or drop them in `load()`.",
    example="40 of 200 scored recordings sound nearly the same as training recordings, the first id 'a' as 'b': ...",
)


def recordings(checked: CheckedSounds, on_broken: str) -> list[Finding]:
    """All audits of what decoding found."""
    parts = [("train", checked.train), ("test", checked.test)]
    findings = [each for part, rows in parts for each in broken(rows, part, on_broken)]
    for part, rows in parts:
        findings += silent(rows, part) + clipped(rows, part)
    return findings + sample_rates(checked.train["rate"], checked.test["rate"])


def broken(rows: DataFrame, part: str, on_broken: str) -> list[Finding]:
    """Report rows whose file cannot be used, and what `on_broken` makes of them."""
    bad = rows[rows["problem"].notna()]
    if bad.empty:
        return []
    left_out = part == "train" and on_broken == "skip"
    message = (
        f"{len(bad)} of {len(rows)} rows have an audio file that cannot be used, ids {_ids(bad)} (first: "
        f"{bad['problem'].iloc[0]}), and {'are left out of every fold' if left_out else 'are silent instead'}, since "
        f"on_broken={on_broken}: replace the files"
    )
    return [BROKEN_AUDIO(message, part)]


def silent(rows: DataFrame, part: str) -> list[Finding]:
    """Report recordings without a sample above -60 dB."""
    quiet = rows[rows["peak"] < SILENT]
    if quiet.empty:
        return []
    message = (
        f"{len(quiet)} of {len(rows)} recordings are silent (no sample above {SILENT:g} of full scale), ids "
        f"{_ids(quiet)}: listen to them, and drop their rows in load()"
    )
    return [SILENT_AUDIO(message, part)]


def clipped(rows: DataFrame, part: str) -> list[Finding]:
    """Report recordings with many samples at full scale."""
    loud = rows[rows["clipped"] > CLIPPED]
    if loud.empty:
        return []
    message = (
        f"{len(loud)} of {len(rows)} recordings are clipped (more than {CLIPPED:.1%} of their samples at full scale), "
        f"ids {_ids(loud)}: record or convert them again at a lower level, if that is possible"
    )
    return [CLIPPED_AUDIO(message, part)]


def sample_rates(train: Series, test: Series) -> list[Finding]:
    """Report that files have several sample rates."""
    rates = sorted({*train.dropna().astype(int), *test.dropna().astype(int)})
    if len(rates) < 2:
        return []
    counts = ", ".join(
        f"{rate:,} Hz ({(train == rate).sum()} of train, {(test == rate).sum()} of test)" for rate in rates
    )
    message = (
        f"{len(train) + len(test)} recordings have {len(rates)} sample rates: {counts}. All are resampled to one; set "
        "high to half of the lowest if the rate tells the target"
    )
    return [SEVERAL_SAMPLE_RATES(message, "data")]


def near_duplicate_audio(
    thumbnails: np.ndarray, positions: np.ndarray, folds: Sequence[Fold], ids: Series, contents: Series
) -> list[Finding]:
    """Report recordings with a near-duplicate on the other side of a fold; arguments as of `near_duplicate_images`."""
    across = alike_across(thumbnails, positions, folds, ids, contents)
    if across is None:
        return []
    message = (
        f"{across.rows:,} scored recordings sound nearly the same as training recordings, the first id {across.row!r} "
        f"as {across.twin!r}: their targets can be remembered, so the score is too high. Listen to them, and draw "
        "folds by group so that they stay together, or drop copies in load()"
    )
    return [NEAR_DUPLICATE_AUDIO(message, "folds")]


def _ids(rows: DataFrame) -> str:
    return first_three([repr(each) for each in rows["id"]])
