"""Argument parser of the command line: commands, options and their help texts."""

from __future__ import annotations

import argparse

from goldfold.cli.capacity_parser import capacity, learning_rate
from goldfold.cli.delivery_parser import delivery, hosting
from goldfold.cli.log_parser import log
from goldfold.cli.options import accepts, count, epochs_of_refit, fans_out, runs_quietly
from goldfold.cli.runs_parser import runs


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="goldfold",
        description="Cross-validation, trustworthy scores and valid submissions for Kaggle-style competitions.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    for add in (_train, _read, _audit, _look, _compare, log, _tune, runs, delivery, hosting):
        add(verbs)
    return parser


def _train(verbs: argparse._SubParsersAction) -> None:
    """Commands from a new competition to a run: demo, new, prepare, train, capacity, lr."""
    demo = verbs.add_parser("demo", help="train, score and submit on real data, and compare the CV with hidden labels")
    demo.add_argument("--keep", action="store_true", help="keep the leaderboard running at the end")
    runs_quietly(demo)

    new = verbs.add_parser("new", help="create a competition folder that passes the contract tests")
    new.add_argument("--comp", required=True, help="name of the competition, a Python identifier")
    new.add_argument(
        "--kind",
        default="tabular",
        help="anomaly, audio, image, multilabel, retrieval, segmentation, sequence, tabular or text (%(default)s)",
    )

    prepare = verbs.add_parser("prepare", help="prepare a competition's data folder")
    prepare.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    prepare.add_argument("--force", action="store_true", help="prepare it again even if nothing changed")

    train = verbs.add_parser(
        "train", help="train a config on all folds: out-of-fold scores, test predictions, a checked submission"
    )
    train.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    train.add_argument(
        "--config", default="baseline", help="file in configs/<competition>/, without .yaml (%(default)s)"
    )
    train.add_argument("--debug", action="store_true", help="save the weights of every epoch")
    train.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    train.add_argument(
        "--data-workers",
        type=count,
        default=0,
        help="processes per fit that load data (%(default)s); does not change results",
    )
    train.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="config keys to change, such as epochs=3")
    fans_out(train, "fits")
    accepts(train)
    runs_quietly(train)
    capacity(verbs)
    learning_rate(verbs)


def _read(verbs: argparse._SubParsersAction) -> None:
    """Commands on one run or on this machine: list, environment, score, grade, refit."""
    verbs.add_parser("list", help="list competitions, their configs and runs")
    verbs.add_parser("environment", help="show versions, device, memory, and whether there are Kaggle credentials")

    score = verbs.add_parser(
        "score", help="print a run's CV: score per fold, mean, standard deviation, 95 %% interval, chance level"
    )
    score.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")

    grade = verbs.add_parser("grade", help="score a run's submission against the hidden labels")
    grade.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")

    refit = verbs.add_parser("refit", help="train a run's config again on all rows; writes a second submission")
    refit.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")
    refit.add_argument(
        "--epochs",
        type=epochs_of_refit,
        default="median",
        help="median of those that the folds selected, same-steps as in a fold, or a number (%(default)s)",
    )
    refit.add_argument("--seeds", nargs="*", type=count, help="a fit on all rows with each (default: the run's seeds)")
    refit.add_argument("--with-folds", action="store_true", help="combine with the models of the folds")
    refit.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    accepts(refit)
    runs_quietly(refit)


def _audit(verbs: argparse._SubParsersAction) -> None:
    """The commands that audit data and folds or a finished run, and compare train with test rows."""
    audit = verbs.add_parser(
        "audit", help="run all audits: what was checked, found and not checked; exits with 1 on errors"
    )
    what = audit.add_mutually_exclusive_group(required=True)
    what.add_argument("--comp", help="competition whose data and folds are audited before any training")
    what.add_argument("--run", help="finished run to audit again: latest, baseline-r3 or digits/baseline-r3")
    audit.add_argument("--config", default="baseline", help="config that draws the folds, with --comp (%(default)s)")
    audit.add_argument("--device", help="with --run: cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    audit.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="config keys to change, with --comp")
    accepts(audit)
    runs_quietly(audit)

    drift = verbs.add_parser(
        "drift", help="adversarial validation: how well a classifier tells test rows from train rows, and by what"
    )
    drift.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    which = drift.add_mutually_exclusive_group()
    which.add_argument("--config", help="config whose frozen backbone's features are compared, too")
    which.add_argument("--run", help="run whose frozen backbone's features are compared, too")
    drift.add_argument("--device", help="of the backbone: cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    runs_quietly(drift)


def _look(verbs: argparse._SubParsersAction) -> None:
    """Commands that show what a run made of its images: epochs, pick, maps."""
    epochs = verbs.add_parser("epochs", help="compare the saved epochs of a run on some images, and recommend one")
    epochs.add_argument("--run", required=True, help="run: latest, autoencoder-r3 or magnetic_tiles/autoencoder-r3")
    epochs.add_argument("--fold", type=count, help="fold to show (default: the first one of the run)")
    epochs.add_argument("--seed", type=count, help="seed of the fit to show (default: the lowest one of the fold)")
    epochs.add_argument("--images", nargs="*", metavar="ID", help="ids of images to show (default: 12 of the fold)")
    epochs.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    accepts(epochs)
    runs_quietly(epochs)

    pick = verbs.add_parser("pick", help="predict with one saved epoch, or an average of several, in a new run")
    pick.add_argument("--run", required=True, help="run: latest, autoencoder-r3 or magnetic_tiles/autoencoder-r3")
    wanted = pick.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--epoch", type=count, help="number of the epoch")
    wanted.add_argument("--epochs", nargs="+", type=count, metavar="EPOCH", help="epochs whose weights are averaged")
    pick.add_argument(
        "--by",
        default="uniform",
        help="uniform: all; best, or a monitored value: a greedy soup by the metric or by it (%(default)s)",
    )
    pick.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    accepts(pick)
    runs_quietly(pick)

    maps = verbs.add_parser("maps", help="write a run's anomaly maps at full image size, and boxes of what they mark")
    maps.add_argument("--run", required=True, help="run: latest, patch_library-r3 or magnetic_tiles/patch_library-r3")
    maps.add_argument("--side", default="test", help="test or oof, the out-of-fold images (%(default)s)")
    maps.add_argument("--images", nargs="*", metavar="ID", help="ids of images to write (default: all)")
    maps.add_argument("--threshold", type=float, help="map value (default: 5 %% of normal images reach it somewhere)")
    runs_quietly(maps)


def _compare(verbs: argparse._SubParsersAction) -> None:
    """Commands that analyze finished runs: compare, ablate, query, gains."""
    compare = verbs.add_parser("compare", help="compare runs, with differences paired over folds")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="two or more runs; differences are to the first")
    accepts(compare)

    ablate = verbs.add_parser("ablate", help="train a config and its named variants, and compare them in one table")
    ablate.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    ablate.add_argument("--config", default="baseline", help="config with a block `ablation:` (%(default)s)")
    ablate.add_argument(
        "--hidden", action="store_true", help="refit each on all rows, and score folds and refit on the hidden labels"
    )
    ablate.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    ablate.add_argument("--workers", type=count, help="number of fits that run at once (default: 1)")
    ablate.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="config keys to change for all variants")
    accepts(ablate)
    runs_quietly(ablate)

    query = verbs.add_parser(
        "query", help="tag image files or table rows by a run, find the most similar rows by its embeddings or codes"
    )
    query.add_argument("--run", required=True, help="run: latest, simsiam_fastap-r3 or frames/simsiam_fastap-r3")
    query.add_argument("--image", nargs="*", metavar="FILE", help="image files of any color mode and size")
    query.add_argument("--ids", nargs="*", metavar="ID", help="ids of the train or test table")
    query.add_argument("--text", help="text of the image files, for a run with a text tower (empty)")
    query.add_argument("--top", type=count, help="number of neighbors to show (10, or all of fewer)")
    query.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    accepts(query)
    runs_quietly(query)

    gains = verbs.add_parser(
        "gains", help="measure what test-time augmentation, more seeds and more folds gain, and their cost"
    )
    gains.add_argument("--run", required=True, help="run: latest, baseline-r3 or digits/baseline-r3")
    gains.add_argument(
        "--views", nargs="*", metavar="NAME", help="TTA views: none, mirrored, flips ... (default: all possible ones)"
    )
    gains.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    accepts(gains)
    runs_quietly(gains)


def _tune(verbs: argparse._SubParsersAction) -> None:
    """Commands that search: tune, dashboard."""
    tune = verbs.add_parser("tune", help="search hyperparameters over the folds; writes the best ones as a config")
    tune.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    tune.add_argument(
        "--config",
        default="baseline",
        help="file in configs/<competition>/ with a block `search:`, without .yaml (%(default)s)",
    )
    tune.add_argument(
        "--trials",
        type=count,
        default=50,
        help="number of trials of the study, including those of earlier commands (%(default)s)",
    )
    tune.add_argument("--hours", type=float, help="hours after which no new trial starts (default: no limit)")
    tune.add_argument("--study", help="name of the study (default: name of the config)")
    tune.add_argument("--storage", help="postgresql://user:password@host/database (default: a journal file)")
    tune.add_argument(
        "--redraws",
        type=count,
        default=2,
        help="number of newly drawn folds to re-evaluate the best trial on (%(default)s)",
    )
    tune.add_argument("--unpruned", action="store_true", help="finish every trial: no pruning")
    tune.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    tune.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="config keys to change, such as epochs=3")
    fans_out(tune, "trials")
    accepts(tune)
    runs_quietly(tune)

    dashboard = verbs.add_parser("dashboard", help="show a study in the browser with optuna-dashboard")
    dashboard.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    dashboard.add_argument("--study", default="baseline", help="name of the study (%(default)s)")
    dashboard.add_argument("--storage", help="storage of the study, as for tune")
    dashboard.add_argument("--port", type=count, default=8322, help="port of the web server (%(default)s)")
