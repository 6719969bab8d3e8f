"""MSR-Action3D as windows of joints, relative to the center of the hips; one of ten subjects is hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import grouped, predefined
from goldfold.errors import GoldfoldError
from goldfold.sequences import windows

TARGETS = ("action", "subject")
ACTIONS = (
    *("high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw X"),
    *("draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick", "side kick"),
    *("jogging", "tennis swing", "tennis serve", "golf swing", "pickup and throw"),
)
JOINTS = (
    *("left shoulder", "right shoulder", "neck", "spine", "left hip", "right hip", "hip center", "left elbow"),
    *("right elbow", "left wrist", "right wrist", "left hand", "right hand", "left knee", "right knee"),
    *("left ankle", "right ankle", "left foot", "right foot", "head"),
)
USED = "files_used_in_cvpr12_paper.txt"
TRAINED = (1, 3, 5, 7, 9)  # subjects of the published cross-subject split
HIDDEN_SUBJECT, HIDDEN_SEED = 10, 2010


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Write each recording as a window under a number, in shuffled order, and hide the actions of one subject."""
    rows = _recordings(raw).sample(frac=1, random_state=HIDDEN_SEED, ignore_index=True)
    rows.insert(0, "id", [f"{number:03d}" for number in rows.index])
    sources = rows.pop("source")
    rows.insert(1, "path", [f"windows/{id_}.npz" for id_ in rows["id"]])
    (public / "windows").mkdir()
    for source, path in zip(sources, rows["path"], strict=True):
        windows.write(public / path, **_window(source))
    hidden = np.flatnonzero(rows["subject"] == HIDDEN_SUBJECT)
    sample = {"action": ACTIONS[0]}
    self_hosting.write(rows, hidden, targets=TARGETS, sample=sample, public=public, private=private)


def _recordings(raw: Path) -> pd.DataFrame:
    """List the recordings `aAA_sSS_eEE_skeleton3D.txt`, perhaps gzipped, that the list of usable ones names."""
    files = sorted(raw.glob("a*_skeleton3D.txt*"))
    rows = pd.DataFrame({"source": files, "name": [path.name.split("_skeleton3D")[0] for path in files]}, dtype=object)
    numbers = rows["name"].str.extract(r"^a(?P<action>\d\d)_s(?P<subject>\d\d)_e\d\d$")
    if not files or numbers.isna().any(axis=None):
        found = files[int(numbers["action"].isna().argmax())].name if files else "none"
        raise GoldfoldError(
            "raw_data_invalid",
            f"{raw} must hold recordings aAA_sSS_eEE_skeleton3D.txt, found {found}: see competitions/actions/README.md",
        )
    names = [ACTIONS[int(number) - 1] for number in numbers["action"]]
    rows = rows.assign(action=names, subject=numbers["subject"].astype(int))
    lists = sorted(raw.glob(f"{USED}*"))
    usable = set(np.loadtxt(lists[0], dtype=str)) if lists else set(rows["name"])
    return rows[rows["name"].isin(usable)].drop(columns="name")


def _window(source: Path) -> dict[str, np.ndarray]:
    """Joints in meters, relative to the hips; frames in which the camera found nobody, all 0, are not valid."""
    values = np.loadtxt(source).reshape(-1, len(JOINTS), 4)
    joints, confidence = values[..., :3], values[..., 3]
    found = joints.any(axis=(1, 2))
    centered = (joints - joints[:, [JOINTS.index("hip center")]]) * found[:, None, None]
    features = centered.reshape(len(values), -1)
    return {"features": features, "mask": found, "joints": centered, "confidence": confidence}


def load(public: Path) -> Tables:
    """Load both tables: id, path; train also has action (a name) and subject (1 to 9)."""
    return self_hosting.read(public, text=["action"])


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Leave one subject out per fold, in an order that the seed draws."""
    return grouped(train["subject"], folds=train["subject"].nunique(), seed=seed)


def cross_subject(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Fold 0 trains on subjects 1, 3, 5, 7 and 9, as published, and fold 1 on the others; the seed changes nothing."""
    return predefined(train["subject"].isin(TRAINED).astype(int))
