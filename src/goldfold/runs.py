"""Several runs as a sequence and a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from goldfold.experiment import run_results
from goldfold.run import Run

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Runs(Sequence[Run]):
    """Runs in the order they began; a table when printed and in Jupyter."""

    items: tuple[Run, ...]

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self.items[index]) if isinstance(index, slice) else self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.items)

    @property
    def table(self) -> DataFrame:
        """A row per run: metric, mean over folds, sd, number of folds, chance level, findings."""
        return run_results.run_table([run.folder for run in self.items])

    def __repr__(self) -> str:
        return self.table.to_string(index=False) if self.items else "no runs yet: project.train('digits')"

    def _repr_html_(self) -> str:
        return self.table.to_html(index=False) if self.items else f"<p>{self!r}</p>"
