"""A probability per frame and class; the metric is the mean average precision over classes."""

from __future__ import annotations

from competitions.road_scenes.data import LABELS
from goldfold.metrics import average_precision
from goldfold.submission import label_columns

METRIC = average_precision(LABELS)
SUBMISSION = label_columns.submission(LABELS)
grade = label_columns.grade(METRIC, LABELS)
