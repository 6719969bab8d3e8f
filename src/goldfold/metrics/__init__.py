"""Metrics as values: each factory returns a `goldfold.competition.Metric` whose name is its definition."""

from __future__ import annotations

from goldfold.errors import unknown
from goldfold.metrics.anomaly import auroc_class_mean, f1_at_first_jump, f1_at_quantile, f1_best, pseudo_auroc
from goldfold.metrics.classification import accuracy, f1, log_loss, quadratic_kappa
from goldfold.metrics.localisation import aupro, pixel_auroc
from goldfold.metrics.ranking import auroc, average_precision
from goldfold.metrics.regression import rmse, rmsle
from goldfold.metrics.routing import routing_accuracy
from goldfold.metrics.segmentation import dice, dsb2018_map, instance_average_precision, iou

__all__ = [
    "accuracy",
    "aupro",
    "auroc",
    "auroc_class_mean",
    "average_precision",
    "dice",
    "dsb2018_map",
    "f1",
    "f1_at_first_jump",
    "f1_at_quantile",
    "f1_best",
    "instance_average_precision",
    "iou",
    "log_loss",
    "pixel_auroc",
    "pseudo_auroc",
    "quadratic_kappa",
    "rmse",
    "rmsle",
    "routing_accuracy",
]


def __getattr__(name: str) -> None:
    raise AttributeError(str(unknown("metric", name, __all__)))
