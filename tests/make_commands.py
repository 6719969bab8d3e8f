"""Commands of the Makefile as the words that goldfold's parser gets."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from goldfold.cli.parser import build_parser

ROOT = Path(__file__).parents[1]


def printed(words: Sequence[str]) -> str:
    """What `make -n` prints for targets and variables; an unknown target fails."""
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    command = ["make", "-n", "-C", str(ROOT), "--no-print-directory", *words]
    done = subprocess.run(command, env=inherited, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"make {shlex.join(words)}: {done.stderr}"
    return done.stdout


def goldfold_words(words: Sequence[str]) -> list[str]:
    """The words after `-m goldfold` of the one command that `make WORDS` carries out."""
    lines = [line for line in printed(words).splitlines() if "-m goldfold " in line]
    assert len(lines) == 1, f"make {shlex.join(words)} calls goldfold {len(lines)} times"
    return shlex.split(lines[0].partition("-m goldfold ")[2])


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Arguments as the command line reads them; a mistake of the user fails."""
    try:
        known, rest = build_parser().parse_known_args(arguments)
    except SystemExit:
        raise AssertionError(f"goldfold {shlex.join(arguments)}: refused by the parser") from None
    assert not rest or hasattr(known, "overrides"), f"goldfold {shlex.join(arguments)}: unknown {rest}"
    assert all("=" in word and not word.startswith("-") for word in rest), rest
    if rest:
        known.overrides += rest
    return known
