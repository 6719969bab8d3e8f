"""Submissions that rank: a row per query with the ids of the answers it finds, best first, separated by spaces.

The layout of Kaggle's landmark retrieval, where every test row asks and the others answer. How the answers relate is
told by `Pairs` over the hidden rows: right ones, wrong ones, and ones left out, which may be listed and count neither
way. A list must therefore be as much longer than what is graded as a query can have answers left out beside itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.errors import GoldfoldError
from goldfold.retrieval.pairs import by_label, count_relevant
from goldfold.retrieval.search import nearest
from goldfold.submission.checks import broken_by

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.optional_parts import Pairs


@dataclass(frozen=True)
class Ranking:
    """How a competition is asked and graded.

    column: of the submission, beside `id`. listed: ids in each of its lists, or all others where there are fewer.
    graded: how many of them count, k of mAP@k; None for mAP@R, where as many count as the query has right answers.
    """

    column: str
    listed: int
    graded: int | None = None

    def write(self, test: DataFrame, embeddings: np.ndarray) -> DataFrame:
        """The submission: for each test row the others whose embeddings (n, d) have the largest cosines with its own.

        Raises:
            GoldfoldError: a single test row, or embeddings of another shape or with values that are not finite.
        """
        everyone = by_label(range(len(test)))  # nothing is right, the row itself is left out
        found = nearest(everyone, embeddings, self._length(len(test)))
        return self._frame(test, found.positions)

    def check(self, values: Series, ids: Series, test: DataFrame) -> str | None:
        """For `Submission.checks`. A shorter list is refused too: it can only score lower, so it is a mistake."""
        known, length = set(test["id"].astype(str)), self._length(len(test))
        pairs = zip(ids.astype(str), values.astype(str), strict=True)
        faults = [_fault(text.split(), own, known, length) for own, text in pairs]
        wrong = np.array([fault is not None for fault in faults])
        if not wrong.any():
            return None
        rule = f"must list {length} other test ids, separated by spaces"
        return f"{rule}, {broken_by(wrong, ids)}: {faults[wrong.argmax()]}"

    def host(
        self,
        train: DataFrame,
        test: DataFrame,
        targets: Sequence[str],
        pairs: Callable[[DataFrame], Pairs],
        public: Path,
        private: Path,
    ) -> None:
        """Write the tables that `hosting.read` reads, and `private/solution.csv`: a best list, and all that is known.

        train, test: with their targets; `path` is relative to `public`. The sample submission has lists at random.

        Raises:
            GoldfoldError: fewer than three test rows, an id with a space in it, no query with a right answer, or a
                query with more answers left out than `listed` can spare.
        """
        asked = pairs(test)
        self._refuse(test, asked)
        draw = np.random.default_rng(0)
        others = [draw.permutation(np.delete(np.arange(len(test)), row)) for row in range(len(test))]
        tables = {
            public / "train.csv": train,
            public / "test.csv": test.drop(columns=list(targets)),
            public / "sample_submission.csv": self._frame(test, others),
            private / "solution.csv": self._frame(test, _best_first(asked, others)).join(
                test.drop(columns=["id", "path"]).reset_index(drop=True)
            ),
        }
        for path, table in tables.items():
            table.to_csv(path, index=False)

    def grade(self, submission: DataFrame, solution: DataFrame, pairs: Pairs) -> float:
        """Mean average precision of the answers that count, in [0, 1].

        solution: as `host` wrote it; pairs: over its rows, all of which ask and answer. Over the queries with a right
        answer, R of them: the sum of the precisions at the ranks of right answers up to D, divided by min(D, R), D
        being `graded` (mAP@k), or R where that is None (mAP@R: Musgrave, Belongie and Lim 2020, section 3.2). Answers
        left out take no rank, nor does an id that is named again. It is the metric of the embeddings that made the
        lists, as long as no two cosines are equal.

        Raises:
            GoldfoldError: a query without a list, or no query with a right answer.
        """
        told = dict(zip(submission["id"].astype(str), submission[self.column].astype(str), strict=True))
        ids = solution["id"].astype(str).tolist()
        if missing := [query for query in ids if query not in told]:
            raise GoldfoldError(f"{len(missing)} queries have no list, first '{missing[0]}': rank for each test id")
        columns = {ids[position]: column for column, position in enumerate(pairs.gallery)}
        values = [
            self._average_precision(told[ids[position]], columns, *_relations(pairs, number))
            for number, position in enumerate(pairs.queries)
        ]
        if np.isnan(values).all():
            raise GoldfoldError("no hidden row has a right answer: hide others")
        return float(np.nanmean(values))

    def _average_precision(
        self, ranked: str, columns: Mapping[str, int], right: np.ndarray, counted: np.ndarray
    ) -> float:
        """Of one query's list, nan where it has no right answer; columns: id -> its place in `right` and `counted`."""
        if not (total := int(right.sum())):
            return np.nan
        depth = self.graded or total
        listed = np.array([columns[id_] for id_ in dict.fromkeys(ranked.split()) if id_ in columns], np.int64)
        found = right[listed[counted[listed]]][:depth]
        precision = np.cumsum(found) / np.arange(1, len(found) + 1)
        return precision[found].sum() / min(depth, total)

    def _refuse(self, test: DataFrame, pairs: Pairs) -> None:
        found, others = count_relevant(pairs), len(test) - 1
        if len(test) < 3 or not found.relevant.any() or test["id"].astype(str).str.contains(r"\s").any():
            raise GoldfoldError(
                f"a ranking needs 3 hidden rows or more, here {len(test)}, some with a right answer, here "
                f"{(found.relevant > 0).sum()}, and ids without spaces, such as '{test['id'].iloc[0]}': hide others"
            )
        graded = found.relevant if self.graded is None else self.graded
        needed = np.minimum(graded + others - found.gallery, others)
        if needed.max() > self.listed:
            raise GoldfoldError(
                f"test row '{test['id'].iloc[needed.argmax()]}' needs a list of {needed.max()} ids to be graded as it "
                f"is scored, and lists have {self.listed}: make them longer, or hide other rows"
            )

    def _length(self, rows: int) -> int:
        return min(self.listed, rows - 1)

    def _frame(self, test: DataFrame, positions: Sequence[np.ndarray]) -> DataFrame:
        ids = test["id"].astype(str).to_numpy(object)
        lists = [" ".join(ids[some[: self._length(len(test))]]) for some in positions]
        return pd.DataFrame({"id": test["id"].to_numpy(), self.column: lists})


def _relations(pairs: Pairs, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Which answers are right for a query, and which count at all, bool (gallery,)."""
    some = slice(number, number + 1)
    counted = ~pairs.left_out(some)[0]
    return pairs.relevant(some)[0] & counted, counted


def _best_first(pairs: Pairs, others: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each row the `others`, right ones first."""
    wrong = (~_relations(pairs, number)[0][positions] for number, positions in enumerate(others))
    return [positions[np.argsort(last, kind="stable")] for positions, last in zip(others, wrong, strict=True)]


def _fault(listed: list[str], own: str, known: set[str], length: int) -> str | None:
    if strangers := [id_ for id_ in listed if id_ not in known]:
        return f"'{strangers[0]}' is no test id"
    if own in listed:
        return "it lists the query itself"
    if len(set(listed)) < len(listed):
        return f"it lists '{next(id_ for id_ in listed if listed.count(id_) > 1)}' twice"
    return None if len(listed) == length else f"it lists {len(listed)}"
