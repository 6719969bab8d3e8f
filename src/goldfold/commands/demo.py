"""`demo`: the main job on real data, from nothing to a graded submission."""

from __future__ import annotations

import shlex
from argparse import Namespace

import torch

from goldfold.commands.grade import grade
from goldfold.commands.train import train
from goldfold.files import read_json

COMPETITION, CONFIG = "solar_cells", "baseline"


def run(arguments: Namespace) -> None:
    print("2,624 real photographs of solar cells: which are defective?", flush=True)
    folder = train(
        COMPETITION, CONFIG, [], torch.device("cuda" if torch.cuda.is_available() else "cpu"), quiet=arguments.quiet
    )
    name, summary = next(iter(read_json(folder / "metrics.json").items()))
    low, high = summary["pooled_interval_95_bootstrap"]
    print()
    print(f"OOF {name}      {summary['pooled']:.4f}   95 % [{low:.4f}, {high:.4f}]   chance {summary['chance']:.2f}")
    print(f"hidden labels  {grade(folder):.4f}   on photographs outside all folds")
    print()
    print("next:")
    for words in (
        ["make", "score", f"RUN={COMPETITION}/{folder.name}"],
        ["make", "train", f"COMP={COMPETITION}", "CONFIG=finetune"],
        ["make", "train", "COMP=digits"],
        ["make", "new", "COMP=my_first"],
    ):
        print(f"  {shlex.join(words)}")
