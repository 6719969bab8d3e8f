"""Runs goldfold in forked children and kills one (SIGKILL) at the N-th event of a kind: no clock is involved.

usage: python interrupted.py KIND COUNT FOLDER [KIND COUNT FOLDER ...] -- ARGUMENTS OF GOLDFOLD

In each FOLDER a first child is killed, then a second one runs to its end. KIND is `write` (half of a file is on disk),
`rename` (a whole file waits to be renamed) or `step` (within an epoch); `none` kills nobody and leaves the number of
events of each kind in FOLDER/events.json. Children are forked from one parent that has imported everything and run
nothing, since importing torch takes longer than training a toy.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch

from goldfold.cli.main import main
from goldfold.nn.optimizers import AdamW

seen = {"write": 0, "rename": 0, "step": 0}


def watch(kind: str, count: int) -> None:
    """Count events, and let the process die at the `count`-th of `kind`."""
    write, rename, step = Path.write_bytes, os.replace, AdamW.step

    def strikes(event: str) -> bool:
        seen[event] += 1
        return event == kind and seen[event] == count

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watched_write(path: Path, data: bytes) -> int:
        if strikes("write"):
            write(path, data[: len(data) // 2])
            die()
        return write(path, data)

    def watched_rename(source: Path, target: Path) -> None:
        if strikes("rename"):
            die()
        rename(source, target)

    def watched_step(optimizer: torch.optim.Optimizer, *arguments: object) -> object:
        if strikes("step"):
            die()
        return step(optimizer, *arguments)

    Path.write_bytes, os.replace, AdamW.step = watched_write, watched_rename, watched_step


def child(folder: Path, arguments: list[str], kind: str = "none", count: int = 0) -> int:
    """Run goldfold in `folder` in a forked child; returns its exit code, negative for a signal."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.chdir(folder)
    code = 1
    try:
        watch(kind, count)
        main(arguments)
        if kind == "none":
            Path("events.json").write_text(json.dumps(seen))
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def run() -> None:
    cut = sys.argv.index("--")
    moments, arguments = sys.argv[1:cut], sys.argv[cut + 1 :]
    for kind, count, folder in zip(moments[::3], moments[1::3], moments[2::3], strict=True):
        if kind != "none":
            code = child(Path(folder), arguments, kind, int(count))
            assert code == -signal.SIGKILL, f"{kind} {count}: ended with {code}"
        code = child(Path(folder), arguments)
        assert code == 0, f"after {kind} {count}: ended with {code}"


if __name__ == "__main__":
    run()
