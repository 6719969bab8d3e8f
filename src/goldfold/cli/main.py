"""The command line: parse the arguments, call the verb, print its result or the user's mistake."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from goldfold.cli.parser import parser_of_verbs
from goldfold.errors import GoldfoldError

MODULES = {  # module of goldfold.cli -> its verbs, each a function of that name
    "training": ("prepare", "train", "score", "grade", "list", "new"),
    "analysis": ("epochs", "pick", "compare", "query", "gains"),
    "tuning": ("tune", "dashboard", "blend"),
    "delivery": ("submit", "download", "notebook", "ledger", "rank"),
    "hosting": ("host", "host-add", "host-user"),
    "demo": ("demo",),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; a user's mistake ends in one sentence on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal without the sign ± shall not end a run
    arguments = _parsed(argv)
    try:
        _call(arguments)
    except GoldfoldError as error:
        sys.exit(_refused(str(error)))
    except MemoryError as error:
        sys.exit(_refused(f"memory ran out ({error}): lower batch_size or image_size, or free some"))
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        what = f"{error.strerror or error} at {error.filename}"
        sys.exit(_refused(f"{what}: make room or allow access, and run the same command again"))
    except KeyboardInterrupt:
        print("\ngoldfold: interrupted; run the same command again to resume", file=sys.stderr)
        sys.exit(130)


def _call(arguments: argparse.Namespace) -> None:
    """Import the verb's module, which may be slow, and call the verb with the project of the current folder."""
    module = next(name for name, verbs in MODULES.items() if arguments.verb in verbs)
    verb = getattr(import_module(f"goldfold.cli.{module}"), arguments.verb.replace("-", "_"))
    from goldfold.project import Project

    verb(arguments, Project(quiet=getattr(arguments, "quiet", False)))


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """argparse accepts KEY=VALUE words only next to each other; those after an option are added here."""
    parser = parser_of_verbs()
    arguments, rest = parser.parse_known_args(argv)
    if rest and (not hasattr(arguments, "overrides") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides += rest
    return arguments


def _refused(sentence: str) -> int:
    print(f"goldfold: {sentence}", file=sys.stderr)
    return 2
