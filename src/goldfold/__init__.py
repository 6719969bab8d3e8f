"""goldfold: a Kaggle-style competition harness with folds, scores you can trust and valid submissions.

>>> import goldfold as gf
>>> project = gf.Project(".")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldfold.errors import GoldfoldError as GoldfoldError
    from goldfold.project import Project as Project
    from goldfold.run import Predictions as Predictions
    from goldfold.run import Run as Run
    from goldfold.runs import Runs as Runs

__version__ = "0.2.0"
__all__ = ["GoldfoldError", "Predictions", "Project", "Run", "Runs", "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import goldfold` and `goldfold --help` stay fast."""
    homes = {"GoldfoldError": "errors", "Predictions": "run", "Project": "project", "Run": "run", "Runs": "runs"}
    if name not in homes:
        raise AttributeError(f"module 'goldfold' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"goldfold.{homes[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
