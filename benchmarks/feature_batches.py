"""How many images a frozen backbone takes at once on a CPU: seconds of batches of 1 to 32 images.

    python benchmarks/feature_batches.py [--backbones efficientnet_lite0,resnet18] [--images 96] [--repeats 3]
        [--unfolded]

Each backbone is the tower of the recipe `frozen_backbone`, channels-last, with random weights and folded as for
the feature cache, on random pixels that are in memory already; `--unfolded` leaves it as it is. Memory is
kept from one batch to the next, as in a run. Repeats of all sizes are interleaved, and medians printed: CPU seconds of
the process, wall seconds, and the largest difference of a feature to batches of 1, relative to the features' standard
deviation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a run

import torch
from torch import Tensor, nn

from goldfold.io import memory
from goldfold.nn import folding
from goldfold.recipes.frozen_backbone import FrozenBackboneParams, Tower

SIZES = (1, 2, 4, 8, 16, 32)


def passed(tower: nn.Module, pixels: Tensor, size: int) -> tuple[float, float, Tensor]:
    """CPU seconds, wall seconds and the features of all images."""
    cpu, wall = time.process_time(), time.perf_counter()
    with torch.inference_mode():
        found = torch.cat([tower(part) for part in pixels.split(size)])
    return time.process_time() - cpu, time.perf_counter() - wall, found


def compared(name: str, pixels: Tensor, threads: int, repeats: int, unfolded: bool) -> list[str]:
    """Rows of the table of one backbone."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    params = FrozenBackboneParams(backbone=name, pretrained=False, image_size=pixels.shape[1])
    tower = Tower(params).eval().to(memory_format=torch.channels_last)
    tower = tower if unfolded else folding.fold(tower, pixels[:1])
    passed(tower, pixels[:32], 32)
    took = {size: [] for size in SIZES}
    for _ in range(repeats):
        for size in SIZES:
            took[size].append(passed(tower, pixels, size))
    alone = took[1][0][2]
    rows = []
    for size, runs in took.items():
        cpu, wall = (statistics.median(run[at] for run in runs) for at in (0, 1))
        apart = ((runs[0][2] - alone).abs().max() / alone.std()).item()
        rows.append(f"| {name} | {threads} | {size} | {cpu:.2f} | {wall:.2f} | {apart:.0e} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", default="efficientnet_lite0,resnet18,vit_small_patch16_224")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--size", type=int, default=224, help="side of the images, in pixels")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--unfolded", action="store_true", help="leave batch normalization as layers of its own")
    arguments = parser.parse_args()
    memory.keep_freed_memory()
    shape = (arguments.images, arguments.size, arguments.size, 3)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    print("| backbone | threads | images at once | CPU s | wall s | features apart |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in arguments.backbones.split(","):
        for threads in map(int, arguments.threads.split(",")):
            print("\n".join(compared(name, pixels, threads, arguments.repeats, arguments.unfolded)), flush=True)


if __name__ == "__main__":
    main()
