"""A score for each image, larger the surer of a defect, ranked over all classes by the area under the ROC curve."""

from __future__ import annotations

from goldfold import score_submissions
from goldfold.metrics import auroc

METRIC = auroc("defect")
SUBMISSION = score_submissions.submission("defect")
grade = score_submissions.grade(METRIC, "defect")
