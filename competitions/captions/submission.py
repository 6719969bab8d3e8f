"""A probability per image and category; the metric is the mean average precision over categories."""

from __future__ import annotations

from competitions.captions.data import LABELS
from goldfold.metrics import average_precision
from goldfold.submission import label_columns

METRIC = average_precision(LABELS)
SUBMISSION = label_columns.submission(LABELS)
grade = label_columns.grade(METRIC, LABELS)
