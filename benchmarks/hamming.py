"""Nearest hash codes against faiss.IndexBinaryFlat, and the time and memory of average precision over ties.

    python benchmarks/hamming.py        # needs faiss-cpu: pip install -r requirements-bench.txt

10,000 queries search 100,000 codes of 64 bits for 20 neighbors, exactly; results are compared before times. Then the
tie-aware average precision of 5,000 queries in 50,000 codes that share one of 80 labels or more is timed.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from goldfold.retrieval.hashing import codes as hash_codes
from goldfold.retrieval.hashing import tied_ranks
from goldfold.retrieval.pairs import by_shared_label

RUNS = 5
BITS, K = 64, 20


def codes(n: int, seed: int) -> hash_codes.Codes:
    return hash_codes.pack(np.random.default_rng(seed).random((n, BITS)) > 0.5)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def search() -> None:
    queries, database = codes(10_000, 0), codes(100_000, 1)
    found = {use: hash_codes.nearest(queries, database, K, use_faiss=use) for use in (False, True)}
    assert all(np.array_equal(*each) for each in zip(found[False], found[True], strict=True)), "results differ"
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(RUNS):
        for use, own in times.items():
            own.append(seconds(lambda use=use: hash_codes.nearest(queries, database, K, use_faiss=use)))
    own, other = (statistics.median(times[use]) for use in (False, True))
    print(f"10,000 queries x 100,000 codes of {BITS} bits, {K} neighbors, {os.cpu_count()} threads, equal results")
    print(f"  goldfold {own:.2f} s, faiss {other:.2f} s (medians of {RUNS}): {other / own:.1f} times as fast")


def average_precision() -> None:
    labels = np.random.default_rng(2).random((55_000, 80)) < 0.036
    pairs = by_shared_label(labels, queries=np.arange(55_000) < 5000)
    packed = codes(55_000, 3)
    start = time.perf_counter()
    found = tied_ranks.average_precision(*hash_codes.counts_by_distance(pairs, packed))
    spent = time.perf_counter() - start
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    means = ", ".join(f"{name} {np.nanmean(each):.4f}" for name, each in zip(found._fields, found, strict=True))
    print(f"mAP over ties, 5,000 queries x 50,000 codes of {BITS} bits: {means}")
    print(f"  {spent:.1f} s; largest memory of the whole process {largest:.2f} GiB")


if __name__ == "__main__":
    average_precision()
    if find_spec("faiss") is None:
        sys.exit("the search is compared with faiss, which is not installed: pip install -r requirements-bench.txt")
    search()
