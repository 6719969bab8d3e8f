"""Entry point of the command line: parse the arguments, run the command, print its result or its error."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from goldfold.cli.parser import build_parser
from goldfold.errors import GoldfoldError
from goldfold.io import garbage, threads
from goldfold.io.clock import CLOCK

MODULES = {  # module of goldfold.cli -> its commands, each a function of that name
    "training": ("prepare", "train", "capacity", "lr", "refit", "score", "grade", "list", "new", "environment"),
    "analysis": (
        "audit",
        "drift",
        "epochs",
        "pick",
        "compare",
        "ablate",
        "query",
        "gains",
        "maps",
        "log",
        "remark",
        "report",
        "site",
    ),
    "tuning": ("tune", "dashboard", "blend"),
    "runs": ("import-run", "runs", "clean", "track"),
    "delivery": ("submit", "download", "notebook", "export", "ledger", "rank"),
    "hosting": ("host", "host-add", "host-user"),
    "demo": ("demo",),
}
ANYWHERE = ("new", "environment", "demo", "host", "host-add", "host-user")  # commands that need no project
NO_ADDRESSES = ("failed to map segment", "Cannot allocate memory")  # what the loader says of a library too large
WORDS_OF = "words-of:"  # before the name of an environment variable


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; a GoldfoldError is printed to stderr and exits with code 2.

    Its traceback is printed, too, if the environment variable GOLDFOLD_TRACEBACK is set.
    """
    threads.wait_passively()
    garbage.leave_at_once()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show ± must not stop a run
    try:
        arguments = _parsed(argv)
        _call(arguments)
    except GoldfoldError as error:
        if os.environ.get("GOLDFOLD_TRACEBACK"):
            traceback.print_exc()
        sys.exit(_refused(str(error)))
    except MemoryError as error:
        sys.exit(_refused(f"out of memory ({error}): lower batch_size or image_size, or free memory"))
    except ImportError as error:
        if not any(sign in str(error) for sign in NO_ADDRESSES):
            raise
        sys.exit(
            _refused(f"a library cannot be loaded ({error}): allow more address space, such as `ulimit -v unlimited`")
        )
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        what = f"{error.strerror or error} at {error.filename or 'the output of the command'}"
        sys.exit(_refused(f"{what}: free disk space or fix permissions, then run the same command again"))
    except KeyboardInterrupt:
        print("\ngoldfold: interrupted; run the same command again to resume", file=sys.stderr)
        sys.exit(130)


def _call(arguments: argparse.Namespace) -> None:
    """Import the command's module, which may be slow, and run the command on the project in the current folder."""
    module = next(name for name, verbs in MODULES.items() if arguments.verb in verbs)
    with CLOCK.phase("import"), garbage.not_collected():
        verb = getattr(import_module(f"goldfold.cli.{module}"), arguments.verb.replace("-", "_"))
        from goldfold.project import Project

    if arguments.verb not in ANYWHERE and not any(Path(part).is_dir() for part in ("competitions", "runs")):
        raise GoldfoldError(
            "no_project",
            f"there is no folder 'competitions' or 'runs' in {Path.cwd()}: change to the folder of your project, or "
            "start one here with `goldfold new --comp my_competition`",
        )
    verb(arguments, Project(quiet=getattr(arguments, "quiet", False)))


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; argparse drops KEY=VALUE words after an option, so they are added here."""
    parser = build_parser()
    words = [word for typed in (sys.argv[1:] if argv is None else argv) for word in words_of(typed, os.environ)]
    arguments, rest = parser.parse_known_args(words)
    if rest and (not hasattr(arguments, "overrides") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides += rest
    return arguments


def words_of(typed: str, variables: Mapping[str, str]) -> list[str]:
    """Return the words that an argument stands for: usually itself; for `words-of:SET` those of the variable SET.

    The Makefile passes lists in this way, so that no shell reads what is in them. Quotes work as in a shell.

    Raises:
        GoldfoldError: `quote_not_closed`.

    >>> words_of("words-of:SET", {"SET": "epochs=3 name='two words'"})
    ['epochs=3', 'name=two words']
    """
    if not typed.startswith(WORDS_OF):
        return [typed]
    name = typed.removeprefix(WORDS_OF)
    text = variables.get(name, "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise GoldfoldError(
            "quote_not_closed", f"{name}={text} cannot be split into words ({error}): close the quote"
        ) from error


def _refused(sentence: str) -> int:
    print(f"goldfold: {sentence}", file=sys.stderr)
    return 2
