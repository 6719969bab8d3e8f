"""Argument parser of the commands that try a config's training: batch sizes, learning rates."""

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


def learning_rate(verbs: argparse._SubParsersAction) -> None:
    """Add the command `lr`."""
    parser = verbs.add_parser("lr", help="learning-rate range test of a config's first stage, with a picture")
    parser.add_argument("--comp", required=True, help="competition: name of its folder in competitions/")
    parser.add_argument(
        "--config", default="baseline", help="file in configs/<competition>/, without .yaml (%(default)s)"
    )
    parser.add_argument("--seeds", type=count, default=3, help="sweeps, each with another seed (%(default)s)")
    parser.add_argument("--steps", type=count, default=100, help="optimizer steps of a sweep (%(default)s)")
    parser.add_argument("--lowest", type=float, default=1e-6, help="rate of the first step (%(default)s)")
    parser.add_argument("--highest", type=float, default=10.0, help="rate of the last step (%(default)s)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="config keys to change, such as batch_size=32"
    )
    runs_quietly(parser)
