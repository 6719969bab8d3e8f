"""How fast and in what memory rows are ranked by likeness: goldfold, pytorch-metric-learning, and a sort in chunks.

    PYTHONPATH=src python benchmarks/retrieval.py
        [--queries 2000] [--gallery 20000] [--repeats 5] [--full 20000 100000] [--growth 2000]

All take (n, 256) embeddings in noisy clusters, some 100 right answers a query, or two classes. It is asserted first
that mAP agrees within 1e-6, and recall with the sort's but for answers that differ by rounding at its rank. Then come
CPU and wall seconds of interleaved repeats in one process and their ratios to goldfold's; peak memory, in processes of
their own; goldfold's growth over galleries up to 100,000; and `--full` queries x gallery, which 0 0 leaves out.
goldfold and the sort give mAP and recall@1, @10 and @50, AccuracyCalculator mAP alone, by either of its searches: its
default, faiss, is left out where faiss-cpu (requirements-bench.txt) is not installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from goldfold import metrics
from goldfold.retrieval.cosines import normalize
from goldfold.retrieval.pairs import by_label

WIDTH, RIGHT, DEPTHS, CHUNK = 256, 100, (1, 10, 50), 200
Data = tuple[np.ndarray, pd.DataFrame]


def clustered(queries: int, gallery: int, classes: int) -> Data:
    """Embeddings float32 (queries + gallery, 256), and rows with their label and whether they ask."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, queries + gallery)
    embeddings = rng.standard_normal((queries + gallery, WIDTH), dtype=np.float32)
    embeddings += 0.3 * rng.standard_normal((classes, WIDTH), dtype=np.float32)[labels]
    return embeddings, pd.DataFrame({"label": labels, "asks": np.arange(len(labels)) < queries})


def pairs(rows: pd.DataFrame):
    return by_label(rows["label"], queries=rows["asks"].to_numpy())


def by_goldfold(embeddings: np.ndarray, rows: pd.DataFrame) -> list[float]:
    pairs_of = partial(pairs)  # a new one for each call, so that nothing is remembered from the last
    recalls = [metrics.recall_at(pairs_of, k, protocol="") for k in DEPTHS]
    measured = [metrics.mean_average_precision(pairs_of, protocol=""), *recalls]
    return [metric.score(rows, embeddings) for metric in measured]


def by_sort(embeddings: np.ndarray, rows: pd.DataFrame) -> list[float]:
    """Every chunk of queries sorts all of its answers."""
    units = torch.nn.functional.normalize(torch.from_numpy(embeddings))
    labels, asks = (torch.tensor(rows[column].to_numpy()) for column in ("label", "asks"))
    gallery, known, found = units[~asks], labels[~asks], []
    for own, label in zip(units[asks].split(CHUNK), labels[asks].split(CHUNK), strict=True):
        right = known[(own @ gallery.T).argsort(1, descending=True)] == label[:, None]
        hits, count = right.cumsum(1), right.sum(1)
        precision = hits.double() / torch.arange(1, len(known) + 1)
        averages = (precision * right).sum(1) / count
        found.append(torch.stack([averages, *(hits[:, k - 1] / count.double() for k in DEPTHS)], 1))
    return torch.cat(found).mean(0).tolist()


def by_calculator(search: str, embeddings: np.ndarray, rows: pd.DataFrame) -> list[float]:
    """pytorch-metric-learning's mAP."""
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN, FaissKNN

    search = CustomKNN(CosineSimilarity()) if search == "sort" else FaissKNN()
    calculator = AccuracyCalculator(
        include=("mean_average_precision",), k=None, device=torch.device("cpu"), knn_func=search, kmeans_func=len
    )
    labels, asks = rows["label"].to_numpy(), rows["asks"].to_numpy()
    units = normalize(embeddings)  # faiss ranks by Euclidean distances
    return [calculator.get_accuracy(units[asks], labels[asks], units[~asks], labels[~asks])["mean_average_precision"]]


SIDES: dict[str, Callable[[np.ndarray, pd.DataFrame], list[float]]] = {
    "goldfold": by_goldfold,
    "sort in chunks": by_sort,
    "AccuracyCalculator": partial(by_calculator, "sort"),
}
if find_spec("faiss"):
    SIDES["AccuracyCalculator, faiss"] = partial(by_calculator, "faiss")


def check(data: Data) -> None:
    found = {name: side(*data) for name, side in SIDES.items()}
    ours, asked = found["goldfold"], int(data[1]["asks"].sum())
    rounding = 3 / (RIGHT * asked)  # three answers, of all queries', that rounding puts on the other side of rank k
    for name, values in found.items():
        apart = [abs(own - other) for own, other in zip(ours, values, strict=False)]
        print(f"{name:26} " + "  ".join(f"{value:.7f}" for value in values) + f"   apart {max(apart):.1e}")
        assert apart[0] <= 1e-6, f"{name} must give the same mAP"
        assert max(apart) <= 1e-6 + rounding, f"{name} must give the same recall"


def compare(data: Data, repeats: int) -> None:
    """Least and median CPU and wall seconds of each side, taken in turns, and how many times goldfold's they are."""
    rounds = [[timed(partial(side, *data)) for side in SIDES.values()] for _ in range(repeats)]
    sides = [
        [(min(taken), statistics.median(taken)) for taken in zip(*each, strict=True)]
        for each in zip(*rounds, strict=True)
    ]
    for clock, name in enumerate(("CPU", "wall")):
        for side, found in zip(SIDES, sides, strict=True):
            (least, middle), (own, own_middle) = found[clock], sides[0][clock]
            ratios = f"of goldfold's {least / own:5.1f}x {middle / own_middle:5.1f}x"
            print(f"{side:26} {name:4} minimum {least:7.3f} s  median {middle:7.3f} s  {ratios}", flush=True)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of this process on the processor, all threads together, and on the wall."""
    processor, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - wall


def child(side: str, queries: int, gallery: int, classes: int) -> dict[str, float]:
    """Seconds, and peak resident MiB in all and beyond what the data took, of a process that does nothing else."""
    command = [sys.executable, __file__, "--child", side, str(queries), str(gallery), str(classes)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def alone(side: str, queries: int, gallery: int, classes: int) -> dict[str, float]:
    SIDES[side](*clustered(300, 600, 5))  # what it imports, and its threads
    data = clustered(queries, gallery, classes)
    held = mebibytes("VmRSS")
    processor, wall = timed(partial(SIDES[side], *data))
    return {"CPU": processor, "wall": wall, "MiB": mebibytes("VmHWM"), "beyond": mebibytes("VmHWM") - held}


def mebibytes(field: str) -> int:
    """A field of what Linux knows of this process; its peak, unlike getrusage's, is not that of the parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{field}:")[1].split()[0]) // 1024


def memory(queries: int, gallery: int) -> None:
    print(f"\npeak memory, {queries:,} x {gallery:,}, a process each (with Python, libraries and embeddings)")
    for side in SIDES:
        found = child(side, queries, gallery, gallery // RIGHT)
        print(f"{side:26} {found['MiB']:8,.0f} MiB, {found['beyond']:8,.0f} beyond the embeddings", flush=True)


def growth(queries: int, repeats: int) -> None:
    print(f"\ngoldfold's growth, {queries:,} queries, {RIGHT} right answers each, minimum of {repeats}")
    first = None
    for gallery in (12_500, 25_000, 50_000, 100_000):
        data = clustered(queries, gallery, gallery // RIGHT)
        seconds = min(timed(partial(by_goldfold, *data))[0] for _ in range(repeats))
        first = first or seconds / gallery
        told = f"{seconds:7.3f} CPU s, {seconds / gallery / first:.2f} of the first's per answer"
        print(f"{gallery:8,} answers: {told}", flush=True)


def full(queries: int, gallery: int) -> None:
    print(f"\ngoldfold, {queries:,} x {gallery:,} x {WIDTH}: mAP, recall@1, @10 and @50 in one pass")
    for classes in (gallery // RIGHT, 2):
        found = child("goldfold", queries, gallery, classes)
        seconds = f"{found['CPU']:.1f} CPU s, {found['wall']:.1f} s"
        told = f"{found['MiB']:,.0f} MiB in all, {found['beyond']:,.0f} beyond the embeddings"
        print(f"{classes:5} classes: {seconds}, peak {told}", flush=True)


def main(given: argparse.Namespace) -> None:
    size = given.queries, given.gallery
    print(f"{size[0]:,} x {size[1]:,} x {WIDTH}; {torch.get_num_threads()} threads, torch {torch.__version__}")
    for classes in (given.gallery // RIGHT, 2):
        print(f"\n{classes} classes")
        data = clustered(*size, classes)
        check(data)
        compare(data, given.repeats)
    memory(*size)
    growth(given.growth, given.repeats)
    if all(given.full):
        full(*given.full)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--gallery", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--growth", type=int, default=2_000)
    parser.add_argument("--full", type=int, nargs=2, default=(20_000, 100_000))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    if chosen.child:
        print(json.dumps(alone(chosen.child[0], *map(int, chosen.child[1:]))))
    else:
        main(chosen)
