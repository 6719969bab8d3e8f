"""Which size of damage a patch library sees, with its defaults and with finer parameters, on textures of scikit-image.

    PYTHONPATH=src python benchmarks/defect_sizes.py [--images 40] [--sizes 2 8 32] [--textures brick grass gravel]

Images of 256 x 256 pixels are cut from each texture: half of them are the library, the others are scored, whole and
with one drawn spot of each size (`goldfold.anomaly.defect_sizes`). It prints AUROC / average precision of each size, a
line per texture and config, and then what the finding `small_defects_missed` of the default says. Half of the scored
images have a spot, so chance is 0.5 for both. Time in seconds of process CPU is of the whole config: features, coreset
and scores, and the probe of the default.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from goldfold.anomaly import defect_sizes
from goldfold.competition import Runtime
from goldfold.recipes import patch_library
from goldfold.trust.audits import small_defects_missed

SIDE = 256
ALL = 10**6  # images that a run would have to predict for the probe to look at every one
CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    "strides=[16,32]": {"strides": (16, 32)},
    "strides=[4,8] library=40000": {"strides": (4, 8), "library": 40_000},
    "strides=[4,8]": {"strides": (4, 8)},
}


def crops(texture: np.ndarray, images: int) -> Iterator[np.ndarray]:
    """Crops at random places of a texture (h, w), uint8 (SIDE, SIDE, 3); the first half is of its upper half only."""
    draw = np.random.default_rng(0)
    middle = texture.shape[0] // 2
    for number in range(images):
        half = texture[:middle] if number < images // 2 else texture[middle:]
        top, left = draw.integers(0, np.array(half.shape) - SIDE + 1)
        yield np.repeat(half[top : top + SIDE, left : left + SIDE, None], 3, axis=2)


def save(folder: Path, name: str, image: np.ndarray) -> Path:
    """Write an image as PNG; returns its path."""
    path = folder / f"{name}.png"
    cv2.imencode(".png", image[..., ::-1])[1].tofile(path)
    return path


def scene(folder: Path, texture: np.ndarray, images: int, sizes: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the library, and rows to score with the size of their spot, 0 for none."""
    normal = list(crops(texture, images))
    known = [(save(folder, f"known{at}", image), 0) for at, image in enumerate(normal[: images // 2])]
    shown = []
    for at, image in enumerate(normal[images // 2 :]):
        shown += [(save(folder, f"{at}_0", image), 0)]
        shown += [(save(folder, f"{at}_{size}", defect_sizes.spot(image, size, at)), size) for size in sizes]
    return pd.DataFrame(known, columns=["path", "size"]), pd.DataFrame(shown, columns=["path", "size"])


def measured(
    known: pd.DataFrame, shown: pd.DataFrame, cache: Path, changed: dict[str, Any]
) -> tuple[dict[int, tuple[float, float]], dict[str, Any]]:
    """AUROC and average precision of each size with a library of the known images, and what a run's probe finds."""
    recipe = patch_library.recipe("size", normal=0)
    plan = recipe.build(recipe.params(**changed), known, Runtime(seed=0, device=torch.device("cpu"), cache=cache))
    with torch.inference_mode():
        library = plan.finish(None)
        predictions = plan.predict(None, library, shown[["path"]])
        probed = plan.probe(None, library, shown, predictions, ALL) if not changed and plan.probe else {}
    found = {}
    for size in sorted(set(shown["size"]) - {0}):
        own = shown["size"].isin((0, size)).to_numpy()
        truth, scores = shown["size"][own] > 0, predictions["score"][own]
        found[size] = float(roc_auc_score(truth, scores)), float(average_precision_score(truth, scores))
    return found, dict(probed)


def main() -> None:
    """Print a line per texture and config."""
    from skimage import data

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--textures", nargs="+", default=["brick", "grass", "gravel"])
    chosen = parser.parse_args()
    print("| texture | config |", " | ".join(f"{size} px" for size in chosen.sizes), "| CPU s |")
    print("|---|---|" + "---:|" * (len(chosen.sizes) + 1))
    told: list[str] = []
    for name in chosen.textures:
        with tempfile.TemporaryDirectory() as place:
            known, shown = scene(Path(place), getattr(data, name)(), chosen.images, chosen.sizes)
            for config, changed in CONFIGS.items():
                started = time.process_time()
                found, probed = measured(known, shown, Path(place) / "cache", changed)
                cells = " | ".join("{:.3f} / {:.3f}".format(*found[size]) for size in chosen.sizes)
                print(f"| {name} | {config} | {cells} | {time.process_time() - started:.0f} |", flush=True)
                told += [f"{name}: {each}" for each in small_defects_missed(probed, config)]
    print("", *told, sep="\n")


if __name__ == "__main__":
    main()
