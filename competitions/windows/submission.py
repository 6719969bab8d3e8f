"""Submission of one probability per window; the metric is F1 of class 1 at a probability above 0.5."""

from __future__ import annotations

from goldfold.metrics import f1
from goldfold.submission import score_per_row

METRIC = f1("label", average="binary")
SUBMISSION = score_per_row.submission("label")
grade = score_per_row.grade(METRIC, "label")
