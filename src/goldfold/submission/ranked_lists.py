"""Retrieval submissions: one row per query with a ranked list of gallery ids, best first, separated by spaces.

This is the format of Kaggle's landmark retrieval competitions. Every test row is a query, and all other test rows are
its gallery. `Pairs` over the hidden rows says which gallery rows are relevant and which are left out (near-duplicates);
the latter may be listed and are ignored by the grade. A list must therefore be longer than the graded depth by the
largest number of left-out rows of any query, not counting the query itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.data import csv_tables
from goldfold.errors import GoldfoldError
from goldfold.io.files import write_text
from goldfold.retrieval.pairs import by_label, count_relevant
from goldfold.retrieval.search import nearest
from goldfold.submission.checks import wrong_rows

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.optional_parts import Pairs


@dataclass(frozen=True)
class RankedLists:
    """The format of a retrieval submission and how it is graded.

    column: column of the submission with the lists.
    length: ids in each list; all other test rows if there are fewer.
    depth: how many of them are graded, the k of mAP@k; None for mAP@R, which grades as many as the query has relevant
        rows.
    """

    column: str
    length: int
    depth: int | None = None

    def write(self, test: DataFrame, embeddings: np.ndarray) -> DataFrame:
        """Write the submission: for each test row the other rows with the largest cosine similarity.

        embeddings: (n, d), one per test row.

        Raises:
            GoldfoldError: there is one test row only, or embeddings have another shape or are not finite.
        """
        everyone = by_label(range(len(test)))  # leaves out the row itself; nothing is relevant
        found = nearest(everyone, embeddings, self._list_length(len(test)))
        return self._frame(test, found.positions)

    def check(self, values: Series, ids: Series, test: DataFrame) -> str | None:
        """Check the lists, for `Submission.checks`. Shorter lists are errors too, since they can only score lower."""
        known, length = set(test["id"].astype(str)), self._list_length(len(test))
        pairs = zip(ids.astype(str), values.astype(str), strict=True)
        faults = [_fault(_listed(text), own, known, length) for own, text in pairs]
        wrong = np.array([fault is not None for fault in faults])
        if not wrong.any():
            return None
        rule = f"must list {length} other test ids, separated by spaces"
        return f"{rule}; {wrong_rows(wrong, ids)}: {faults[wrong.argmax()]}"

    def write_tables(
        self,
        train: DataFrame,
        test: DataFrame,
        targets: Sequence[str],
        pairs: Callable[[DataFrame], Pairs],
        public: Path,
        private: Path,
    ) -> None:
        """Write the tables that `self_hosting.read` reads, and `private/solution.csv` with a best list and the targets.

        train, test: with their targets; `path` is relative to `public`. Lists of the sample submission are random.

        Raises:
            GoldfoldError: `hidden_rows_unsuitable`, there are fewer than 3 test rows, an id has a space, or no query
                has a relevant row; `lists_too_short`, a query has too many left-out rows.
        """
        test_pairs = pairs(test)
        self._check_gradable(test, test_pairs)
        draw = np.random.default_rng(0)
        others = [draw.permutation(np.delete(np.arange(len(test)), row)) for row in range(len(test))]
        tables = {
            public / "train.csv": train,
            public / "test.csv": test.drop(columns=list(targets)),
            public / "sample_submission.csv": self._frame(test, others),
            private / "solution.csv": self._frame(test, _best_first(test_pairs, others)).join(
                test.drop(columns=["id", "path"]).reset_index(drop=True)
            ),
        }
        for path, table in tables.items():
            write_text(path, csv_tables.to_text(table))

    def grade(self, submission: DataFrame, solution: DataFrame, pairs: Pairs) -> float:
        """Return the mean average precision of the lists, in [0, 1].

        submission: lists of all queries, or of some, as the local leaderboard grades them; `Submission.whole_gallery`.
        solution: as `write_tables` wrote it. pairs: over its rows.

        The mean is over the queries with a list and relevant rows. For a query with R relevant rows: the sum of the
        precisions at the ranks of relevant rows up to rank D, divided by min(D, R). D is `depth` (mAP@k), or R if that
        is None (mAP@R: Musgrave, Belongie and Lim 2020, section 3.2). Left-out and repeated ids take no rank. The grade
        of all lists equals the metric of the embeddings that made them, as long as no two cosines are equal.

        Raises:
            GoldfoldError: `list_missing`, no query has a list; `no_relevant_rows`, no query with a list has a relevant
                row.
        """
        lists = dict(zip(submission["id"].astype(str), submission[self.column].astype(str), strict=True))
        ids = solution["id"].astype(str).tolist()
        asked = [(number, position) for number, position in enumerate(pairs.queries) if ids[position] in lists]
        if not asked:
            raise GoldfoldError(
                "list_missing", f"none of {len(pairs.queries)} queries has a list: write one per test id"
            )
        columns = {ids[position]: column for column, position in enumerate(pairs.gallery)}
        values = [
            self._average_precision(lists[ids[position]], columns, *_relations(pairs, number))
            for number, position in asked
        ]
        if np.isnan(values).all():
            raise GoldfoldError("no_relevant_rows", "no hidden row has a relevant row: hide other rows")
        return float(np.nanmean(values))

    def _average_precision(
        self, ranked: str, columns: Mapping[str, int], relevant: np.ndarray, counted: np.ndarray
    ) -> float:
        """Return the AP of one list, NaN without relevant rows; columns: id -> its place in `relevant`, `counted`."""
        if not (total := int(relevant.sum())):
            return np.nan
        depth = self.depth or total
        listed = np.array([columns[id_] for id_ in dict.fromkeys(_listed(ranked)) if id_ in columns], np.int64)
        found = relevant[listed[counted[listed]]][:depth]
        precision = np.cumsum(found) / np.arange(1, len(found) + 1)
        return precision[found].sum() / min(depth, total)

    def _check_gradable(self, test: DataFrame, pairs: Pairs) -> None:
        found, others = count_relevant(pairs), len(test) - 1
        if len(test) < 3 or not found.relevant.any() or test["id"].astype(str).str.contains(r"\s").any():
            raise GoldfoldError(
                "hidden_rows_unsuitable",
                f"ranked lists need at least 3 hidden rows (here {len(test)}), some with relevant rows (here "
                f"{(found.relevant > 0).sum()}), and ids without spaces (such as '{test['id'].iloc[0]}'): hide others",
            )
        graded = found.relevant if self.depth is None else self.depth
        needed = np.minimum(graded + others - found.gallery, others)
        if needed.max() > self.length:
            raise GoldfoldError(
                "lists_too_short",
                f"test row '{test['id'].iloc[needed.argmax()]}' needs a list of {needed.max()} ids for a grade equal "
                f"to the metric, but lists have {self.length}: make them longer, or hide other rows",
            )

    def _list_length(self, rows: int) -> int:
        return min(self.length, rows - 1)

    def _frame(self, test: DataFrame, positions: Iterable[np.ndarray]) -> DataFrame:
        ids = test["id"].astype(str).to_numpy(object)
        lists = [" ".join(ids[some[: self._list_length(len(test))]]) for some in positions]
        return pd.DataFrame({"id": test["id"].to_numpy(), self.column: lists})


def _relations(pairs: Pairs, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which gallery rows are relevant to a query, and which are not left out, bool (gallery,)."""
    some = slice(number, number + 1)
    counted = ~pairs.left_out(some)[0]
    return pairs.relevant(some)[0] & counted, counted


def _best_first(pairs: Pairs, others: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the `others` of each row, relevant ones first."""
    irrelevant = (~_relations(pairs, number)[0][positions] for number, positions in enumerate(others))
    return [positions[np.argsort(last, kind="stable")] for positions, last in zip(others, irrelevant, strict=True)]


def _listed(text: str) -> list[str]:
    """The ids between plain spaces; other white space is part of an id, which is then unknown."""
    return [each for each in text.split(" ") if each]


def _fault(listed: list[str], own: str, known: set[str], length: int) -> str | None:
    if unknown := [id_ for id_ in listed if id_ not in known]:
        return f"{unknown[0]!r} is not a test id"
    if own in listed:
        return "it lists the query itself"
    if len(set(listed)) < len(listed):
        return f"it lists '{next(id_ for id_ in listed if listed.count(id_) > 1)}' twice"
    return None if len(listed) == length else f"it lists {len(listed)} ids"
