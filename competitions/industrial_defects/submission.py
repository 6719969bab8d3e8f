"""A score for each test image, larger the surer of a defect; any finite number, since the leaderboard ranks."""

from __future__ import annotations

from goldfold import score_submissions

SUBMISSION = score_submissions.submission("prediction")
