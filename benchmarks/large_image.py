"""Peak memory of predicting one large image in tiles, and how far tiles are from the whole image; CPU, one thread.

    python benchmarks/large_image.py [HEIGHT WIDTH]

The network is a small one that sees 9 pixels to each side, in tiles of 512 pixels that share a quarter. Memory is the
peak (VmHWM) of a process of its own minus what it had before it predicts, and minus the float16 map that it returns;
the decoded image counts. The difference is that of probabilities in [0, 1] to the whole image at once, over all pixels;
float16 maps have steps of 0.0005.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SIZE, TILE, CHECKED = (8000, 10_000), 512, (1280, 1536)  # height and width
LIMIT = 2.0  # GiB


def memory(name: str) -> int:
    """Bytes of this process, VmRSS or VmHWM, as Linux counts them."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def network() -> Any:
    from torch import manual_seed, nn

    manual_seed(0)
    layers = [nn.Conv2d(3, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, 8, 7, padding=3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, 1, 7, padding=3)).eval()


def predicted(path: Path, size: tuple[int, int], tile: int | None) -> tuple[np.ndarray, dict[str, float]]:
    """The map of one image, and what predicting it took."""
    import pandas as pd
    import torch

    from goldfold.nn.backbones import Backbone
    from goldfold.recipes.segmentation import prediction
    from goldfold.recipes.segmentation.params import SegmenterParams
    from goldfold.recipes.segmentation.truths import PixelLabels

    torch.set_num_threads(1)
    model, rows = network(), pd.DataFrame({"id": ["large"], "path": [path]})
    params = SegmenterParams(image_size=size, tiles=tile, prediction_batch=1)
    backbone = Backbone(model=model, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    before, started = memory("VmRSS"), time.process_time()
    with torch.inference_mode():
        maps = prediction.predict(params, PixelLabels(), backbone, None, model, None, rows)
    seconds, peak = time.process_time() - started, memory("VmHWM") - before - maps.nbytes
    return maps[0], {"seconds": seconds, "GiB": peak / 2**30, "map": maps.nbytes / 2**30}


def write(path: Path, size: tuple[int, int]) -> None:
    import cv2

    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))


def measure(path: Path, size: tuple[int, int]) -> dict[str, float]:
    """Predict in a process of its own, whose peak is that of nothing else."""
    done = subprocess.run([sys.executable, __file__, "measure", str(path), *map(str, size)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def main(size: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.jpg")
        write(path, size)
        found = measure(path, size)
        write(path, CHECKED)
        whole, tiled = (predicted(path, CHECKED, tile)[0].astype(np.float32) for tile in (None, TILE))
    print(f"{size[0]} x {size[1]} pixels in tiles of {TILE}: {found['seconds']:.0f} s of CPU time")
    print(f"peak memory {found['GiB']:.2f} GiB besides the map of {found['map']:.2f} GiB, limit {LIMIT:.0f} GiB")
    print(f"largest difference to the whole image, {CHECKED[0]} x {CHECKED[1]}: {np.abs(whole - tiled).max():.2g}")
    assert found["GiB"] < LIMIT


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(predicted(Path(sys.argv[2]), (int(sys.argv[3]), int(sys.argv[4])), TILE)[1]))
    else:
        main((int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) == 3 else SIZE)
