"""Features of joints: packs of coordinates, velocities and distances, and a summary of hands near the mouth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from goldfold.errors import GoldfoldError, unknown
from goldfold.sequences.windows import Window

Pack = Literal["features", "light", "full", "pairwise"]

NEAR = 0.6  # of the median distance, below which a hand is near the mouth
NEAR_IF_ZERO = 10.0  # distance below which it is near if that median is 0


def position(joint: int | str, joints: int, names: Sequence[str] | None = None) -> int:
    """The number of a joint, from 0, given by its name or its number; -1 is the last.

    Raises:
        GoldfoldError: `unknown_joint`; `joints_unnamed`, a name is given where joints have none.
    """
    if isinstance(joint, str):
        if names is None:
            raise GoldfoldError(
                "joints_unnamed", f"joint '{joint}' is a name, but these joints have none: give its number from 0"
            )
        if joint not in names:
            raise unknown("joint", joint, names, code="unknown_joint")
        return list(names).index(joint)
    if not -joints <= joint < joints:
        raise GoldfoldError(
            "unknown_joint", f"there is no joint {joint}, only 0 to {joints - 1}: joints are numbered from 0"
        )
    return joint % joints


def pack(window: Window, kind: Pack) -> np.ndarray:
    """The features of a window, float64 (T, F).

    kind: features, the file's own; light, coordinates and confidence of each joint; full, also velocities (change since
        the frame before, 0 after a frame that is not valid); pairwise, also the distances of all pairs of joints.

    Raises GoldfoldError `joints_missing`.
    """
    if kind == "features":
        return window.features
    joints, confidence = _joints(window, f"pack={kind}")
    parts = [joints.reshape(len(joints), -1), confidence]
    if kind != "light":
        moved = np.diff(joints, axis=0, prepend=joints[:1])
        known = window.valid & np.r_[False, window.valid[:-1]]
        parts.append((moved * known[:, None, None]).reshape(len(joints), -1))
    if kind == "pairwise":
        first, second = np.triu_indices(joints.shape[1], 1)
        parts.append(np.linalg.norm(joints[:, first] - joints[:, second], axis=-1))
    return np.concatenate(parts, axis=1)


def summary(window: Window, mouth: int | str, hands: Sequence[int | str], names: Sequence[str] | None) -> np.ndarray:
    """Two numbers of a window, float64 (2,): the share of frames with a hand near the mouth, and its confidence.

    d is the distance of the nearer hand; near: d < 0.6 times the median of d over valid frames, or d < 10 if that is 0.
    The confidence is the mean of the mouth's joint. Both are 0 without valid frames.

    Raises GoldfoldError `joints_missing`, and those of `position`.
    """
    joints, confidence = _joints(window, "domain_summary=true")
    at, *others = (position(joint, joints.shape[1], names) for joint in (mouth, *hands))
    if not window.valid.any():
        return np.zeros(2)
    known = joints[window.valid]
    apart = np.linalg.norm(known[:, others] - known[:, [at]], axis=-1).min(1)
    middle = np.median(apart)
    near = apart < (NEAR * middle if middle else NEAR_IF_ZERO)
    return np.array([near.mean(), confidence[window.valid, at].mean()])


def _joints(window: Window, wanted_by: str) -> tuple[np.ndarray, np.ndarray]:
    if window.joints is None or window.confidence is None:
        raise GoldfoldError(
            "joints_missing",
            f"{wanted_by} needs joints, and a window has none: save them as `joints` (frames, joints, 2 or 3), or use "
            "pack=features without the summary",
        )
    return window.joints, window.confidence
