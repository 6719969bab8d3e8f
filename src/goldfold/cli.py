"""The command line: verbs and their options; what a verb needs is imported when it runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from goldfold.errors import GoldfoldError


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; a user's mistake ends in one sentence on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal that knows no ± shall not end a run
    arguments = _parser().parse_args(argv)
    try:
        import_module(f"goldfold.commands.{arguments.verb}").run(arguments)
    except GoldfoldError as error:
        sys.exit(_refused(str(error)))
    except MemoryError as error:
        sys.exit(_refused(f"memory ran out ({error}): lower batch_size or image_size, or free some"))
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        sys.exit(_refused(f"{error.strerror or error} at {error.filename}: make room or allow access, and start again"))
    except KeyboardInterrupt:
        print("\ngoldfold: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number is wanted, 0 or more, got {text}")
    return int(text)


def _refused(sentence: str) -> int:
    print(f"goldfold: {sentence}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="goldfold", description="Folds, scores you can trust, valid submissions.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    demo = verbs.add_parser("demo", help="the main job on real data: train, score, submit, compare with hidden labels")
    _runs_quietly(demo)

    prepare = verbs.add_parser("prepare", help="make a competition's data folder ready")
    prepare.add_argument("--comp", required=True, help="folder below competitions/")

    train = verbs.add_parser("train", help="folds, out-of-fold scores, test predictions, a checked submission")
    train.add_argument("--comp", required=True, help="folder below competitions/")
    train.add_argument("--config", default="baseline", help="file below configs/<competition>/, without .yaml")
    train.add_argument("--debug", action="store_true", help="keep every epoch's weights")
    train.add_argument("--device", help="cpu, cuda, cuda:1 ...; the best there is by default")
    train.add_argument(
        "--workers", type=_count, default=0, help="processes that load data; results do not depend on it"
    )
    train.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="config keys to change")
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
    _runs_quietly(epochs)

    pick = verbs.add_parser("pick", help="one kept epoch predicts, in a run of its own with its own submission")
    pick.add_argument("--run", required=True, help="latest, autoencoder-r3, magnetic_tiles/autoencoder-r3")
    pick.add_argument("--epoch", required=True, type=_count, help="its number")
    pick.add_argument("--device", help="cpu, cuda, cuda:1 ...; the best there is by default")
    _runs_quietly(pick)

    compare = verbs.add_parser("compare", help="runs beside each other, their differences paired over folds")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="two or more; differences are to the first")
    compare.add_argument("--accept", nargs="*", default=(), metavar="CODE", help="findings that shall not refuse it")

    new = verbs.add_parser("new", help="a competition folder that already passes the contract tests")
    new.add_argument("--comp", required=True, help="its name, a Python identifier")

    verbs.add_parser("list", help="competitions, their configs and runs")
    return parser


def _runs_quietly(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
