"""README, tutorial and CONTRIBUTING do what they say: their commands, code, links and numbers are checked.

Commands run in a temporary project. README's examples use `digits`, which is the toy competition `blobs` here. What
needs a network, a long time or other data is parsed instead.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pandas as pd
import pytest
from make_commands import goldfold_words, parsed, printed
from matplotlib.figure import Figure
from served_board import served
from shipped import SHIPPED

import goldfold
from goldfold.cli.main import main
from goldfold.recipes import tabular
from goldfold.workflows.delivery import submit

ROOT = Path(__file__).parents[1]
TOY = Path(__file__).parent / "toy" / "competitions" / "blobs"
README, TUTORIAL, CONTRIBUTING = ROOT / "README.md", ROOT / "docs" / "tutorial.md", ROOT / "CONTRIBUTING.md"
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *(ROOT / "competitions" / name / "README.md" for name in SHIPPED)]
)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
MOST_LINES = 160  # of README.md
EXECUTED = {"new", "prepare", "train", "score", "grade", "compare", "blend", "log", "remark", "ledger", "list"}
EXECUTED |= {"host-add"}
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"\.\.\.|<\w+>")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. title: the file it is, relative to the project; "" for others."""

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def make_lines(text: str) -> Iterator[tuple[str, ...]]:
    """The words after `make` of every line that begins with it."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in line.split(" && "):
            if re.match(r"\s*make [a-z]", command):
                yield tuple(shlex.split(command, comments=True)[1:])


def commands(page: Path) -> set[tuple[str, ...]]:
    """Every `make` command of a page: in blocks of shell, indented, or in a line; not those with a placeholder."""
    text = page.read_text(encoding="utf-8")
    code = [block.text for block in blocks(page) if block.language in ("sh", "bash", "console")]
    outside = FENCE.sub("", text)
    code += re.findall(r"^    (make .*)$", outside, re.MULTILINE) + re.findall(r"`(make [^`\n]*)`", outside)
    return {words for part in code for words in make_lines(part) if not PLACEHOLDER.search(" ".join(words))}


@cache
def checked(words: tuple[str, ...]) -> tuple[str, ...]:
    """goldfold's arguments for `make WORDS`, which its parser accepts; none for targets of other programs."""
    if "-m goldfold " not in printed(words):
        return ()
    arguments = goldfold_words(words)
    parsed(arguments)
    return tuple(arguments)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project as the current folder; `digits` is the toy competition. Few trees and empty pictures save time."""
    folder = tmp_path / "project"
    shutil.copytree(TOY, folder / "competitions" / "digits", ignore=shutil.ignore_patterns("__pycache__"))
    write(folder / "configs" / "digits" / "baseline.yaml", "recipe: perceptron\n")
    monkeypatch.setattr(tabular, "_forest", lambda params: {"n_estimators": 5})
    monkeypatch.setattr(tabular, "_boosting", lambda params: {"max_iter": 5})
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: None)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    forget_competitions()
    yield folder
    forget_competitions()


def forget_competitions() -> None:
    """Import competitions anew next time, as a new process does."""
    for name in [name for name in sys.modules if name.split(".")[0] == "competitions"]:
        del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def carry_out(words: tuple[str, ...]) -> None:
    """Run `make WORDS` as `python -m goldfold ...` does, in this process."""
    forget_competitions()
    code = None
    try:
        main(checked(words))
    except SystemExit as end:
        code = end.code
    assert not code, f"make {shlex.join(words)} ended with {code}"


def carry_out_page(page: Path, project: Path, executed: set[str] = EXECUTED) -> None:
    """Write the files of a page and run its commands, from top to bottom; a verb that is not executed is parsed."""
    with ExitStack() as stack:
        for block in blocks(page):
            if block.title:
                write(project / block.title, block.text)
            elif block.language == "sh":
                for words in make_lines(block.text):
                    arguments = checked(words)
                    if arguments[:1] == ("host",) and "host" in executed:
                        stack.enter_context(served(project))
                    elif arguments and arguments[0] in executed:
                        carry_out(words)


def run_python(page: Path, project: Path) -> dict[str, Any]:
    """Write the files of a page and run its Python, from top to bottom; returns its names."""
    names: dict[str, Any] = {"__name__": page.name}
    for block in blocks(page):
        if block.title:
            write(project / block.title, block.text)
        elif block.language == "python":
            exec(compile(block.text, page.name, "exec"), names)
    return names


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_commands_of_readme(project: Path) -> None:
    carry_out_page(README, project)
    assert {run.name for run in goldfold.Project(".").runs()} == {
        *("digits/baseline-r1", "digits/baseline-r2", "digits/blend-r1", "my_competition/baseline-r1")
    }
    files = project / "data" / "my_competition"
    shutil.rmtree(files)
    write_kaggle_files(files / "raw")
    carry_out(("train", "COMP=my_competition"))
    run = goldfold.Project(".").run("my_competition/baseline-r2")
    assert list(run.submission["id"]) == [str(number) for number in range(60, 80)]


def write_kaggle_files(raw: Path) -> None:
    """Files as Kaggle has them, with the columns of a new competition."""
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"id": range(80), "size": random.normal(size=80), "kind": random.choice(["a", "b"], 80)})
    rows[:60].assign(target=[0, 1] * 30).to_csv(raw / "train.csv", index=False)
    rows[60:].to_csv(raw / "test.csv", index=False)
    rows[60:][["id"]].assign(target=0.5).to_csv(raw / "sample_submission.csv", index=False)


def test_python_of_readme(project: Path, capsys: pytest.CaptureFixture) -> None:
    names = run_python(README, project)
    assert names["blend"].name == "digits/blend-r1"
    assert "digits/blend-r1" in capsys.readouterr().out


def test_tutorial_as_commands(project: Path, capsys: pytest.CaptureFixture) -> None:
    carry_out_page(TUTORIAL, project, EXECUTED | {"submit", "host"})
    assert capsys.readouterr().out.count("scored: public") == 2
    run = goldfold.Project(".").run("tumors/baseline-r1")
    assert run.scores.loc["auroc", "mean"] == pytest.approx(0.9882, abs=0.002)  # as the page prints it


def test_tutorial_in_python(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands above have uploaded by the same function, which takes the client seconds."""
    upload = create_autospec(submit.submit)
    monkeypatch.setattr(submit, "submit", upload)
    names = run_python(TUTORIAL, project)
    assert names["run"].scores.loc["auroc", "mean"] == pytest.approx(0.9882, abs=0.002)
    assert [(call.args[1].name, call.kwargs["to"]) for call in upload.call_args_list] == [
        *(("baseline-r1", "local"), ("blend-r1", "local"))
    ]


@pytest.mark.parametrize("block", [b for b in blocks(CONTRIBUTING) if b.language == "python" and not b.title])
def test_python_of_contributing(block: Block) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(block.text, "CONTRIBUTING.md", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_commands_of_contributing(project: Path) -> None:
    carry_out_page(CONTRIBUTING, project)
    run = goldfold.Project(".").run("houses/baseline-r1")
    assert run.scores.loc["rmse", "mean"] < run.scores.loc["rmse", "chance"] / 2
    assert 0 < run.grade() < run.scores.loc["rmse", "chance"] / 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_commands_of_a_page(page: Path) -> None:
    """Targets exist, the parser accepts their options, and competitions and configs are there or made on the page."""
    given = [words for words in commands(page) if len(words) > 1]
    for (target,) in commands(page) - set(given):
        assert target in TARGETS, f"make {target}"
    made = {word.partition("=")[2] for words in given for word in words if words[0] == "new"}
    made |= {Path(block.title).parts[1] for block in blocks(page) if block.title}
    for words in given:
        arguments = checked(words)
        read = vars(parsed(arguments)) if arguments else {}
        competition, config = read.get("comp"), read.get("config")
        if competition and competition not in made:
            assert (ROOT / "competitions" / competition).is_dir(), shlex.join(words)
            assert config is None or (ROOT / "configs" / competition / f"{config}.yaml").exists(), shlex.join(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_scores_of_readme_are_those_of_the_configs() -> None:
    rows = re.findall(r"^\|.*\| ([^|]*) \| `(make train COMP=[^`]*)` \|$", README.read_text("utf-8"), re.MULTILINE)
    assert len(rows) >= 9
    for scores, command in rows:
        read = parsed(checked(tuple(shlex.split(command)[1:])))
        config = (ROOT / "configs" / read.comp / f"{read.config}.yaml").read_text(encoding="utf-8")
        told = re.search(r"^# score: (.*)$", config, re.MULTILINE)
        first = re.match(r"\d\.\d+", scores)
        assert told, command
        assert first, command
        assert first[0] in told[1], f"{command}: README has {first[0]}, the config {told[1]}"


def test_the_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(goldfold.__version__)}\b", text, re.MULTILINE)
