"""Arguments of the commands that blend, import, list, remove and track runs."""

from __future__ import annotations

import argparse

from goldfold.cli.options import runs_quietly
from goldfold.ensemble.names import ALIASES, NAMES


def runs(verbs: argparse._SubParsersAction) -> None:
    """Commands on several runs: blend, import-run, runs, clean, track."""
    blend = verbs.add_parser("blend", help="blend the predictions of several runs, selected and scored out of fold")
    blend.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="two or more runs of one competition, on the same folds; with --weights also files of test predictions",
    )
    also = ", ".join(f"{alias} is another name of {name}" for alias, name in ALIASES.items())
    how = blend.add_mutually_exclusive_group()
    how.add_argument("--method", help=f"{', '.join(NAMES)}; {also} (default: all are tried)")
    how.add_argument("--weights", nargs="*", metavar="SHARE", help="a fixed weight for each RUN, in their order")
    runs_quietly(blend)

    given = verbs.add_parser("import-run", help="make a run of predictions that another program wrote")
    given.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    given.add_argument("--oof", required=True, help="out-of-fold predictions: CSV, Parquet, .npy with <stem>_ids.csv")
    given.add_argument("--test", required=True, help="test predictions in that form, or a submission ready to be sent")
    given.add_argument("--name", required=True, help="name of the run, in place of a config's")
    given.add_argument("--folds", help="CSV with id and fold: where each row was held out")
    given.add_argument("--like", help="run on whose folds it is scored (default: the folds of seed 0)")
    runs_quietly(given)

    table = verbs.add_parser("runs", help="list runs by score, size on disk or age, with what needs them")
    table.add_argument("--comp", help="competition (default: all)")
    table.add_argument("--sort", default="score", help="score, size or age (%(default)s)")

    clean = verbs.add_parser("clean", help="say which runs nothing needs, and remove them with --yes")
    clean.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    clean.add_argument(
        "--keep", nargs="*", required=True, metavar="RULE", help="what stays: best:3, latest:3 or names of runs"
    )
    clean.add_argument("--weights", action="store_true", help="remove only checkpoints, not predictions and records")
    clean.add_argument("--yes", action="store_true", help="remove them; without it they are only listed")

    track = verbs.add_parser("track", help="send a run to TensorBoard, Weights & Biases or MLflow, or what they lack")
    track.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")
    track.add_argument(
        "--to",
        metavar="TRACKER",
        help="tensorboard, wandb, mlflow, or as the config key `tracker` (default: those it was sent to before)",
    )
    runs_quietly(track)
