"""Tiny made recordings: echoes that breathe, in each kind of file that goldfold reads, with labels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

FRAMES, HEIGHT, WIDTH = 60, 24, 20


def echoes(seed: int, frames: int = FRAMES) -> np.ndarray:
    """Complex samples (frames, HEIGHT, WIDTH) of a bright line that moves up and down with a breath of 20 frames."""
    draw = np.random.default_rng(seed)
    noise = draw.normal(size=(frames, HEIGHT, WIDTH)) + 1j * draw.normal(size=(frames, HEIGHT, WIDTH))
    depth = np.round((HEIGHT / 2 - 3) * (1 + np.sin(np.arange(frames) * 2 * np.pi / 20))).astype(int)
    noise[np.arange(frames), depth + 2] += 40
    return noise.astype(np.complex64)


def held(frames: int = FRAMES) -> list[int]:
    """1 where the line is in the upper half, as in a breath that is held, else 0."""
    return [int(np.sin(number * 2 * np.pi / 20) < 0) for number in range(frames)]


def mat_73(path: Path, name: str, array: np.ndarray) -> Path:
    """`array` as MATLAB 7.3 writes it: HDF5 behind a header, axes in the opposite order, complex numbers as pairs."""
    import h5py

    turned = np.ascontiguousarray(array.T)
    if np.iscomplexobj(turned):
        parts = turned.real.dtype
        pairs = np.empty(turned.shape, [("real", parts), ("imag", parts)])
        pairs["real"], pairs["imag"] = turned.real, turned.imag
        turned = pairs
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = turned
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def video(path: Path, frames: np.ndarray) -> Path:
    """uint8 (n, h, w, 3) in RGB order, in a container that its ending names."""
    coding = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*coding), 10, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def images(folder: Path, frames: np.ndarray) -> Path:
    """Frames as numbered PNG files, RGB or gray."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        pixels = frame if frame.ndim == 2 else frame[..., ::-1]
        cv2.imencode(".png", pixels)[1].tofile(folder / f"{number:04d}.png")
    return folder


def ultrasound(raw: Path) -> Path:
    """Two recordings of ultrasound, 7.2 and 7.3, the second with six frames that have no label."""
    from scipy import io

    raw.mkdir(parents=True)
    io.savemat(raw / "呼吸 1.mat", {"rf": echoes(1)[:, None], "fs": 1.0})
    mat_73(raw / "second.mat", "rf", echoes(2)[:, None])
    (raw / "recording.yaml").write_text("dynamic_range_db: 60\nvariable: rf\n", encoding="utf-8")
    lines = ["recording,frame,label"]
    lines += [f"呼吸 1,{number},{label}" for number, label in enumerate(held())]
    lines += [f"second.mat,{number},{label}" for number, label in enumerate(held()) if number >= 6]
    (raw / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return raw


LAYOUTS = {"recordings": ultrasound}  # competitions whose data everyone brings along
