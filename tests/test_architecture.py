"""ARCHITECTURE.md against the source: the path of a run, the rooms, their size."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import goldfold
from goldfold.cli.main import main
from goldfold.training import loop

PACKAGE = Path(goldfold.__file__).parent
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
MOST_FILES = 8  # from the command to the loop
MOST_MODULES = 16  # of a folder


def test_a_run_passes_the_files_that_the_page_names(toy: Path) -> None:
    passed: list[str] = []

    def look(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code is loop.train.__code__ and not passed:
            above: FrameType | None = frame
            while above is not None:
                file = Path(above.f_code.co_filename)
                if PACKAGE in file.parents:
                    passed.insert(0, file.relative_to(PACKAGE).as_posix())
                above = above.f_back

    sys.setprofile(look)
    try:
        main(["train", "--comp", "blobs", "--config", "perceptron", "--quiet", "epochs=1", "folds=[0]"])
    finally:
        sys.setprofile(None)
    block = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert block
    told = [line.removeprefix("src/goldfold/") for line in block[1].split()]
    assert told == ["__main__.py", *dict.fromkeys(passed)]
    assert len(told) <= MOST_FILES


def test_the_page_lists_every_room_and_no_other() -> None:
    table = PAGE.partition("## The rooms")[2].partition("## ")[0]
    told = set(re.findall(r"`([\w.]+/?)`", "\n".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    rooms = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert told == rooms | modules


def test_files_that_the_page_names_exist() -> None:
    named = set(re.findall(r"`(\w+/[\w/]+\.py)`", PAGE))
    assert named
    assert not [name for name in named if not (PACKAGE / name).exists()]


def test_no_folder_is_too_full() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    modules = {folder: len(list(folder.glob("*.py"))) - (folder / "__init__.py").exists() for folder in folders}
    assert not {str(folder): count for folder, count in modules.items() if count > MOST_MODULES}
