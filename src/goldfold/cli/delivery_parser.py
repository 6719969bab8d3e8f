"""Arguments of the commands between a run and a leaderboard, and of the local leaderboard."""

from __future__ import annotations

import argparse

from goldfold.cli.options import accepts, count, runs_quietly

OUTCOMES = """exit code and outcome; --json prints the outcome too, since make turns every code but 0 into 2:
  0  scored   the public score is known
  2  refused  by a check before the upload, or by the service; nothing was submitted
  3  failed   no connection, an incomplete upload, or no reference number; nothing was submitted
  4  error    received, but the service could not score it
  5  pending  received, but not scored within --wait seconds; run the same command again to continue waiting
  6  unknown  the answer was lost and the submission is not listed; run the same command again to search for it"""


def delivery(verbs: argparse._SubParsersAction) -> None:
    """Commands between a run and a leaderboard: submit, download, notebook, export, ledger, rank."""
    submit = verbs.add_parser(
        "submit",
        help="check a run's submission, upload it and wait for its score",
        epilog=OUTCOMES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    submit.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")
    submit.add_argument(
        "--to",
        choices=("kaggle", "local"),
        default="kaggle",
        help="kaggle, or local for the board of `host` (%(default)s)",
    )
    submit.add_argument("--message", default="", help="text before the run's name and CV in the description")
    submit.add_argument("--refit", action="store_true", help="send the submission of the refit on all rows")
    submit.add_argument("--again", action="store_true", help="send a file that was sent before")
    submit.add_argument("--late", action="store_true", help="submit after the deadline")
    accepts(submit)
    submit.add_argument("--wait", type=count, default=600, help="seconds to wait for the score (%(default)s)")
    submit.add_argument(
        "--json", action="store_true", help="print the result as one JSON line on stdout, progress on stderr"
    )

    download = verbs.add_parser("download", help="download a competition's data from Kaggle, unpack and prepare it")
    download.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    download.add_argument("--to", choices=("kaggle", "local"), default="kaggle", help=argparse.SUPPRESS)

    notebook = verbs.add_parser(
        "notebook", help="write a run or blend as a notebook that predicts on Kaggle without internet"
    )
    notebook.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")
    notebook.add_argument("--hours", type=float, default=9.0, help="that Kaggle gives the notebook (%(default)s)")
    notebook.add_argument("--rows", type=count, help="rows of the hidden test set (default: of the test table)")
    notebook.add_argument("--export", action="store_true", help="predict by the run's export (`export`)")
    accepts(notebook)

    export = verbs.add_parser("export", help="write a run's fits as one ONNX or OpenVINO model, checked and timed")
    export.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")
    export.add_argument("--format", default="onnx", help="onnx or openvino (%(default)s)")
    told = "largest difference to the run's predictions, times the largest prediction if above 1 (%(default)s)"
    export.add_argument("--tolerance", type=float, default=1e-4, help=told)
    export.add_argument("--measure", action="store_true", help="time more rows, torch.compile and channels_last, too")
    accepts(export)
    runs_quietly(export)

    ledger = verbs.add_parser(
        "ledger", help="list submissions with CV, public and private scores, and which two to select"
    )
    ledger.add_argument("--comp", help="competition (default: all)")

    rank = verbs.add_parser("rank", help="rank and medal that a run would have had on Kaggle's leaderboard")
    rank.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")
    rank.add_argument("--board", help="CSV or zip of a leaderboard, or a folder of them (default: the downloaded one)")
    rank.add_argument("--score", type=float, help="score to rank instead of the run's own scores")


def hosting(verbs: argparse._SubParsersAction) -> None:
    """Commands of the local leaderboard: host, host-add, host-user."""
    host = verbs.add_parser("host", help="serve the local leaderboard to the kaggle client and to browsers")
    host.add_argument("--port", type=count, default=8321, help="port; 0 takes a free one (%(default)s)")
    host.add_argument("--bind", default="127.0.0.1", help="address to listen on (%(default)s)")
    host.add_argument(
        "--host-names",
        nargs="*",
        default=[],
        metavar="NAME",
        help="names of this machine under which clients may ask for the board, such as board.lan (default: none)",
    )

    add = verbs.add_parser("host-add", help="add a competition that has hidden labels to the local leaderboard")
    add.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    add.add_argument("--daily", type=count, default=20, help="submissions per user and day (%(default)s)")
    add.add_argument(
        "--deadline", help="such as 2026-12-31T23:59:00Z; the private board is shown after it (default: none)"
    )

    user = verbs.add_parser("host-user", help="add a user of the local leaderboard; prints the key to submit with")
    user.add_argument("--name", required=True, help="name of the team on the board")
    user.add_argument("--replace", action="store_true", help="give an existing team a new key, which ends the old one")
