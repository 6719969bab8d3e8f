"""Ways to turn the outputs of a head into codes of a given number of bits, and to search codes by new outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.retrieval.hashing import codes as hash_codes
from goldfold.retrieval.hashing import product_quantization
from goldfold.retrieval.hashing.product_quantization import Quantizer


class Codebook(Protocol):
    """From outputs, float (n, d), to codes, uint8 (n, ceil(bits / 8)), and their distances.

    encode: codes of outputs. distances: of outputs (q, d) to codes (n, bytes): (q, n). nearest: similarities float64
    (q, k) of the k nearest codes, descending, at most 1, and their positions int64 (q, k); of equal ones the smaller
    position first. arrays: what another program needs beside the codes to compute distances.
    """

    def encode(self, outputs: np.ndarray) -> np.ndarray: ...
    def distances(self, outputs: np.ndarray, codes: np.ndarray) -> np.ndarray: ...
    def nearest(self, outputs: np.ndarray, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]: ...
    def arrays(self) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True)
class Signs:
    """Outputs of a hash layer: a bit is 1 if the output is positive. Distance: Hamming; similarity: 1 - it / bits."""

    bits: int

    def encode(self, outputs: np.ndarray) -> np.ndarray:
        return hash_codes.to_bytes(hash_codes.pack(outputs))

    def distances(self, outputs: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return hash_codes.distances(hash_codes.pack(outputs), hash_codes.from_bytes(codes, self.bits))

    def nearest(self, outputs: np.ndarray, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        found, positions = hash_codes.nearest(hash_codes.pack(outputs), hash_codes.from_bytes(codes, self.bits), k)
        return 1 - found / self.bits, positions

    def arrays(self) -> Mapping[str, np.ndarray]:
        return {}


@dataclass(frozen=True)
class Products:
    """Product quantization of the directions of features. Distance: squared Euclidean; similarity: 1 - half of it."""

    quantizer: Quantizer

    def encode(self, outputs: np.ndarray) -> np.ndarray:
        return product_quantization.encode(self.quantizer, _directions(outputs))

    def distances(self, outputs: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return product_quantization.distances(self.quantizer, _directions(outputs), codes)

    def nearest(self, outputs: np.ndarray, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        found, positions = product_quantization.nearest(self.quantizer, _directions(outputs), codes, k)
        return 1 - found.astype(np.float64) / 2, positions

    def arrays(self) -> Mapping[str, np.ndarray]:
        return {"centroids": self.quantizer.centroids}


def products(features: np.ndarray, bits: int, seed: int) -> Products:
    """Product quantization fitted on the directions of features (n, d); raises as `product_quantization.check`."""
    return Products(product_quantization.fit(_directions(features), bits, seed))


def check_neighbors(neighbors: int, rows: int) -> None:
    """Check that an index of `rows` training rows has that many neighbors; raises GoldfoldError `k_out_of_range`."""
    if neighbors > rows:
        raise GoldfoldError(
            "k_out_of_range",
            f"neighbors is {neighbors} and the index of a fold has {rows} training rows: choose neighbors in "
            f"[1, {rows}]",
        )


def _directions(features: np.ndarray) -> np.ndarray:
    """Features of length 1, float32; rows of zeros stay."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
