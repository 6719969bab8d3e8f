"""Run a notebook's script as Kaggle does: without the project, the home folder and the internet in reach.

This file runs as a script in a process of its own, `python -S -I isolation.py SETTINGS`. It imports the standard
library alone, because goldfold itself is hidden from that process: the script must find it in the notebook's data set.
"""

from __future__ import annotations

import errno
import json
import os
import runpy
import sys
import traceback
from collections.abc import Callable
from typing import Any

READS = ("open", "os.listdir", "os.scandir")
CONNECTS = ("socket.connect", "socket.getaddrinfo")
LOCAL = ("127.0.0.1", "::1", "localhost")


def main(settings: dict[str, Any]) -> None:
    """Run the script and write what it reached for to `report`, as JSON.

    settings: script, report: files. place: folder of the notebook, where links may lead anywhere. visible, hidden:
    folders; the deepest that holds a file decides. path, prefix: of the interpreter.
    """
    sys.path[:] = settings["path"]
    sys.prefix = sys.exec_prefix = settings["prefix"]
    report: dict[str, Any] = {"refused": [], "read": [], "missing": None, "modules": []}
    sys.addaudithook(watcher(settings, report["refused"], report["read"]))
    sys.argv = [settings["script"]]
    try:
        runpy.run_path(settings["script"], run_name="__main__")
    except Exception as error:
        report["missing"] = missing(error)
        traceback.print_exc()
        sys.exit(1)
    finally:
        report["modules"] = sorted(sys.modules)
        with open(settings["report"], "w", encoding="utf-8") as file:
            json.dump(report, file)


def watcher(settings: dict[str, Any], refused: list[str], read: list[str]) -> Callable[[str, tuple], None]:
    """An audit hook that refuses hidden files, as if they were absent, and the internet.

    refused, read: collect the hidden files, and the files of `place`, that are opened to be read.
    """
    place = os.path.join(settings["place"], "")
    decisions = {os.path.join(folder, ""): kind for kind in ("visible", "hidden") for folder in settings[kind]}

    def is_hidden(path: str) -> bool:
        real = os.path.realpath(path)
        holding = [folder for folder in decisions if f"{real}{os.sep}".startswith(folder)]
        return bool(holding) and decisions[max(holding, key=len)] == "hidden"

    def watch(event: str, arguments: tuple) -> None:
        if event in READS and arguments[0] is not None and not isinstance(arguments[0], int):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            if path.startswith(place):
                if _reads(*arguments[1:]):
                    read.append(path)
            elif is_hidden(path):
                refused.append(path)
                raise FileNotFoundError(errno.ENOENT, "not in the notebook", path)
        elif event in CONNECTS:
            address = arguments[1] if event == "socket.connect" else arguments
            if isinstance(address, tuple) and address[0] not in LOCAL:
                raise OSError(errno.ENETUNREACH, f"the notebook has no internet and asks for {address[0]}")

    return watch


def _reads(mode: str | None = None, flags: int = os.O_RDONLY) -> bool:
    """Whether a file is opened to be read, by the arguments of an audit event; unpacking opens files, too."""
    return "r" in mode if mode else not flags & (os.O_WRONLY | os.O_RDWR)


def missing(error: BaseException | None) -> str | None:
    """The file or the module that was not found, from an exception and its causes; None if that is not the reason."""
    while error is not None:
        if isinstance(error, FileNotFoundError) and error.filename is not None:
            return os.fsdecode(error.filename)
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name
        error = error.__cause__ or error.__context__
    return None


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as given:
        wanted = json.load(given)
    main(wanted)
