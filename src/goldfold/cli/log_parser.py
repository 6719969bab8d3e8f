"""Arguments of the commands of the experiment log and of the HTML pages."""

from __future__ import annotations

import argparse

from goldfold.cli.options import accepts, runs_quietly


def log(verbs: argparse._SubParsersAction) -> None:
    """Commands of the experiment log and of the pages: log, remark, report, site."""
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

    report = verbs.add_parser("report", help="write a run as one HTML page with its pictures, to read or to send")
    report.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")

    site = verbs.add_parser("site", help="write runs/index.html, which links all runs, and missing reports")
    runs_quietly(site)
