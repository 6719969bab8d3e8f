"""The losses of an epoch, kept without making the device wait for every batch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from goldfold.errors import GoldfoldError


class LossLog:
    """An epoch's losses: left on the device until they are looked at, then checked and kept as numbers."""

    def __init__(self, stage: str, epoch: int) -> None:
        self.where = f"epoch {epoch} of stage '{stage}'"
        self.terms: list[str] = []
        self.pending: list[Tensor] = []
        self.rows: list[int] = []
        self.values: list[list[float]] = []

    def add(self, terms: Mapping[str, Tensor], rows: int) -> None:
        if self.rows and list(terms) != self.terms:
            raise GoldfoldError(
                f"the loss terms must be the same in every batch, {', '.join(self.terms)} became {', '.join(terms)} "
                f"in {self.where}: return 0 for a term a batch lacks"
            )
        self.terms = list(terms)
        self.pending.extend(term.detach() for term in terms.values())
        self.rows.append(rows)

    def look(self) -> None:
        """Raises GoldfoldError naming epoch, batch and term where a loss is not finite."""
        if not self.pending:
            return
        first = len(self.values)
        self.values += torch.stack(self.pending).double().view(-1, len(self.terms)).tolist()
        self.pending.clear()
        for number, values in enumerate(self.values[first:], first + 1):
            for term, value in zip(self.terms, values, strict=True):
                if not math.isfinite(value):
                    raise GoldfoldError(
                        f"loss term '{term}' is {value} at batch {number}, {self.where}: lower the learning rate or "
                        "set clip; the weights of the epoch before are kept"
                    )

    def means(self) -> dict[str, float]:
        """Each term's mean over samples, independent of when the losses were looked at."""
        total = sum(self.rows)
        columns = zip(*self.values, strict=True)
        return {
            term: math.fsum(value * rows for value, rows in zip(column, self.rows, strict=True)) / total
            for term, column in zip(self.terms, columns, strict=True)
        }

    def mean(self) -> float:
        self.look()
        return sum(self.means().values())
