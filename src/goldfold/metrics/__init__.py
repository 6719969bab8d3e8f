"""Metrics as values: each factory returns a `goldfold.competition.Metric` whose name is its definition."""

from __future__ import annotations

from goldfold.errors import unknown
from goldfold.metrics.classification import accuracy, f1, log_loss, quadratic_kappa
from goldfold.metrics.localisation import aupro, pixel_auroc
from goldfold.metrics.ranking import auroc, average_precision
from goldfold.metrics.regression import rmse, rmsle
from goldfold.metrics.segmentation import dice, dsb2018_map, instance_average_precision, iou

__all__ = [
    "accuracy",
    "aupro",
    "auroc",
    "average_precision",
    "dice",
    "dsb2018_map",
    "f1",
    "instance_average_precision",
    "iou",
    "log_loss",
    "pixel_auroc",
    "quadratic_kappa",
    "rmse",
    "rmsle",
]


def __getattr__(name: str) -> None:
    raise AttributeError(str(unknown("metric", name, __all__)))
