"""Argument parser of the command that probes batch sizes."""

from __future__ import annotations

import argparse

from goldfold.cli.options import count, runs_quietly


def capacity(verbs: argparse._SubParsersAction) -> None:
    """Add the command `capacity`."""
    parser = verbs.add_parser(
        "capacity", help="find the largest batch that fits into memory and the one that trains fastest"
    )
    parser.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    parser.add_argument(
        "--config", default="baseline", help="file in configs/<competition>/, without .yaml (%(default)s)"
    )
    parser.add_argument("--variants", action="store_true", help="also probe the variants of the config's `ablation:`")
    parser.add_argument("--predict", action="store_true", help="probe predictions instead of training steps")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    parser.add_argument("--memory", help="what a training process may take, such as 4GiB (default: what is free)")
    parser.add_argument(
        "--margin",
        type=float,
        default=0.05,
        help="share of that to leave free, and the precision (%(default)s)",
    )
    parser.add_argument("--cap", type=count, help="largest batch to try (default: the number of training rows)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="for the steps of a trial; a slower one is too large (%(default)s)"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="config keys to change, such as backbone=...")
    runs_quietly(parser)
