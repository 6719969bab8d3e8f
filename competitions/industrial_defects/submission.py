"""A score for each test image, larger the surer of a defect; any finite number, since the leaderboard ranks."""

from __future__ import annotations

from goldfold.submission import score_per_row

SUBMISSION = score_per_row.submission("prediction")
