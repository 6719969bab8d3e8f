"""A library of normal patches, built and asked, by goldfold and by anomalib's PatchCore, on the same features.

    pip install anomalib==2.7.0                          # in an environment of its own
    PYTHONPATH=src python benchmarks/patch_library.py    # with that environment's python
        [--features FILE.npy] [--rows 36848] [--size 3684] [--images 16] [--cells 200] [--repeats 5] [--library 1000000]

Where anomalib cannot be imported goldfold is measured alone. The features are those of 47 whole solar cells under one
EfficientNet-Lite0 at strides 8 and 16. Both sides take the same (rows, width) features, keep the same number, and score
the same images against the same library. It is asserted first that image scores agree within 1e-5 of their size, that
goldfold's coreset covers the features within no larger a radius, and that both tell whole from defective cells with
AUROCs at most 0.005 apart on one coreset, goldfold's no more than that below with each its own; then come medians of
interleaved repeats.
The last rows of FILE are cut into the images to score, the others are what the library is built from. Features of
`--rows` made ones are taken with --cells 0.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch
from torch import Tensor

from goldfold.anomaly import k_center, memory_bank
from goldfold.anomaly.patch_features import PatchBackbone, join_maps
from goldfold.images import reading as images
from goldfold.nn import backbones

WIDTH, PATCHES, CLUSTERS, INTRINSIC = 152, 784, 60, 12
Score = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Seconds = tuple[float, float]


def clustered(rows: int) -> Tensor:
    """Features (rows, 152) in 60 clusters, each a 12-dimensional Gaussian with a little noise in all dimensions."""
    rng = torch.Generator().manual_seed(0)
    centres = 1.5 * torch.randn(CLUSTERS, WIDTH, generator=rng)
    axes = torch.randn(CLUSTERS, INTRINSIC, WIDTH, generator=rng) / INTRINSIC**0.5
    which = torch.randint(CLUSTERS, (rows,), generator=rng)
    points = centres[which] + 0.3 * torch.randn(rows, WIDTH, generator=rng)
    for cluster in range(CLUSTERS):
        members = which == cluster
        points[members] += torch.randn(int(members.sum()), INTRINSIC, generator=rng) @ axes[cluster]
    return points


def cells(scored: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """Patches of 47 whole mono-crystalline cells (36,848, 152), of whole and as many defective others, and which."""
    import elpv_dataset
    import pandas as pd

    folder = Path(elpv_dataset.__file__).parent / "data"
    rows = pd.read_csv(folder / "labels.csv", sep=r"\s+", names=["path", "probability", "type"])
    rows = rows[rows["type"] == "mono"].sample(frac=1, random_state=0)
    whole, defective = (rows.loc[rows["probability"] == probability, "path"] for probability in (0, 1))
    half = scored // 2
    chosen = [*whole[: 47 + half], *defective[:half]]
    tower = PatchBackbone(backbones.PACKAGED, True, (8, 16)).eval()
    with torch.inference_mode():
        pixels = torch.from_numpy(images.load_resized([folder / path for path in chosen], 224))
        patches = torch.cat([join_maps(tower.maps(some)) for some in pixels.split(16)])
    return patches[:47].flatten(0, 1), patches[47:], np.repeat((0, 1), half)


def compare_aurocs(features: Tensor, patches: Tensor, truth: np.ndarray, size: int, score: Score) -> None:
    """Assert that both rank images alike with one library, and goldfold no worse where each builds its own."""
    from sklearn.metrics import roc_auc_score

    own, other = build(features, size), build_by_anomalib(features, size)
    found = (memory_bank.image_scores(patches, own), score(patches, own), score(patches, other))
    ours, theirs, apart = (roc_auc_score(truth, scores.numpy()) for scores, _ in found)
    told = f"goldfold {ours:.4f}, anomalib {theirs:.4f} with the same coreset, {apart:.4f} with its own"
    print(f"image AUROC of {len(truth)} cells: {told}", flush=True)
    assert abs(ours - theirs) <= 0.005, "with one library AUROCs must be equal within 0.005"
    assert ours >= apart - 0.005, "goldfold's coreset must not cost more than 0.005"


def build(features: Tensor, size: int) -> Tensor:
    return features[k_center.greedy_k_center(features, size)]


def build_by_anomalib(features: Tensor, size: int) -> Tensor:
    from anomalib.models.components import KCenterGreedy

    torch.manual_seed(0)
    return KCenterGreedy(features, (size + 0.5) / len(features)).sample_coreset()  # it takes the ratio and rounds down


def scorer_of_anomalib() -> Score:
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    model = PatchcoreModel(layers=["layer1"], backbone="resnet18", pre_trained=False)

    def score(patches: Tensor, library: Tensor) -> tuple[Tensor, Tensor]:
        model.memory_bank = library
        rows = patches.flatten(0, 1)
        distances, positions = (found.view(patches.shape[:2]) for found in model.nearest_neighbors(rows, 1))
        return model.compute_anomaly_score(distances, positions, rows), distances

    return score


def check(features: Tensor, patches: Tensor, library: Tensor, score: Score) -> None:
    """Assert that the scores on one library are the same, and that its points cover the features as well or better."""
    ours, theirs = memory_bank.image_scores(patches, library), score(patches, library)
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    apart = (ours[0] - theirs[0]).abs().max()
    print(f"largest difference of image scores: {apart:.1e} (largest {theirs[0].max():.1f})")
    wide = patches.flatten(0, 1).double(), library.double()
    exact = torch.cdist(*wide, compute_mode="donot_use_mm_for_euclid_dist").amin(1).view(ours[1].shape)
    off = {"goldfold": ours[1], "anomalib": theirs[1]}
    off = {name: ((found - exact).abs() / exact).max().item() for name, found in off.items()}
    print("patch distances off float64's by", ", ".join(f"{name} {share:.1e} of them" for name, share in off.items()))
    assert off["goldfold"] <= 1e-5, "goldfold's distances must be exact"
    assert off["anomalib"] <= 1e-4, "anomalib's distances, squares less products, must be the same but for rounding"
    other_library = build_by_anomalib(features, len(library))
    own, other = (k_center.coverage_radius(features, kept) for kept in (library, other_library))
    print(f"coverage radius: goldfold {own:.4f}, anomalib {other:.4f}", flush=True)
    assert own <= other, "goldfold's coreset must cover the features at least as well"


def timed(work: Callable[[], object]) -> Seconds:
    """Seconds of this process on the processor, and on the wall."""
    processor, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - wall


def compare(title: str, ours: Callable[[], object], theirs: Callable[[], object] | None, repeats: int) -> None:
    """One row: medians of CPU and wall seconds of both sides, taken in turns, and the medians' ratio."""
    sides = [ours] if theirs is None else [ours, theirs]
    rounds = [[timed(work) for work in sides] for _ in range(repeats)]
    medians = [[statistics.median(taken) for taken in zip(*side, strict=True)] for side in zip(*rounds, strict=True)]
    cells = [f"{processor:9.3f} {wall:9.3f}" for processor, wall in medians]
    if theirs is not None:
        cells.append("  ".join(f"{other / own:7.1f}x" for own, other in zip(*medians, strict=True)))
    print(f"{title:8}  {'   '.join(cells)}", flush=True)


def mebibytes(field: str) -> int:
    """A field of what Linux knows of this process; its peak, unlike getrusage's, is not that of the parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{field}:")[1].split()[0]) // 1024


def peak_of(rows: int) -> None:
    """Print the peak resident MiB of this process after one image's neighbors among `rows` of 256 dimensions."""
    library, queries = torch.randn(rows, 256), torch.randn(PATCHES, 256)
    held = mebibytes("VmRSS")
    memory_bank.nearest(queries, library, 1)
    print(f"{rows:,} x 256 library, {PATCHES} queries: {held:,} MiB held, peak {mebibytes('VmHWM'):,} MiB in all")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--features")
    parser.add_argument("--rows", type=int, default=36_848)
    parser.add_argument("--size", type=int, default=3_684)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--library", type=int, default=1_000_000)
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def material(given: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Features (rows, width) to build the library from, and those of images to score, (images, 784, width)."""
    scored = given.images * PATCHES
    file = given.features
    features = torch.from_numpy(np.load(file)).float() if file else clustered(given.rows + scored)
    return features[:-scored], features[-scored:].view(given.images, PATCHES, -1)


def main(given: argparse.Namespace) -> None:
    truth = None
    if given.cells and not given.features:
        features, shown, truth = cells(given.cells)
        patches = shown[: given.images].contiguous()
    else:
        features, patches = material(given)
    rows, width = features.shape
    print(f"{rows:,} x {width} -> {given.size:,}; {given.images} images of {PATCHES} patches; ", end="")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    library, their_build, their_score = build(features, given.size), None, None
    if importlib.util.find_spec("anomalib") is None:
        print("anomalib is not installed here, so goldfold is measured alone; see the top of this file")
    else:
        score = scorer_of_anomalib()
        check(features, patches, library, score)
        if truth is not None:
            compare_aurocs(features, shown, truth, given.size, score)
        their_build, their_score = partial(build_by_anomalib, features, given.size), partial(score, patches, library)
    print("          goldfold CPU s, wall   anomalib CPU s, wall   ratios of CPU, wall")
    compare("build", partial(build, features, given.size), their_build, given.repeats)
    compare("score", partial(memory_bank.image_scores, patches, library), their_score, given.repeats)
    subprocess.run([sys.executable, __file__, "--peak-of", str(given.library)], check=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    chosen = arguments()
    if chosen.peak_of:
        peak_of(chosen.peak_of)
    else:
        main(chosen)
