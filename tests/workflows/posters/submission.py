"""A probability per genre; the metric is the mean average precision."""

from competitions.posters.data import GENRES

from goldfold import metrics
from goldfold.submission import label_columns

METRIC = metrics.average_precision(GENRES)
SUBMISSION = label_columns.submission(GENRES)
grade = label_columns.grade(METRIC, GENRES)
