"""The losses of an epoch, kept without making the device wait for every batch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.distributed as dist
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

    def mean(self) -> float:
        """The mean total over this process's samples so far."""
        self.look()
        return sum(self._sums()) / sum(self.rows)

    def over_all_processes(self) -> tuple[dict[str, float], int]:
        """Each term's mean over samples, whenever the losses were looked at, and the number of samples."""
        parts = [(self._sums(), sum(self.rows))]
        if dist.is_initialized():
            parts = [parts[0]] * dist.get_world_size()
            dist.all_gather_object(parts, parts[0])
        sums, samples = zip(*parts, strict=True)
        totals = map(math.fsum, zip(*sums, strict=True))
        return {term: total / sum(samples) for term, total in zip(self.terms, totals, strict=True)}, sum(samples)

    def _sums(self) -> list[float]:
        """Each term, summed over samples."""
        return [
            math.fsum(value * rows for value, rows in zip(column, self.rows, strict=True))
            for column in zip(*self.values, strict=True)
        ]
