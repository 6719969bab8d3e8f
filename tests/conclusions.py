"""A wrong conclusion as a case: what must be printed, and the commands that print it; for tests alone."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass

import pandas as pd
from made_tables import define, on_columns
from planted_network import TABLES, by_class
from planted_tables import Case as Tables

from goldfold import metrics
from goldfold.cli.main import main
from goldfold.competition import Metric, Recipe

NEVER = r"(?!)"
AUROC = metrics.auroc("y")
RETRIEVAL = metrics.mean_average_precision(by_class, protocol="all others answer")


@dataclass(frozen=True)
class Case:
    """A wrong conclusion.

    caught: the code of a finding or refusal, or what prevents it, in words.
    faulty, clean: run commands in the toy project and return all they print, with the fault and without.
    words: a pattern of what is printed where no code is. never: a pattern that neither may print.
    """

    caught: str
    faulty: Callable[[], str]
    clean: Callable[[], str]
    words: str = ""
    never: str = NEVER

    def told(self, printed: str) -> bool:
        """Whether the finding, the refusal that names its code, or the words are among what was printed."""
        pattern = self.words or rf"(?m)^(note|warning|error)  {self.caught}  |--accept {self.caught}\b"
        return re.search(pattern, printed) is not None


def said(*words: str) -> str:
    """All that a command prints."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed), suppress(SystemExit):
        main(words)
    return printed.getvalue()


def trained(
    made: Recipe,
    tables: tuple[pd.DataFrame, pd.DataFrame] = TABLES,
    metric: Metric = AUROC,
    words: tuple[str, ...] = (),
    **options,
) -> str:
    """What training a recipe prints. words: overrides of the config. options: those of `made_tables.define`."""
    define(metric, made, tables, **options)
    return said("train", "--comp", "table", "--quiet", *words)


def audited(case: Tables) -> str:
    """What an audit of tables and folds prints, before any training."""
    recipe = on_columns(["x0"], kind="binary")
    define(AUROC, recipe, (case.train, case.test), split=lambda train, seed: case.folds, group=case.group)
    return said("audit", "--comp", "table", "--quiet")
