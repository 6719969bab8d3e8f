"""Fits of a run as one graph for other programs: made, compared with the run's predictions, timed, and run alone."""
