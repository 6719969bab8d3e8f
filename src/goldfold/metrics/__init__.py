"""Metrics: each factory returns a `goldfold.competition.Metric` whose name says its definition.

Every factory's docstring states the definition, the range, the chance level, and how ties and empty classes count.
"""

from __future__ import annotations

from goldfold.errors import unknown
from goldfold.metrics.anomaly import auroc_class_mean, f1_at_first_jump, f1_at_quantile, f1_best, pseudo_auroc
from goldfold.metrics.auroc import auroc
from goldfold.metrics.class_routing import routing_accuracy
from goldfold.metrics.classification import accuracy, f1, log_loss, quadratic_kappa
from goldfold.metrics.hash_codes import hash_map, hash_precision
from goldfold.metrics.localization import aupro, pixel_auroc
from goldfold.metrics.masks.mask_ap import mask_average_precision
from goldfold.metrics.masks.overlap import mean_dice, mean_dice_per_image, mean_iou, mean_iou_per_image
from goldfold.metrics.masks.panoptic import panoptic_quality
from goldfold.metrics.masks.surfaces import boundary_f1, hausdorff_95, surface_dice
from goldfold.metrics.multilabel import (
    hamming_loss,
    multilabel_f1,
    multilabel_precision,
    multilabel_recall,
    subset_accuracy,
)
from goldfold.metrics.multilabel_ranking import (
    average_precision,
    label_ranking_average_precision,
    multilabel_auroc,
)
from goldfold.metrics.re_identification import map_trapezoid, over_splits
from goldfold.metrics.regression import rmse, rmsle
from goldfold.metrics.retrieval import (
    hit_at,
    map_at,
    map_at_r,
    mean_average_precision,
    precision_at,
    r_precision,
    recall_at,
    reciprocal_rank,
)
from goldfold.metrics.segmentation import dice, dsb2018_map, instance_average_precision, iou

__all__ = [
    "accuracy",
    "aupro",
    "auroc",
    "auroc_class_mean",
    "average_precision",
    "boundary_f1",
    "dice",
    "dsb2018_map",
    "f1",
    "f1_at_first_jump",
    "f1_at_quantile",
    "f1_best",
    "hamming_loss",
    "hash_map",
    "hash_precision",
    "hausdorff_95",
    "hit_at",
    "instance_average_precision",
    "iou",
    "label_ranking_average_precision",
    "log_loss",
    "map_at",
    "map_at_r",
    "map_trapezoid",
    "mask_average_precision",
    "mean_average_precision",
    "mean_dice",
    "mean_dice_per_image",
    "mean_iou",
    "mean_iou_per_image",
    "multilabel_auroc",
    "multilabel_f1",
    "multilabel_precision",
    "multilabel_recall",
    "over_splits",
    "panoptic_quality",
    "pixel_auroc",
    "precision_at",
    "pseudo_auroc",
    "quadratic_kappa",
    "r_precision",
    "recall_at",
    "reciprocal_rank",
    "rmse",
    "rmsle",
    "routing_accuracy",
    "subset_accuracy",
    "surface_dice",
]


def __getattr__(name: str) -> None:
    raise AttributeError(str(unknown("metric", name, __all__, code="unknown_metric")))
