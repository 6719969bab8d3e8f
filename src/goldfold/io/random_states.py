"""Seed the random generators of PyTorch, NumPy and Python, save and restore their states."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def get_states() -> dict[str, Any]:
    """Return the states of all generators, in types that `torch.load(weights_only=True)` accepts."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": random.getstate(),
    }


def set_states(saved: dict[str, Any]) -> None:
    """Set all generators to the states that `get_states` returned."""
    torch.set_rng_state(saved["torch"])
    if saved["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(saved["cuda"])
    keys, position, has_gauss, gauss = saved["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    random.setstate(saved["python"])


def seed_all(seed: int) -> None:
    """Seed all generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two states of `get_states` are equal: nothing was drawn between them."""
    (keys, *rest), (others, *their_rest) = one["numpy"], other["numpy"]
    pairs = [(one["torch"], other["torch"]), (keys, others), *zip(one["cuda"], other["cuda"], strict=True)]
    return (rest, one["python"]) == (their_rest, other["python"]) and all(torch.equal(*pair) for pair in pairs)


@contextmanager
def preserved_states() -> Iterator[None]:
    """Restore all generators at the end of the `with` block, so that draws inside have no effect outside."""
    saved = get_states()
    try:
        yield
    finally:
        set_states(saved)
