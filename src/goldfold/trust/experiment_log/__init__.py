"""The experiment log: runs in order of time, what changed between them, and remarks checked against their scores."""
