"""Requests and pages of the local leaderboard."""
