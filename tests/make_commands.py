"""Commands of the Makefile as the words that goldfold's parser gets."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from goldfold.cli.main import words_of
from goldfold.cli.parser import build_parser

ROOT = Path(__file__).parents[1]


def printed(words: Sequence[str]) -> str:
    """What `make -n` prints for targets and variables; an unknown target fails."""
    return _make(["-n", *words])


def goldfold_words(words: Sequence[str]) -> list[str]:
    """The words after `-m goldfold` of the one command that `make WORDS` carries out, as the parser gets them."""
    (module, program, *typed), variables = carried_out(words)
    assert (module, program) == ("-m", "goldfold"), f"make {shlex.join(words)} calls {module} {program}"
    return [word for each in typed for word in words_of(each, variables)]


def carried_out(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment that `make WORDS` gives to Python.

    make and its shell really run; a script in the place of Python prints what reaches it.
    """
    with TemporaryDirectory() as folder:
        script = Path(folder) / "python"
        script.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\" ''\nenv -0\n", encoding="utf-8")
        script.chmod(0o755)
        done = ["-o", ".venv/ready", "-o", ".venv/ray", "-o", ".venv/docs", "-s"]
        arguments, _, environment = _make([*done, f"PY={script}", *words]).partition("\0\0")
    return arguments.split("\0"), dict(line.split("=", 1) for line in environment.split("\0") if line)


def _make(words: Sequence[str]) -> str:
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    command = ["make", "-C", str(ROOT), "--no-print-directory", *words]
    done = subprocess.run(command, env=inherited, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"make {shlex.join(words)}: {done.stderr}"
    return done.stdout


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
