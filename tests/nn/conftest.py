"""Checkpoints of tiny towers, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tower_checkpoints


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Family and options of its text model -> the folder of its checkpoint."""
    made: dict[tuple, Path] = {}

    def of(family: str, **text: Any) -> Path:
        name = (family, *text.items())
        if name not in made:
            made[name] = tower_checkpoints.save(tmp_path_factory.mktemp("塔") / family, family, **text)
        return made[name]

    return of
