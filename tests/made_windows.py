"""Tiny made windows: a wave whose frequency is the class, in each layout of a folder that goldfold reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from goldfold.sequences import windows

FEATURES, JOINTS = 3, 4


def wave(seed: int, label: int, frames: int = 24) -> dict[str, np.ndarray]:
    """Features (frames, 3), joints (frames, 4, 2), and a mask without the second frame, of class 0 or 1."""
    draw = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] * (0.3 + 0.9 * label) + draw.uniform(0, 6, FEATURES)
    features = np.sin(time) * (1 + label) + draw.normal(0, 0.1, (frames, FEATURES))
    mask = np.arange(frames) != 1
    return {"features": features, "mask": mask, "joints": draw.normal(size=(frames, JOINTS, 2))}


def files(raw: Path, count: int = 40) -> Path:
    """A file per window, of 20 to 27 frames, with its label."""
    raw.mkdir(parents=True)
    for number in range(count):
        label = number % 2
        windows.write(raw / f"波 {number:02d}.npz", **wave(number, label, 20 + number % 8), label=label)
    return raw


def archive(raw: Path, count: int = 40) -> Path:
    """One archive with an index of keys, groups of four windows, and labels."""
    raw.mkdir(parents=True)
    arrays, lines = {}, ["id,file,key,label,group"]
    for number in range(count):
        arrays |= {f"w{number}/{name}": array for name, array in wave(number, number % 2).items()}
        lines.append(f"a{number},all.npz,w{number},{number % 2},person {number // 4}")
    np.savez(raw / "all.npz", **arrays)
    (raw / "index.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return raw


def recordings(raw: Path, count: int = 10, frames: int = 60) -> Path:
    """Long recordings with a label per frame, which change in the middle, cut into overlapping windows."""
    raw.mkdir(parents=True)
    for number in range(count):
        halves = [wave(10 * number + label, label, frames // 2) for label in (number % 2, 1 - number % 2)]
        whole = {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}
        label = np.repeat([number % 2, 1 - number % 2], frames // 2)
        windows.write(raw / f"r{number}.npz", **whole, label=label)
    (raw / "windows.yaml").write_text("length: 20\nstride: 10\n", encoding="utf-8")
    return raw


LAYOUTS = {"windows": recordings}  # competitions whose data everyone brings along
