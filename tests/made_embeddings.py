"""Made embeddings with labels and cameras: random ones, and +1/-1 codes with many ties."""

from __future__ import annotations

import numpy as np
import torch

from goldfold.retrieval.cosines import normalize

RNG = np.random.default_rng(5)
N = 150
KINDS = np.array(["крыса", "地毯", "grid", "тень"])
LABELS = RNG.choice(KINDS, N, p=[0.6, 0.25, 0.1, 0.05])
CAMERAS = RNG.integers(0, 3, N)
IS_QUERY = RNG.random(N) < 0.3
GAUSSIAN = RNG.standard_normal((N, 24)).astype(np.float32)
SIGNS = RNG.choice([-1.0, 1.0], (N, 16)).astype(np.float32)  # cosines are multiples of 1/8: exact, and mostly tied


def cosines_of(embeddings: np.ndarray) -> np.ndarray:
    """The cosines of all rows with all rows, float32 (n, n)."""
    units = torch.from_numpy(normalize(embeddings))
    return (units @ units.T).numpy()
