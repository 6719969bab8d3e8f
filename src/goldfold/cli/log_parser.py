"""Arguments of the commands of the experiment log."""

from __future__ import annotations

import argparse

from goldfold.cli.options import accepts


def log(verbs: argparse._SubParsersAction) -> None:
    """Commands of the experiment log: log, remark."""
    log = verbs.add_parser("log", help="write the experiment log: runs, what changed, differences, checked remarks")
    log.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")

    remark = verbs.add_parser("remark", help="add a remark to a run; what it claims is checked against the log")
    remark.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")
    remark.add_argument("--text", default="", help="the remark")
    remark.add_argument("--conclusion", default="", help="conclusions, for the run's section of the log")
    remark.add_argument("--next", default="", help="next steps, for the run's section of the log")
    remark.add_argument("--against", default="", help="run to compare it with (default: the earlier one most like it)")
    remark.add_argument("--category", default="", help="category to show (default: computed from what changed)")
    remark.add_argument("--name", default="", help="name of the run in the log (default: that of its folder)")
    accepts(remark)
