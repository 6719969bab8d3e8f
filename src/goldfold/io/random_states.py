"""The random generators training draws from: put away, set back, and kept from being disturbed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def states() -> dict[str, Any]:
    """The states of torch's, NumPy's and Python's generators, in types `torch.load` trusts."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": random.getstate(),
    }


def restore(drawn: dict[str, Any]) -> None:
    """Set all generators to what `states` returned."""
    torch.set_rng_state(drawn["torch"])
    if drawn["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(drawn["cuda"])
    keys, position, has_gauss, gauss = drawn["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    random.setstate(drawn["python"])


@contextmanager
def undisturbed() -> Iterator[None]:
    """Whatever is drawn inside, what follows draws as if it had not been."""
    drawn = states()
    try:
        yield
    finally:
        restore(drawn)
