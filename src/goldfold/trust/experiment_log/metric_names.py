"""Which metric of a table a text names: by its name, or by the usual words for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

FAMILIES = {  # part of a metric's name -> how texts call it
    "auroc": r"(?:roc[ -]?)?auc(?:[ -]?roc)?|auroc",
    "accuracy": r"acc(?:uracy)?",
    "f1": r"f1(?:[ -]?score)?",
    "map": r"map|mean average precision",
    "average_precision": r"ap|map|average precision|auprc|pr[ -]auc",
    "label_ranking_average_precision": r"lrap",
    "hamming": r"hamming(?:[ -]loss)?",
    "precision": r"precision|p(?=@)",
    "recall": r"recall|r(?=@)",
    "hit": r"hit(?:[ -]rate)?|rank|cmc|recall|r(?=@)|top(?=[- ]\d)",
    "r-precision": r"r-precision",
    "rmse": r"rmse",
    "rmsle": r"rmsle",
    "mae": r"mae",
    "mse": r"mse",
    "r2": r"r2|r²",
    "log_loss": r"log[ -_]?loss",
    "kappa": r"(?:quadratic )?kappa|qwk",
    "dice": r"dice",
    "iou": r"m?iou",
    "aupro": r"aupro",
    "mrr": r"mrr",
    "ndcg": r"ndcg",
    "mcc": r"mcc",
}
CUTOFF = r"(?:(?:@|[ -]|[ ]?at[ ]?)(\d+))?"


@dataclass(frozen=True)
class Named:
    """What a text calls a metric, and the metric of the table; None if the table has none such."""

    text: str
    metric: str | None


def named(text: str, metrics: Iterable[str]) -> Named | None:
    """The first metric that a text names; None if it names none. metrics: of the table, the most important first.

    >>> named("best mAP so far", ["auroc", "mAP@20 (over min(20, right))"])
    Named(text='mAP', metric='mAP@20 (over min(20, right))')
    >>> named("lowest RMSE", ["auroc"])
    Named(text='RMSE', metric=None)
    """
    known = list(metrics)
    for metric in sorted(known, key=len, reverse=True):
        for spelled in (metric, metric.partition(" (")[0], metric.replace("_", " ")):
            if found := re.search(rf"(?<!\w){re.escape(spelled)}(?!\w|@)", text, re.IGNORECASE):
                return Named(found[0], metric)
    mentions = []
    for family, words in FAMILIES.items():
        for found in re.finditer(rf"(?<![\w-])(?:{words}){CUTOFF}(?!\w|@)", text, re.IGNORECASE):
            mentions.append((found.start(), _of_family(known, family, found[1]) is None, family, found))
    if not mentions:
        return None
    _, _, family, found = min(mentions, key=lambda each: each[:2])
    return Named(found[0], _of_family(known, family, found[1]))


def _of_family(metrics: Iterable[str], family: str, cutoff: str | None) -> str | None:
    """The first metric of a family, with that cutoff if there is one."""
    for metric in metrics:
        words = metric.lower()
        if re.search(rf"(?<![a-z]){re.escape(family)}(?![a-z])", words) and (
            cutoff is None or re.search(rf"@{cutoff}(?!\d)", words)
        ):
            return metric
    return None
