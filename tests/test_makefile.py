"""The Makefile: every target calls goldfold with words that its parser accepts, and passes its variables on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from make_commands import carried_out, goldfold_words, parsed, printed

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z][a-z-]*):", TEXT, re.MULTILINE)
OTHER_PROGRAMS = {"help", "test", "test-slow", "test-clients", "test-ray", "lint", "docs"}
NEEDED = {  # variables without a default that a target needs
    "prepare": ["COMP=blobs"],
    "train": ["COMP=blobs"],
    "capacity": ["COMP=blobs"],
    "lr": ["COMP=blobs"],
    "drift": ["COMP=blobs"],
    "tune": ["COMP=blobs"],
    "dashboard": ["COMP=blobs"],
    "new": ["COMP=blobs"],
    "download": ["COMP=blobs"],
    "host-add": ["COMP=blobs"],
    "host-user": ["NAME=team 2"],
    "pick": ["EPOCH=15"],
    "compare": ["RUNS=a b"],
    "blend": ["RUNS=a b"],
    "import-run": ["COMP=blobs", "OOF=a.csv", "TEST=b.csv", "NAME=friend"],
    "clean": ["COMP=blobs", "KEEP=best:3"],
    "log": ["COMP=blobs"],
}
PASSED = [  # target, variables, what the parser reads
    ("demo", ["KEEP=1"], {"keep": True}),
    (
        "refit",
        ["RUN=a", "EPOCHS=same-steps", "SEEDS=0 1", "WITH_FOLDS=1", "ACCEPT=code_changed", "QUIET=1"],
        {"run": "a", "epochs": "same-steps", "seeds": [0, 1], "with_folds": True, "accept": ["code_changed"]},
    ),
    ("prepare", ["COMP=blobs"], {"comp": "blobs"}),
    (
        "train",
        [
            "COMP=blobs",
            "CONFIG=bank",
            "DEBUG=1",
            "QUIET=1",
            "SET=epochs=3 seeds=[0,1]",
            "ACCEPT=code_changed x",
        ],
        {"comp": "blobs", "config": "bank", "debug": True, "quiet": True, "overrides": ["epochs=3", "seeds=[0,1]"]}
        | {"accept": ["code_changed", "x"], "data_workers": 0},
    ),
    (
        "capacity",
        ["COMP=blobs", "CONFIG=bank", "MEMORY=4GiB", "MARGIN=0.1", "CAP=64", "BUDGET=5", "VARIANTS=1", "PREDICT=1"],
        {"comp": "blobs", "config": "bank", "memory": "4GiB", "margin": 0.1, "cap": 64, "seconds": 5}
        | {"variants": True, "predict": True},
    ),
    (
        "lr",
        ["COMP=blobs", "CONFIG=bank", "SEEDS=2", "STEPS=50", "LOWEST=1e-5", "HIGHEST=1", "DEVICE=cpu", "SET=a=1 b=2"],
        {"comp": "blobs", "config": "bank", "seeds": 2, "steps": 50, "lowest": 1e-5, "highest": 1, "device": "cpu"}
        | {"overrides": ["a=1", "b=2"]},
    ),
    (
        "audit",
        ["COMP=blobs", "CONFIG=bank", "SET=seed=1", "ACCEPT=shared_groups x", "QUIET=1"],
        {"comp": "blobs", "run": None, "config": "bank", "overrides": ["seed=1"], "accept": ["shared_groups", "x"]},
    ),
    ("drift", ["COMP=blobs"], {"comp": "blobs", "config": None, "run": None, "quiet": False}),
    ("drift", ["COMP=blobs", "CONFIG=bank", "QUIET=1"], {"config": "bank", "run": None, "quiet": True}),
    ("drift", ["COMP=blobs", "RUN=a-r1"], {"config": None, "run": "a-r1"}),
    ("environment", [], {}),
    ("score", ["RUN=a-r1"], {"run": "a-r1"}),
    ("grade", ["RUN=a-r1"], {"run": "a-r1"}),
    (
        "epochs",
        ["RUN=a-r1", "FOLD=0", "SEED=1", "IMAGES=1 2", "ACCEPT=code_changed"],
        {"run": "a-r1", "fold": 0, "seed": 1, "images": ["1", "2"], "accept": ["code_changed"]},
    ),
    (
        "maps",
        ["RUN=a-r1", "SIDE=oof", "IMAGES=1 2", "THRESHOLD=0.5", "QUIET=1"],
        {"run": "a-r1", "side": "oof", "images": ["1", "2"], "threshold": 0.5, "quiet": True},
    ),
    ("pick", ["RUN=a-r1", "EPOCH=15", "ACCEPT=code_changed"], {"epoch": 15, "accept": ["code_changed"]}),
    ("pick", ["RUN=a-r1", "EPOCHS=6 8 10", "BY=best"], {"epoch": None, "epochs": [6, 8, 10], "by": "best"}),
    ("compare", ["RUNS=a b", "ACCEPT=unequal_budget x"], {"runs": ["a", "b"], "accept": ["unequal_budget", "x"]}),
    (
        "ablate",
        ["COMP=blobs", "CONFIG=fusion", "SET=seeds=[0,1]", "WORKERS=2", "ACCEPT=unequal_budget", "QUIET=1"],
        {"comp": "blobs", "config": "fusion", "overrides": ["seeds=[0,1]"], "workers": 2, "accept": ["unequal_budget"]},
    ),
    ("log", ["COMP=blobs"], {"comp": "blobs"}),
    ("report", ["RUN=a-r1"], {"run": "a-r1"}),
    ("site", ["QUIET=1"], {"quiet": True}),
    ("remark", ["RUN=a", "TEXT=x", "ACCEPT=remark_untrue"], {"run": "a", "text": "x", "accept": ["remark_untrue"]}),
    (
        "query",
        ["IMAGE=a b.jpg", "IDS=1 2", "TOP=3", "ACCEPT=code_changed"],
        {"run": "latest", "image": ["a b.jpg"], "ids": ["1", "2"], "top": 3, "accept": ["code_changed"]},
    ),
    (
        "tune",
        ["COMP=blobs", "TRIALS=5", "HOURS=0.5", "STUDY=s", "STORAGE=postgresql://x", "REDRAWS=1", "SET=epochs=3"],
        {"comp": "blobs", "config": "baseline", "trials": 5, "hours": 0.5, "study": "s", "storage": "postgresql://x"}
        | {"redraws": 1, "overrides": ["epochs=3"]},
    ),
    ("dashboard", ["COMP=blobs", "STUDY=s", "PORT=0"], {"comp": "blobs", "study": "s", "port": 0}),
    ("blend", ["RUNS=a b", "METHOD=mean"], {"runs": ["a", "b"], "method": "mean"}),
    ("blend", ["RUNS=a b.csv", "WEIGHTS=0.7 0.3"], {"runs": ["a", "b.csv"], "weights": ["0.7", "0.3"]}),
    (
        "import-run",
        ["COMP=blobs", "OOF=a b.csv", "TEST=c.csv", "NAME=друг", "FOLDS=d.csv", "LIKE=a-r1"],
        {"comp": "blobs", "oof": "a b.csv", "test": "c.csv", "name": "друг", "folds": "d.csv", "like": "a-r1"},
    ),
    ("runs", ["COMP=blobs", "SORT=size"], {"comp": "blobs", "sort": "size"}),
    (
        "clean",
        ["COMP=blobs", "KEEP=a-r1 b-r2", "WEIGHTS=1", "YES=1"],
        {"comp": "blobs", "keep": ["a-r1", "b-r2"], "weights": True, "yes": True},
    ),
    ("track", ["RUN=a-r1", "TO=[wandb, mlflow]", "QUIET=1"], {"run": "a-r1", "to": "[wandb, mlflow]", "quiet": True}),
    ("gains", ["VIEWS=none flips", "ACCEPT=code_changed"], {"views": ["none", "flips"], "accept": ["code_changed"]}),
    ("new", ["COMP=my_first"], {"comp": "my_first", "kind": "tabular"}),
    ("new", ["COMP=my_first", "KIND=image"], {"comp": "my_first", "kind": "image"}),
    (
        "submit",
        ["RUN=a-r1", "TO=local", "AGAIN=1", "LATE=1", "WAIT=5", "JSON=1", "ACCEPT=remark_untrue"],
        {"run": "a-r1", "to": "local", "again": True, "late": True, "wait": 5, "json": True}
        | {"accept": ["remark_untrue"]},
    ),
    ("download", ["COMP=blobs"], {"comp": "blobs"}),
    ("notebook", ["RUN=a-r1", "HOURS=12", "EXPORT=1", "ACCEPT=x"], {"hours": 12, "export": True, "accept": ["x"]}),
    (
        "export",
        ["RUN=a-r1", "FORMAT=openvino", "TOLERANCE=1e-3", "MEASURE=1", "ACCEPT=code_changed", "QUIET=1"],
        {"run": "a-r1", "format": "openvino", "tolerance": 1e-3, "measure": True, "accept": ["code_changed"]},
    ),
    ("ledger", ["COMP=blobs"], {"comp": "blobs"}),
    ("rank", ["BOARD=a b.csv", "SCORE=0.5"], {"run": "latest", "board": "a b.csv", "score": 0.5}),
    (
        "host",
        ["PORT=0", "BIND=0.0.0.0", "HOST_NAMES=board.lan b"],
        {"port": 0, "bind": "0.0.0.0", "host_names": ["board.lan", "b"]},
    ),
    (
        "host-add",
        ["COMP=blobs", "DAILY=5", "DEADLINE=2026-12-31T23:59:00Z"],
        {"comp": "blobs", "daily": 5, "deadline": "2026-12-31T23:59:00Z"},
    ),
    ("host-user", ["NAME=team 2", "REPLACE=1"], {"name": "team 2", "replace": True}),
    ("list", [], {}),
]


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in OTHER_PROGRAMS])
def test_a_target_needs_only_its_required_variables(target: str) -> None:
    assert parsed(goldfold_words([target, *NEEDED.get(target, [])])).verb == target


@pytest.mark.parametrize(("target", "variables", "expected"), PASSED, ids=[target for target, *_ in PASSED])
def test_variables_reach_the_parser(target: str, variables: list[str], expected: dict) -> None:
    read = vars(parsed(goldfold_words([target, *variables])))
    assert {name: read[name] for name in ("verb", *expected)} == {"verb": target, **expected}


@pytest.mark.parametrize("target", ["train", "tune"])
def test_fits_and_trials_at_once_are_workers_in_both(target: str) -> None:
    variables = ["COMP=blobs", "EXECUTOR=processes", "WORKERS=2", "THREADS=1", "GPUS=0.5"]
    read = parsed(goldfold_words([target, *variables]))
    assert (read.executor, read.workers, read.threads, read.gpus) == ("processes", 2, 1, 0.5)


def test_every_goldfold_target_is_checked_above() -> None:
    assert {target for target, *_ in PASSED} == set(TARGETS) - OTHER_PROGRAMS


TYPED = ["MESSAGE", "TEXT", "CONCLUSION", "NEXT", "AGAINST", "CATEGORY", "NAME"]


@pytest.mark.parametrize("variable", TYPED)
def test_texts_reach_the_program_as_they_were_typed(variable: str) -> None:
    """Through the environment: quotes and signs of a text are read neither by make nor by the shell."""
    text = "-6.5 % 谢谢 \"a\" 'b' `id` $5 $(shell echo read) # \\ |\nsecond line"
    command = ["make", "-s", "-C", str(ROOT), "--no-print-directory", f"--eval=show:;@printenv {variable}", "show"]
    typed = subprocess.run([*command, f"{variable}={text}"], capture_output=True, text=True, check=True)
    assert typed.stdout == f"{text}\n"
    other = subprocess.run(command, env={**os.environ, variable: "of the shell"}, capture_output=True, text=True)
    assert other.stdout.strip() == "", "a variable of the shell, such as WSL's NAME, is not taken for a text"
    target = "submit" if variable == "MESSAGE" else "remark"
    assert f'--{variable.lower()}="${variable}"' in printed([target, f"{variable}=x"])


def test_the_text_of_a_query_is_passed_as_it_was_typed() -> None:
    assert '--text="$TEXT"' in printed(["query", "IMAGE=any.jpg", 'TEXT=часы "one"'])


def rule_of(target: str) -> str:
    """The line of help and the recipe of a target, shared parts in full."""
    head, _, recipe = re.search(rf"^{target}:(.*)\n((?:\t.*\n)+)", TEXT, re.MULTILINE)[0].partition("\n")
    shared = {name: re.search(rf"^{name} = (.*)$", TEXT, re.MULTILINE)[1] for name in ("FANNED", "REMARKED")}
    for name, meaning in shared.items():
        recipe = recipe.replace(f"$({name})", meaning)
    return f"{head}\n{recipe}"


def variables_of(rule: str) -> list[str]:
    """The variables in the recipe of a target and in its line of help."""
    known = r"\$\$([A-Z]+)|value ([A-Z_]+)|call (?:given|listed),[a-z-]+,([A-Z_]+)|call list,([A-Z]+)|\b([A-Z_]+)="
    return sorted({name for found in re.findall(known, rule) for name in found if name})


@pytest.mark.parametrize("target", sorted(set(TARGETS) - OTHER_PROGRAMS))
def test_no_variable_of_a_target_is_carried_out(target: str, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    words = f"a`touch {ran}`$(shell touch {ran})$(touch {ran})$$(touch {ran})"
    hostile = f"-{words}; touch {ran} | touch {ran} & touch {ran}\ntouch {ran} \\\" ' # * ~"
    rule = rule_of(target)
    variables = variables_of(rule)
    lists = {name for name in variables if f"list,{name})" in rule or re.search(rf"listed,[a-z-]+,{name}\)", rule)}
    values = {name: words if name in lists else hostile for name in variables}
    passed = goldfold_words([target, *(f"{name}={value}" for name, value in values.items())])
    assert not ran.exists()
    read = [word.partition("=")[2] if word.startswith("--") else word for word in passed]
    for name, value in values.items():
        flag = name.lower().replace("_", "-")
        expected = set(words.split()) if name in lists else {value} if f"--{flag}" not in passed else set()
        chosen = target == "audit" and name == "RUN"  # COMP and RUN exclude each other
        assert chosen or expected <= set(read), name


@pytest.mark.parametrize("target", ["test", "test-slow"])
def test_variables_of_the_tests_are_not_carried_out(target: str, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hostile = f"a`touch {ran}`$(shell touch {ran})$$(touch {ran}); touch {ran}"
    passed = carried_out([target, *(f"{name}={hostile}" for name in ("JOBS", "TESTS", "OTHER"))])[0]
    assert passed[:2] == ["-m", "pytest"]
    assert set(hostile.split()) <= set(passed)
    assert not ran.exists()


@pytest.mark.parametrize("target", sorted(OTHER_PROGRAMS))
def test_other_targets_have_commands(target: str) -> None:
    assert printed([target]).strip()


def test_targets_are_phony_and_listed_by_help() -> None:
    phony = {word for line in re.findall(r"^\.PHONY: (.*)$", TEXT, re.MULTILINE) for word in line.split()}
    listed = set(re.findall(r"^([a-z-]+):.*## ", TEXT, re.MULTILINE))
    assert phony == listed == set(TARGETS)
