"""Submission of one anomaly score per test image, larger for defects: any finite number (the leaderboard ranks)."""

from __future__ import annotations

from goldfold.submission import score_per_row

SUBMISSION = score_per_row.submission("prediction")
