"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """Parse a whole number of 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text}")
    return int(text)


def epochs_of_refit(text: str) -> int | str:
    """Parse `median`, `same-steps` or a whole number of 1 or more."""
    if text in ("median", "same-steps"):
        return text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected median, same-steps or a number of epochs, got {text}")
    return int(text)


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
