"""Export the fits of a run as one graph that predicts without goldfold and torch, and check and time it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from goldfold.data.tables import without_targets
from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import Experiment
from goldfold.experiment.identity import manifest
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.setup import rebuild
from goldfold.experiment.views_and_seeds import load_fits, predictor_of
from goldfold.experiment.workspace import Workspace
from goldfold.export import equality, graph, predict, timing
from goldfold.export.rows import FACTS, FOLDER, as_text
from goldfold.images import resized_images
from goldfold.io.files import read_array, write_json
from goldfold.report.delivery import exports as report
from goldfold.trust.audits.code import code_changed
from goldfold.workflows.conclude import add_findings, write_record

if TYPE_CHECKING:
    from goldfold.training.predictor import Predictor

TOLERANCE = 1e-4
COMPARED = 512  # test rows, evenly over the table
TIMED = (24, 96)  # of these, without and with `measure`
ROUNDS = (3, 5)
BATCH = 16  # rows; maps of more do not fit into a processor's cache


@dataclass(frozen=True)
class Exported:
    """The folder of an export, and its facts as export.json has them."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def text(self) -> str:
        lines = report.sentences(self.facts)
        lines += [
            "  ".join(f"{cell:>10}" if at else f"{cell:<22}" for at, cell in enumerate(line)) for line in self._table
        ]
        return "\n".join([*lines, f"next: python {self.folder / 'predict.py'} rows.csv predictions.csv"])

    @property
    def _table(self) -> list[Sequence[str]]:
        return [("way", "s/1,000 rows", "least", "most", "speed"), *report.times(self.facts)]

    def __str__(self) -> str:
        return self.text


def export(
    workspace: Workspace,
    run: Path,
    *,
    format_: str = "onnx",
    tolerance: float = TOLERANCE,
    measure: bool = False,
    accept: Sequence[str] = (),
) -> Exported:
    """Write the model, `preprocessing.json` and `predict.py` into `export/` of the run's folder, and export.json.

    tolerance: largest absolute difference to the run's predictions of test rows, times the largest prediction if that
    is above 1. measure: time more rows, and torch compiled and in channels_last, too.

    Raises:
        GoldfoldError: `export_unsupported`, the recipe or a parameter of it cannot be exported; `export_differs`,
            nothing is written then; a package is missing; an operator cannot be exported; weights are gone; code or
            data changed since.
    """
    graph.check_packages(format_)
    if not 0 < tolerance < 1:
        raise GoldfoldError(
            "invalid_tolerance", f"tolerance is {tolerance:g} and must be above 0 and below 1: write 1e-4"
        )
    found = rebuild(workspace, run, torch.device("cpu"), accept)
    with resized_images.keeping(workspace.cache):
        predictors = _predictors(found.experiment, run)
    place, partial_ = run / FOLDER, run / f"{FOLDER}.partial"
    shutil.rmtree(partial_, ignore_errors=True)
    partial_.mkdir()
    try:
        facts = _write(found.experiment, run, predictors, partial_, format_, tolerance, measure)
        write_json(partial_ / FACTS, facts)
        shutil.rmtree(place, ignore_errors=True)
        os.replace(partial_, place)
    finally:
        shutil.rmtree(partial_, ignore_errors=True)
    manifest.write_value(run, FACTS, facts)
    if found.code_changes:
        add_findings(workspace, run, code_changed(found.code_changes, FOLDER))
    else:
        write_record(workspace, run)
    return Exported(place, facts)


def _predictors(experiment: Experiment, run: Path) -> list[Predictor]:
    """The predictors of all fits; a plan without an export is refused before the next one is built."""
    found: list[Predictor] = []
    for done, fit in enumerate(fits := load_fits(experiment, run)):
        experiment.runtime.progress("fits", done, len(fits))
        predictor = predictor_of(experiment, run, fit)[0]
        export = predictor.plan.export
        if export is None or export.refused:
            why = export.refused if export else "its recipe does not say how it predicts as arrays (Plan.export)"
            raise GoldfoldError(
                "export_unsupported",
                f"run '{run_name(run)}' cannot be exported, since {why}: predict with make notebook, or train one of "
                "those that docs/export.md lists",
            )
        found.append(predictor)
    return found


def _write(
    experiment: Experiment,
    run: Path,
    predictors: Sequence[Predictor],
    folder: Path,
    format_: str,
    tolerance: float,
    measure: bool,
) -> dict[str, Any]:
    """Write the files of the export, compare and time it; returns the facts."""
    test = experiment.tables.test
    places = np.unique(np.linspace(0, len(test) - 1, COMPARED).astype(int))
    rows = as_text(without_targets(test.iloc[places], experiment.competition.targets))
    inputs = _inputs(predictors)
    model = _ensemble(predictors, own_inputs=len(inputs) > 1)
    files = graph.write(model, predict.arrays((rows * 2)[:2], inputs), folder, format_)
    given = {
        "run": run_name(run),
        "format": format_,
        "batch": BATCH,
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "inputs": inputs,
    }
    write_json(folder / "preprocessing.json", given)
    shutil.copyfile(predict.__file__, folder / "predict.py")
    threads = torch.get_num_threads()
    ranked = experiment.recipe.pooled
    same = equality.compare(
        read_array(run / "test.npy")[places], predict.predict(folder, rows, threads), tolerance, ranked
    )
    if not same.holds:
        raise GoldfoldError(
            "export_differs",
            f"the export of run '{run_name(run)}' predicts otherwise than the run ({same}), so it was not written: "
            "raise TOLERANCE if that is fine, or look for what the model computes in another precision",
        )
    timed = _timed(model, predict.load(folder, given, threads), rows, inputs, measure, experiment.loop.channels_last)
    runtime = "onnxruntime" if format_ == "onnx" else "openvino"
    return {
        "format": format_,
        "fits": len(predictors),
        "bytes": sum(path.stat().st_size for path in files),
        "runtime": f"{runtime} {version(runtime)}",
        "torch": torch.__version__,
        "equality": str(same),
        "differences": same.facts(),
        "timed": timed,
    }


def _inputs(predictors: Sequence[Predictor]) -> list[Mapping[str, Any]]:
    """How the input is made: one way that all fits share, or one for each fit."""
    made = [_export(each).preprocessing(each.finished) for each in predictors]
    return made if any(each != made[0] for each in made) else made[:1]


def _export(predictor: Predictor) -> Any:
    assert predictor.plan.export is not None, "plans without an export are refused"
    return predictor.plan.export


def _ensemble(predictors: Sequence[Predictor], own_inputs: bool) -> graph.Ensemble:
    """All fits as one module in evaluation mode."""
    modules = []
    for each in predictors:
        assert each.model is not None, "a plan with an export has a model"
        modules.append(_export(each).module(each.model.float().cpu().eval(), each.finished))
    export = _export(predictors[0])
    shared = export.shared().float().cpu() if export.shared else None
    return graph.Ensemble(modules, export.combine, shared, own_inputs).eval()


def _timed(
    model: torch.nn.Module,
    exported: Callable[[np.ndarray], np.ndarray],
    rows: Sequence[Mapping[str, str]],
    inputs: Sequence[Mapping[str, Any]],
    measure: bool,
    last: bool,
) -> dict[str, Any]:
    """Seconds per 1,000 rows of torch and of the export, on inputs that are read before."""
    some = rows[: TIMED[measure]]
    batches = [predict.arrays(some[start : start + BATCH], inputs) for start in range(0, len(some), BATCH)]
    ways, left_out = timing.torch_ways(model, batches[0], measure, last)
    found = timing.rounds({**ways, "export": exported}, batches, ROUNDS[measure])
    load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else "unknown"
    return {
        "rows": len(some),
        "rounds": ROUNDS[measure],
        "threads": torch.get_num_threads(),
        "batch": BATCH,
        "load": load,
        "ways": {name: each._asdict() for name, each in found.items()},
        "left_out": left_out,
    }
