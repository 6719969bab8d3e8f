"""A score for each image, larger the surer of a defect, ranked over all classes by the area under the ROC curve."""

from __future__ import annotations

from goldfold.metrics import auroc
from goldfold.submission import score_per_row

METRIC = auroc("defect")
SUBMISSION = score_per_row.submission("defect")
grade = score_per_row.grade(METRIC, "defect")
