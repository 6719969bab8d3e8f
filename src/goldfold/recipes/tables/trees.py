"""What the recipe `boosting` asks of a library of boosted trees, and the check of the library's own parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from goldfold.errors import GoldfoldError, unknown

Data = tuple[np.ndarray, np.ndarray]  # features float64 (n, f) with NaN, and int classes or float values (n,)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is fitted, in the words that the libraries share.

    classes: their number; 0 for values. is_category: bool (features,), whether a feature holds codes. own: the
        library's own parameters. Others as in `BoostingParams`.
    """

    classes: int
    names: tuple[str, ...]
    is_category: np.ndarray
    learning_rate: float
    leaves: int
    depth: int | None
    leaf: int
    l2: float
    row_share: float
    column_share: float
    seed: int
    threads: int
    own: Mapping[str, Any]


class Trees(Protocol):
    """Fitted trees; fewer `rounds` predict than were made if the fit stopped early."""

    @property
    def rounds(self) -> int:
        """The boosting iterations that predict."""

    def predict(self, features: np.ndarray, rounds: int | None = None) -> np.ndarray:
        """Values (n,), or probabilities (n, classes), float64; rounds: of another number of iterations."""

    def gain(self) -> np.ndarray:
        """By how much the splits on each feature lowered the loss, float64 (features,); empty if it is not known."""

    def contributions(self, features: np.ndarray) -> np.ndarray:
        """Mean absolute SHAP value of each feature, float64 (features,), in the unit of the raw prediction."""

    def files(self) -> Mapping[str, bytes]:
        """File name -> the trees in the library's own text format; empty if it has none."""


@dataclass(frozen=True)
class Library:
    """A library of boosted trees.

    package: as Python imports it. fit: (task, training data, data to stop on or None, rounds, patience) -> trees. With
        data to stop on it stops after `patience` rounds without a lower loss on them.
    names: () -> the library's own parameters. taken: () -> those that the recipe sets -> what to do instead.
    """

    package: str
    fit: Callable[[Task, Data, Data | None, int, int], Trees]
    names: Callable[[], Iterable[str]]
    taken: Callable[[], Mapping[str, str]]


def check(library: Library, own: Mapping[str, Any]) -> None:
    """Check that a library is installed and knows the parameters `own`.

    Raises:
        GoldfoldError: `package_missing`; `unknown_library_parameter`; `library_parameter_taken`.
    """
    if find_spec(library.package) is None:
        raise GoldfoldError(
            "package_missing",
            f"library={library.package} needs the extra `boosting`, which is not installed: pip install "
            '"goldfold[boosting]", or set library=sklearn',
        )
    known, taken = (set(library.names()), library.taken()) if own else (set(), {})
    for name in own:
        if name in taken:
            raise GoldfoldError(
                "library_parameter_taken",
                f"library_parameters has '{name}' of {library.package}, which the recipe sets: {taken[name]}",
            )
        if name not in known:
            raise unknown(f"parameter of {library.package}", name, known, code="unknown_library_parameter")
