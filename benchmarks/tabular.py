"""Tables: goldfold's boosted trees, network and their blend against AutoGluon and mljar within one wall budget.

    PYTHONPATH=src python benchmarks/tabular.py [--budget 120] [--sets titanic diabetes ...] [--tools goldfold ...]
        [--environments build/bench-tabular] [--seed 0] [--cpus 2] [--results build/bench-tabular/results.jsonl]

A quarter of each set's rows is hidden from all. A tool gets the other rows, `--budget` seconds and `--cpus` threads, by
default one per CPU that the process may use, in a process of its own; it predicts the hidden rows, which only this file
scores: by log loss, values by RMSE. AutoGluon (`medium_quality`) and mljar (`Perform`) pin other packages than goldfold
and get environments of their own below `--environments`, made once, 1 and 6 GB; where that fails the tool is left out.

Below each set is the difference of the rows' losses, goldfold's minus the best other tool's, with its 95 % interval
over the hidden rows (of RMSE that of squared errors). titanic and house_prices need `GOLDFOLD_SAMPLE_DATA`. What a tool
reached is a line of `--results` as soon as it ends, with its CPU seconds and the load of the machine before it: the
same command goes on where it stopped, and runs again what is deleted from that file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

PEERS = {
    "autogluon": ["autogluon.tabular[lightgbm,catboost,xgboost,fastai]==1.6.3"],
    "mljar": ["mljar-supervised==1.3.2"],
}
TOOLS = ("goldfold", *PEERS)
SETS = ("titanic", "house_prices", "breast_cancer", "diabetes", "wine")
KINDS = dict(zip(SETS, ("binary", "regression", "binary", "regression", "multiclass"), strict=True))
FOLDS = 5  # of goldfold, among the rows that it gets
LONGER = 4  # a tool that takes so many budgets is stopped


def table(name: str) -> pd.DataFrame:
    """All rows of a set with labels, in the columns of its files, and the target as `target`."""
    if name in ("titanic", "house_prices"):
        folder = Path(os.environ["GOLDFOLD_SAMPLE_DATA"], "kaggle_tabular", name.replace("_", "-"))
        rows = pd.read_csv(folder / "train.csv")
        if name == "titanic":
            return rows.drop(columns="PassengerId").rename(columns={"Survived": "target"})
        return rows.drop(columns=["Id", "SalePrice"]).assign(target=np.log(rows["SalePrice"]))
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")(as_frame=True).frame


def halves(rows: pd.DataFrame, kind: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to learn from, and hidden ones, a quarter; classes alike."""
    from sklearn.model_selection import train_test_split

    labels = None if kind == "regression" else rows["target"]
    known, hidden = train_test_split(rows, test_size=0.25, random_state=seed, stratify=labels)
    return known.reset_index(drop=True), hidden.reset_index(drop=True)


# The tools, each in a process of its own: (rows with target, rows without, kind, seconds, folder) -> predictions


def by_goldfold(known: pd.DataFrame, asked: pd.DataFrame, kind: str, seconds: float, folder: Path) -> np.ndarray:
    """The boosted trees of every library that is installed, then the network, as long as the budget lasts; their blend.

    A recipe whose folds so far say that it would not end in time is dropped. Weights are those of out-of-fold
    predictions.
    """
    from importlib.util import find_spec

    from goldfold.ensemble.weight_search import Objective, optimize_weights, weighted_mean
    from goldfold.errors import GoldfoldError
    from goldfold.experiment.cross_validation import combine_fits, cross_validate

    began, found = time.perf_counter(), {}

    def stop(fold: int, seed: int, progress: object) -> None:
        if time.perf_counter() - began > seconds:
            raise GoldfoldError("out_of_time", "the budget is spent")

    plans = [("boosting", {"library": name, "permutations": 0}) for name in ("lightgbm", "catboost", "xgboost")]
    plans = [plan for plan in plans if find_spec(plan[1]["library"])] or [("boosting", {"permutations": 0})]
    for name, params in [*plans, ("tabular_network", {"permutations": 0})]:
        label = f"{name} {params.get('library', '')}".strip()
        given = experiment(known, asked, kind, name, params)
        fits, start = [], time.perf_counter()
        try:
            for fit in cross_validate(given, folder / label, stop if found else None):
                fits.append(fit)
                if found and start - began + (time.perf_counter() - start) / len(fits) * FOLDS > seconds:
                    break
        except GoldfoldError as error:
            if error.code != "out_of_time":
                raise
            break
        if len(fits) == FOLDS:
            whole = combine_fits(given, fits)
            found[label] = whole.oof, whole.test
    metric = given.competition.metric
    weights = optimize_weights(
        Objective(metric, known, [oof for oof, _ in found.values()]).on(np.arange(len(known))), len(found)
    )
    told = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(found, weights, strict=True))
    print("  weights:", told, flush=True)
    return weighted_mean([test for _, test in found.values()], weights)


def experiment(known: pd.DataFrame, asked: pd.DataFrame, kind: str, name: str, params: dict):
    """One recipe over folds of the known rows; columns of numbers are numbers, the others categories."""
    import torch

    from goldfold import metrics
    from goldfold.competition import Competition, Runtime, Tables
    from goldfold.data.folds import k_fold, stratified
    from goldfold.experiment.fits import Experiment, Protocol
    from goldfold.recipes import boosting, tabular_network
    from goldfold.training.settings import LoopOptions

    features = [column for column in asked if pd.api.types.is_numeric_dtype(known[column])]
    columns = {"numeric": features, "categorical": [column for column in asked if column not in features]}
    classes = None if kind == "regression" else tuple(sorted(known["target"].unique().tolist()))
    metric = metrics.log_loss("target", classes=classes) if classes else metrics.rmse("target")
    if name == "boosting":
        recipe = boosting.recipe("target", kind, classes=classes, **columns)
    else:
        wanted = {"target": "target", "classes": classes} if classes else {"value": "target"}
        recipe = tabular_network.recipe(**wanted, **columns)
    train, test = known.assign(id=range(len(known))), asked.assign(id=range(len(asked)))
    empty = dict.fromkeys(("prepare", "load", "split", "submission"))
    return Experiment(
        competition=Competition(slug="made", metric=metric, targets=("target",), recipes={name: recipe}, **empty),
        recipe=recipe,
        params=recipe.params(**params),
        loop=LoopOptions(select="stopping_loss", patience=16) if name == "tabular_network" else LoopOptions(),
        protocol=Protocol(),
        tables=Tables(train=train, test=test, sample_submission=test[["id"]]),
        folds=stratified(train["target"], FOLDS, 0) if classes else k_fold(train, FOLDS, 0),
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=Path(), classes=classes),
    )


def by_autogluon(known: pd.DataFrame, asked: pd.DataFrame, kind: str, seconds: float, folder: Path) -> np.ndarray:
    """AutoGluon's `medium_quality`."""
    from autogluon.tabular import TabularPredictor

    metric = "root_mean_squared_error" if kind == "regression" else "log_loss"
    place = str(folder / "autogluon")
    made = TabularPredictor("target", problem_type=kind, eval_metric=metric, path=place, verbosity=0)
    made.fit(known, presets="medium_quality", time_limit=seconds, num_cpus=cpus(), num_gpus=0)
    if kind == "regression":
        return made.predict(asked).to_numpy()
    found = made.predict_proba(asked)
    found = found[sorted(found.columns)].to_numpy()
    return found[:, 1] if kind == "binary" else found


def by_mljar(known: pd.DataFrame, asked: pd.DataFrame, kind: str, seconds: float, folder: Path) -> np.ndarray:
    """mljar's mode `Perform`, which is made for a model with 5-fold cross-validation."""
    from supervised.automl import AutoML

    tasks = {"binary": "binary_classification", "multiclass": "multiclass_classification", "regression": "regression"}
    made = AutoML(
        results_path=str(folder / "mljar"),
        mode="Perform",
        ml_task=tasks[kind],
        eval_metric="rmse" if kind == "regression" else "logloss",
        total_time_limit=int(seconds),
        n_jobs=cpus(),
        random_state=0,
        verbose=0,
    )
    made.fit(known.drop(columns="target"), known["target"])
    if kind == "regression":
        return np.asarray(made.predict(asked))
    found = np.asarray(made.predict_proba(asked))  # columns in the order of sorted classes
    return found[:, 1] if kind == "binary" else found


def cpus() -> int:
    """Threads that a tool may use."""
    return int(os.environ.get("BENCHMARK_CPUS", len(os.sched_getaffinity(0))))


def work(tool: str, kind: str, seconds: float, folder: Path) -> None:
    """What the process of a tool does: read the rows, predict, write the predictions and the seconds it took."""
    files = [folder / f"{name}.csv" for name in ("known", "asked")]
    known, asked = (pd.read_csv(file, float_precision="round_trip") for file in files)
    began = time.perf_counter()
    found = {"goldfold": by_goldfold, "autogluon": by_autogluon, "mljar": by_mljar}[tool](
        known, asked, kind, seconds, folder
    )
    np.save(folder / f"{tool}.npy", np.asarray(found, np.float64))
    (folder / f"{tool}.json").write_text(json.dumps(time.perf_counter() - began), encoding="utf-8")


# The comparison


def python_of(tool: str, environments: Path) -> str:
    """The Python that runs a tool; its environment is made if it is not there. Raises CalledProcessError."""
    if tool == "goldfold":
        return sys.executable
    python = environments / tool / "bin" / "python"
    if not (environments / tool / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environments / tool)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PEERS[tool]], check=True)
        (environments / tool / "ready").touch()
    return str(python)


def losses(truth: np.ndarray, found: np.ndarray, kind: str) -> np.ndarray:
    """The loss of each hidden row: squared error, or minus the logarithm of the probability of its class."""
    if kind == "regression":
        return (truth - found) ** 2
    shares = np.stack([1 - found, found], axis=1) if kind == "binary" else found
    own = shares[np.arange(len(truth)), np.unique(truth, return_inverse=True)[1]]
    return -np.log(np.clip(own, np.finfo(float).eps, None))


def run(tool: str, python: str, kind: str, budget: float, folder: Path) -> float:
    """The wall seconds that a tool took for its predictions.

    Raises CalledProcessError or TimeoutExpired; `<tool>.log` in the folder then says why.
    """
    threads = {name: str(cpus()) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [python, str(Path(__file__).resolve()), "--work", tool, "--kind", kind, "--budget", str(budget)]
    environment = {**os.environ, **threads, "BENCHMARK_CPUS": str(cpus())}
    if tool != "goldfold":  # their packages are their own
        environment.pop("PYTHONPATH", None)
    with (folder / f"{tool}.log").open("w", encoding="utf-8") as log:
        subprocess.run(
            [*command, "--folder", str(folder)],
            check=True,
            env=environment,
            timeout=LONGER * budget + 120,
            stdout=None if tool == "goldfold" else log,
            stderr=log,
        )
    return json.loads((folder / f"{tool}.json").read_text(encoding="utf-8"))


def cpu_seconds() -> float:
    """CPU seconds of all tools so far, their start included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def reached(results: Path, key: dict[str, object]) -> dict | None:
    """The line of a set and tool in the file of results; None if it has none."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    found = [line for line in map(json.loads, lines) if all(line[name] == value for name, value in key.items())]
    return found[-1] if found else None


def measure(
    key: dict, rows: tuple[pd.DataFrame, pd.DataFrame], python: str, kind: str, budget: float, results: Path
) -> dict | str:
    """A tool's line of the file of results, measured if it is not there; why there is none if the tool failed."""
    if found := reached(results, key):
        return found
    (known, hidden), load, before = rows, os.getloadavg()[0], cpu_seconds()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        known.to_csv(folder / "known.csv", index=False)  # older pandas cannot read the pickles of newer ones
        hidden.drop(columns="target").to_csv(folder / "asked.csv", index=False)
        try:
            seconds = run(key["tool"], python, kind, budget, folder)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            told = (folder / f"{key['tool']}.log").read_text(encoding="utf-8", errors="replace").strip()
            return f"{type(error).__name__}: {told.splitlines()[-1] if told else 'no message'}"
        each = losses(hidden["target"].to_numpy(), np.load(folder / f"{key['tool']}.npy"), kind)
    line = {**key, "seconds": seconds, "cpu_seconds": cpu_seconds() - before, "load": load, "losses": each.tolist()}
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return line


def compare(name: str, pythons: dict[str, str], budget: float, seed: int, results: Path) -> bool | None:
    """Print one set's scores; returns whether goldfold is not worse than the best other tool, None if none answered."""
    kind, rows, told = KINDS[name], {}, []
    known, hidden = halves(table(name), kind, seed)
    for tool, python in pythons.items():
        key = {"set": name, "tool": tool, "seed": seed, "budget": budget, "cpus": cpus()}
        line = measure(key, (known, hidden), python, kind, budget, results)
        if isinstance(line, str):
            told.append(f"{tool}: none ({line})")
            continue
        rows[tool] = np.array(line["losses"])
        mean = float(rows[tool].mean())
        score = np.sqrt(mean) if kind == "regression" else mean
        told.append(f"{tool} {score:.4f} in {line['seconds']:.0f} s ({line['cpu_seconds']:.0f} s of CPU)")
    metric = "RMSE" if kind == "regression" else "log loss"
    print(f"{name}: {len(known)} rows, {len(hidden)} hidden, {metric}: {'; '.join(told)}", flush=True)
    others = {tool: each for tool, each in rows.items() if tool != "goldfold"}
    if not others or "goldfold" not in rows:
        return None
    best = min(others, key=lambda tool: others[tool].mean())
    difference = rows["goldfold"] - others[best]
    spread = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    worse = difference.mean() - spread > 0
    print(
        f"  goldfold minus {best}: {difference.mean():+.5f} [{difference.mean() - spread:+.5f}, "
        f"{difference.mean() + spread:+.5f}] of a row's loss{': worse' if worse else ''}",
        flush=True,
    )
    return not worse


def main(given: argparse.Namespace) -> None:
    pythons = {}
    for tool in given.tools:
        try:
            pythons[tool] = python_of(tool, given.environments.resolve())
        except subprocess.CalledProcessError as error:
            print(f"{tool} is left out: {' '.join(map(str, error.cmd[:5]))} ... failed", flush=True)
    print(f"{given.budget:.0f} s of wall time a set and tool, {cpus()} CPUs, seed {given.seed}", flush=True)
    kept = [compare(name, pythons, given.budget, given.seed, given.results) for name in given.sets]
    answered = [each for each in kept if each is not None]
    if answered:
        print(f"goldfold is not worse than the best other tool on {sum(answered)} of {len(answered)} sets")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", type=float, default=120.0)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=TOOLS)
    parser.add_argument("--environments", type=Path, default=Path("build/bench-tabular"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpus", type=int)
    parser.add_argument("--results", type=Path, default=Path("build/bench-tabular/results.jsonl"))
    parser.add_argument("--work", choices=TOOLS, help=argparse.SUPPRESS)
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.cpus:
        os.environ["BENCHMARK_CPUS"] = str(chosen.cpus)
    if chosen.work:
        work(chosen.work, chosen.kind, chosen.budget, chosen.folder)
    else:
        main(chosen)
