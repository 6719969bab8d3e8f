"""Collect the losses of an epoch without waiting for the device after every batch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from goldfold.errors import GoldfoldError


class LossLog:
    """The losses of an epoch: kept on the device until `sync`, then checked and stored as numbers."""

    def __init__(self, stage: str, epoch: int) -> None:
        self.where = f"epoch {epoch} of stage '{stage}'"
        self.terms: list[str] = []
        self.pending: list[Tensor] = []
        self.rows: list[int] = []
        self.values: list[list[float]] = []

    def add(self, terms: Mapping[str, Tensor], rows: int) -> None:
        """Add the loss terms of a batch with `rows` samples.

        Raises:
            GoldfoldError: the terms differ from those of earlier batches.
        """
        if self.rows and list(terms) != self.terms:
            raise GoldfoldError(
                "loss_terms_changed",
                f"the loss terms changed within {self.where}, from {', '.join(self.terms)} to {', '.join(terms)}: "
                "return the same terms for every batch, 0 for a term a batch lacks",
            )
        self.terms = list(terms)
        self.pending.extend(term.detach() for term in terms.values())
        self.rows.append(rows)

    def sync(self) -> None:
        """Transfer the pending losses from the device and check them.

        Raises:
            GoldfoldError: a loss is not finite; the message names epoch, batch and term.
        """
        if not self.pending:
            return
        first = len(self.values)
        self.values += torch.stack(self.pending).double().view(-1, len(self.terms)).tolist()
        self.pending.clear()
        for number, values in enumerate(self.values[first:], first + 1):
            for term, value in zip(self.terms, values, strict=True):
                if not math.isfinite(value):
                    raise GoldfoldError(
                        "loss_not_finite",
                        f"loss term '{term}' is {value} at batch {number} of {self.where}: lower the learning rate or "
                        "set clip. The checkpoint of the epoch before is kept",
                    )

    def mean(self) -> float:
        """The mean total loss over the samples of this process so far."""
        self.sync()
        return sum(self._sums()) / sum(self.rows)

    def over_all_processes(self) -> tuple[dict[str, float], int]:
        """Each term's mean over the samples of all processes, and the number of samples."""
        parts: list[tuple[list[float], int]] = [(self._sums(), sum(self.rows))]
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
