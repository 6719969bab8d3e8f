"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import argparse

MOST = 10**9  # of any number of things


def count(text: str) -> int:
    """Parse a whole number from 0 to MOST."""
    if not text.isdecimal() or len(text) > len(str(MOST)) or int(text) > MOST:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {MOST:,}, got {text[:100]}")
    return int(text)


def epochs_of_refit(text: str) -> int | str:
    """Parse `median`, `same-steps` or a whole number of 1 or more."""
    if text in ("median", "same-steps"):
        return text
    if not text.isdecimal() or not (epochs := count(text)):
        raise argparse.ArgumentTypeError(f"expected median, same-steps or a number of epochs, got {text}")
    return epochs


def fans_out(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--executor", help=f"where {what} run: processes, ray or ray://host:10001 (default: this process)"
    )
    parser.add_argument(
        "--workers",
        type=count,
        help=f"number of {what} that run at once, one per worker (default: 1; with --executor, as many as fit)",
    )
    parser.add_argument("--threads", type=count, help="CPU threads per worker (default: cores divided by workers)")
    parser.add_argument("--gpus", type=float, help="GPUs per worker, such as 0.5 (default: GPUs divided by workers)")


def accepts(parser: argparse.ArgumentParser) -> None:
    told = "finding to accept instead of stopping, such as code_changed; it is recorded. Can be repeated"
    parser.add_argument("--accept", action="extend", type=str.split, default=[], metavar="CODE", help=told)


def runs_quietly(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="print no progress bars")
