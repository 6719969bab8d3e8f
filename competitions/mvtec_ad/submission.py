"""Submission of one anomaly score per image, larger for defects; the metric is AUROC over all classes."""

from __future__ import annotations

from goldfold.metrics import auroc
from goldfold.submission import score_per_row

METRIC = auroc("defect")
SUBMISSION = score_per_row.submission("defect")
grade = score_per_row.grade(METRIC, "defect")
