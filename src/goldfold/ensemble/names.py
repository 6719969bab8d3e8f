"""The names of the blend methods, for those who only name one."""

from __future__ import annotations

NAMES = ("mean", "rank_mean", "power_mean", "weights", "greedy", "stacking")
ALIASES = {"hill_climbing": "greedy"}  # another name of a method -> its name here
FIXED = "fixed"  # what a blend by given weights calls its method
