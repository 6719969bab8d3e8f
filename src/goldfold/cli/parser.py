"""The verbs of the command line and their options."""

from __future__ import annotations

import argparse

OUTCOMES = """exit code and outcome, which --json prints too, since make turns every other code into 2:
  0  scored   the public score is there
  2  refused  by a check before anything was sent, or by the service; nothing was submitted
  3  failed   no connection, the upload broke off, or no reference number came back: nothing was recorded
  4  error    received, and the service could not score it
  5  pending  received, and not scored when the wait was over; the same command goes on waiting
  6  unknown  the answer was lost and the submission is not listed; the same command looks before it sends"""


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number is wanted, 0 or more, got {text}")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="goldfold", description="Folds, scores you can trust, valid submissions.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    demo = verbs.add_parser("demo", help="the main job on real data: train, score, submit, compare with hidden labels")
    demo.add_argument("--keep", action="store_true", help="leave the leaderboard up")
    _runs_quietly(demo)

    prepare = verbs.add_parser("prepare", help="make a competition's data folder ready")
    prepare.add_argument("--comp", required=True, help="folder below competitions/")

    train = verbs.add_parser("train", help="folds, out-of-fold scores, test predictions, a checked submission")
    train.add_argument("--comp", required=True, help="folder below competitions/")
    train.add_argument("--config", default="baseline", help="file below configs/<competition>/, without .yaml")
    train.add_argument("--debug", action="store_true", help="keep every epoch's weights")
    train.add_argument("--device", help="cpu, cuda, cuda:1 ...; the best there is by default")
    train.add_argument(
        "--data-workers",
        type=_count,
        default=0,
        help="processes of each fit that load data (%(default)s); same results",
    )
    train.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="config keys to change")
    _fans_out(train, "fits")
    _accepts(train)
    _runs_quietly(train)

    score = verbs.add_parser("score", help="a run's local CV: folds, mean, sd, interval, chance level")
    score.add_argument("--run", required=True, help="latest, baseline-r3, digits/baseline-r3")

    grade = verbs.add_parser("grade", help="a run's submission against the hidden labels, beside its CV")
    grade.add_argument("--run", required=True, help="latest, baseline-r3, digits/baseline-r3")

    epochs = verbs.add_parser("epochs", help="what every kept epoch made of chosen images, and which one to choose")
    epochs.add_argument("--run", required=True, help="latest, autoencoder-r3, magnetic_tiles/autoencoder-r3")
    epochs.add_argument("--fold", type=_count, help="whose epochs are pictured; the first there is by default")
    epochs.add_argument("--images", nargs="*", metavar="ID", help="ids to picture; 12 of the fold by default")
    epochs.add_argument("--device", help="cpu, cuda, cuda:1 ...; the best there is by default")
    _accepts(epochs)
    _runs_quietly(epochs)

    pick = verbs.add_parser("pick", help="one kept epoch predicts, in a run of its own with its own submission")
    pick.add_argument("--run", required=True, help="latest, autoencoder-r3, magnetic_tiles/autoencoder-r3")
    pick.add_argument("--epoch", required=True, type=_count, help="its number")
    pick.add_argument("--device", help="cpu, cuda, cuda:1 ...; the best there is by default")
    _accepts(pick)
    _runs_quietly(pick)

    compare = verbs.add_parser("compare", help="runs beside each other, their differences paired over folds")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="two or more; differences are to the first")
    compare.add_argument("--accept", nargs="*", default=(), metavar="CODE", help="findings that shall not refuse it")

    query = verbs.add_parser("query", help="what a run's embeddings find for any image, or for rows of its tables")
    query.add_argument("--run", required=True, help="latest, simsiam_fastap-r3, frames/simsiam_fastap-r3")
    query.add_argument("--image", nargs="*", metavar="FILE", help="images from anywhere, of any mode and size")
    query.add_argument("--ids", nargs="*", metavar="ID", help="ids of the train or of the test table")
    query.add_argument("--top", type=_count, default=10, help="answers to show (%(default)s)")
    query.add_argument("--device", help="cpu, cuda ...; the best there is by default")
    _accepts(query)
    _runs_quietly(query)

    new = verbs.add_parser("new", help="a competition folder that already passes the contract tests")
    new.add_argument("--comp", required=True, help="its name, a Python identifier")

    verbs.add_parser("list", help="competitions, their configs and runs")
    _improve(verbs)
    _deliver(verbs)
    _host(verbs)
    return parser


def _improve(verbs: argparse._SubParsersAction) -> None:
    """Verbs that make better scores of what there is."""
    tune = verbs.add_parser("tune", help="search a config's parameters over the folds; the best ones become a config")
    tune.add_argument("--comp", required=True, help="folder below competitions/")
    tune.add_argument("--config", default="baseline", help="file below configs/<competition>/ with a block `search:`")
    tune.add_argument(
        "--trials", type=_count, default=50, help="of the whole study, earlier commands included (%(default)s)"
    )
    tune.add_argument("--hours", type=float, help="after which no trial begins; no limit by default")
    tune.add_argument("--study", help="its name; the config's by default")
    tune.add_argument("--storage", help="postgresql://user:password@host/database; a journal file by default")
    tune.add_argument(
        "--redraws", type=_count, default=2, help="draws of new folds to re-evaluate the best trial on (%(default)s)"
    )
    tune.add_argument("--unpruned", action="store_true", help="finish every trial")
    tune.add_argument("--device", help="cpu, cuda ...; the best there is by default")
    tune.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="config keys to change")
    _fans_out(tune, "trials")
    _runs_quietly(tune)

    dashboard = verbs.add_parser("dashboard", help="a study's storage in the browser, by optuna-dashboard")
    dashboard.add_argument("--comp", required=True, help="folder below competitions/")
    dashboard.add_argument("--study", default="baseline", help="its name (%(default)s)")
    dashboard.add_argument("--storage", help="as of tune")
    dashboard.add_argument("--port", type=_count, default=8322, help="%(default)s by default")

    blend = verbs.add_parser("blend", help="several runs' predictions as one, chosen and scored out of fold")
    blend.add_argument("runs", nargs="+", metavar="RUN", help="two or more of one competition, on the same folds")
    blend.add_argument("--method", help="how they are blended; all are tried by default")
    _runs_quietly(blend)

    gains = verbs.add_parser("gains", help="what more views, seeds and folds gain a run, and what they cost")
    gains.add_argument("--run", required=True, help="latest, baseline-r3, digits/baseline-r3")
    gains.add_argument("--views", nargs="*", metavar="NAME", help="none, mirrored, flips ...; all that fit by default")
    gains.add_argument("--device", help="cpu, cuda ...; the best there is by default")
    _accepts(gains)
    _runs_quietly(gains)


def _fans_out(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--executor", help=f"what runs the {what}: processes, ray or ray://host:10001; this process by default"
    )
    parser.add_argument("--workers", type=_count, help=f"{what} at once, each on a worker of the executor")
    parser.add_argument("--threads", type=_count, help="of each worker; the cores in even parts by default")
    parser.add_argument("--gpus", type=float, help="of each worker, such as 0.5; the GPUs in even parts by default")


def _deliver(verbs: argparse._SubParsersAction) -> None:
    """Verbs between a run and a leaderboard."""
    submit = verbs.add_parser(
        "submit",
        help="check a run's submission, upload it, wait for its score",
        epilog=OUTCOMES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    submit.add_argument("--run", required=True, help="latest, baseline-r3, digits/baseline-r3")
    submit.add_argument("--to", choices=("kaggle", "local"), default="kaggle", help="local: the board of `host`")
    submit.add_argument("--message", default="", help="said before the run's name and CV")
    submit.add_argument("--again", action="store_true", help="send a file that was sent before")
    submit.add_argument("--late", action="store_true", help="send it after the deadline")
    submit.add_argument("--wait", type=_count, default=600, help="seconds to wait for the score (%(default)s)")
    submit.add_argument("--json", action="store_true", help="one line for a program on stdout, progress on stderr")

    download = verbs.add_parser("download", help="a competition's data from Kaggle, unpacked and prepared")
    download.add_argument("--comp", required=True, help="folder below competitions/")
    download.add_argument("--to", choices=("kaggle", "local"), default="kaggle", help=argparse.SUPPRESS)

    notebook = verbs.add_parser("notebook", help="a run as a notebook that predicts on Kaggle, without internet")
    notebook.add_argument("--run", required=True, help="latest, baseline-r3, digits/baseline-r3")
    _accepts(notebook)

    ledger = verbs.add_parser(
        "ledger", help="what was submitted: CV beside public and private scores, which two to select"
    )
    ledger.add_argument("--comp", help="folder below competitions/; all by default")

    rank = verbs.add_parser("rank", help="the rank and the medal a score would have had on a real leaderboard")
    rank.add_argument("--run", required=True, help="latest, baseline-r3, digits/baseline-r3")
    rank.add_argument("--board", help="a leaderboard's CSV or zip, or the folder of both boards")
    rank.add_argument("--score", type=float, help="a score to rank instead of the run's own")


def _host(verbs: argparse._SubParsersAction) -> None:
    """Verbs of the local leaderboard."""
    host = verbs.add_parser("host", help="the local leaderboard, for the kaggle client and for browsers")
    host.add_argument("--port", type=_count, default=8321, help="0 takes a free one (%(default)s)")
    host.add_argument("--bind", default="127.0.0.1", help="address to listen on (%(default)s)")

    add = verbs.add_parser("host-add", help="host a competition that keeps hidden labels")
    add.add_argument("--comp", required=True, help="folder below competitions/")
    add.add_argument("--daily", type=_count, default=20, help="submissions a user may make a day (%(default)s)")
    add.add_argument("--deadline", help="2026-12-31T23:59:00Z; then the private board shows; none by default")

    user = verbs.add_parser("host-user", help="a user of the local leaderboard, and the key to submit with")
    user.add_argument("--name", required=True, help="how the board calls the team")


def _accepts(parser: argparse.ArgumentParser) -> None:
    told = "a finding that shall not stop it, such as code_changed; the record says so"
    parser.add_argument("--accept", action="append", default=[], metavar="CODE", help=told)


def _runs_quietly(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
