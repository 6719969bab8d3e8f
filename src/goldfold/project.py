"""The Python API: a project's competitions, configs and runs, and the same verbs as the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.experiment import run_folders
from goldfold.experiment.workspace import Workspace
from goldfold.io import garbage
from goldfold.io.clock import CLOCK
from goldfold.io.progress import Display, Observer
from goldfold.run import Run
from goldfold.runs import Runs

if TYPE_CHECKING:
    from goldfold.competition import Competition, Tables
    from goldfold.report.study.result import StudyResult
    from goldfold.workflows.ablate import Ablation
    from goldfold.workflows.audit.result import Audit
    from goldfold.workflows.capacity.capacity import Capacity
    from goldfold.workflows.compare import Comparison
    from goldfold.workflows.delivery.ledger import Ledger
    from goldfold.workflows.drift.drift import Drift
    from goldfold.workflows.environment import Environment
    from goldfold.workflows.experiment_log.log import ExperimentLog
    from goldfold.workflows.housekeeping.clean import Cleaning
    from goldfold.workflows.housekeeping.inventory import Inventory
    from goldfold.workflows.learning_rates.find import RangeTest
    from goldfold.workflows.pages.site import Site


class Project:
    """A folder with competitions/, configs/ and runs/.

    root: its path. quiet: no progress bars. observer: receives progress instead of the terminal or notebook.

    >>> import goldfold as gf
    >>> project = gf.Project(".")
    >>> run = project.train("digits", "baseline", epochs=3)  # doctest: +SKIP
    >>> run.scores  # doctest: +SKIP

    Every method raises GoldfoldError for a user's mistake: one that can be fixed, with the next step.
    """

    def __init__(self, root: str | Path = ".", *, quiet: bool = False, observer: Observer | None = None) -> None:
        self.workspace = Workspace(Path(root), observer or Display(quiet))

    def competitions(self) -> list[str]:
        """The names of the competitions below competitions/."""
        return self.workspace.names()

    def competition(self, name: str) -> Competition:
        """The `COMPETITION` of competitions/<name>."""
        return self.workspace.competition(name)

    def configs(self, competition: str) -> list[str]:
        """The names of the configs below configs/<competition>/."""
        return self.workspace.configs(competition)

    def tables(self, competition: str) -> Tables:
        """Train, test and sample submission; the data is prepared first where that needs no download."""
        return self.workspace.load(competition)

    def prepare(self, competition: str, *, force: bool = False) -> Path:
        """Prepare a competition's data folder, again if data.py or a raw file changed or by `force`; returns it."""
        return self.workspace.prepare(competition, force)

    def new(self, competition: str, kind: str = "tabular") -> list[Path]:
        """Scaffold a competition folder that passes the contract tests; returns the files written.

        kind: anomaly, audio, image, multilabel, retrieval, segmentation, sequence, tabular or text.
        """
        from goldfold.workflows.new import scaffold

        return scaffold(self.workspace, competition, kind)

    def download(self, competition: str, to: str = "kaggle") -> Path:
        """Download a competition's data through the kaggle client, unpack and prepare it; returns its folder."""
        from goldfold.workflows.delivery.download import download

        return download(self.workspace, competition, to)

    def train(
        self,
        competition: str,
        config: str = "baseline",
        *,
        overrides: Sequence[str] = (),
        device: str | None = None,
        accept: Sequence[str] = (),
        data_workers: int = 0,
        executor: str | None = None,
        workers: int | None = None,
        threads: int | None = None,
        gpus: float | None = None,
        **values: Any,
    ) -> Run:
        """Train every fold, score out of fold, predict the test rows, write a checked submission and the record.

        An unfinished run of the same config, data and code is resumed.

        overrides: `key=value` words. values: config keys to change, such as epochs=3, debug=True. device: cpu, cuda,
        cuda:1; the best there is by default. accept: codes of findings that do not stop the run. data_workers:
        processes that load data.

        executor: `processes` or `ray` or `ray://host:10001`, which run several fits at once. workers: fits at once.
        threads, gpus: of each fit, in even parts by default.
        """
        with CLOCK.phase("import"), garbage.not_collected():
            from goldfold.experiment.executors import requested
            from goldfold.workflows.train import train

        folder = train(
            self.workspace,
            competition,
            config,
            [*overrides, *_overrides(values)],
            device=device,
            workers=data_workers,
            executor=requested(executor, workers, threads, gpus),
            accept=accept,
        )
        return Run(folder, self.workspace)

    def capacity(
        self,
        competition: str,
        config: str = "baseline",
        *,
        overrides: Sequence[str] = (),
        device: str | None = None,
        memory: str | None = None,
        margin: float = 0.05,
        cap: int | None = None,
        seconds: float = 60.0,
        variants: bool = False,
        predict: bool = False,
        **values: Any,
    ) -> Capacity:
        """Find the largest batch that fits into memory and the one that trains fastest, each tried in a child process.

        memory: what a training process may take, such as "4GiB"; what is free by default. margin: share of it to leave
        free. cap: largest batch to try. seconds: for the steps of a trial. variants: also those of the config's
        `ablation:` block. predict: the largest batch of predictions and their speed, instead of training. overrides,
        values, device: as in `train`.
        """
        from goldfold.training.capacity.free_memory import parsed_bytes
        from goldfold.workflows.capacity.capacity import capacity
        from goldfold.workflows.capacity.probed import Limits

        limits = Limits(memory=parsed_bytes(memory) if memory else None, margin=margin, cap=cap, seconds=seconds)
        words = [*overrides, *_overrides(values)]
        return capacity(
            self.workspace,
            competition,
            config,
            words,
            device=device,
            limits=limits,
            variants=variants,
            predict=predict,
        )

    def learning_rate(
        self,
        competition: str,
        config: str = "baseline",
        *,
        overrides: Sequence[str] = (),
        seeds: int = 3,
        steps: int = 100,
        lowest: float = 1e-6,
        highest: float = 10.0,
        device: str | None = None,
        **values: Any,
    ) -> RangeTest:
        """Range test of a config's first stage: the loss while the learning rate rises, and the rates it suggests.

        It trains on the first fold's training rows in memory, and writes a picture and JSON below `runs/`. The result
        has the `suggestion` and the `curves`.

        overrides, values: as in `train`. seeds: sweeps, which show the noise. steps: optimizer steps of a sweep, from
        the rate `lowest` to `highest`.
        """
        from goldfold.training.learning_rates.range_test import Sweep
        from goldfold.workflows.learning_rates.find import find_learning_rate

        sweep = Sweep(lowest=lowest, highest=highest, steps=steps)
        words = [*overrides, *_overrides(values)]
        return find_learning_rate(self.workspace, competition, config, words, device=device, seeds=seeds, sweep=sweep)

    def audit(
        self,
        competition: str,
        config: str = "baseline",
        *,
        overrides: Sequence[str] = (),
        accept: Sequence[str] = (),
        **values: Any,
    ) -> Audit:
        """All audits of data and folds before any training: what was checked, what was found, what was not checked.

        Up to 20,000 images are read for near-duplicates. overrides, values, accept: as in `train`. A finished run is
        audited again by `Run.audit`.
        """
        from goldfold.workflows.audit.data import audit_data

        return audit_data(self.workspace, competition, config, [*overrides, *_overrides(values)], accept=accept)

    def drift(
        self, competition: str, config: str | None = None, *, run: str | Run | None = None, device: str | None = None
    ) -> Drift:
        """Adversarial validation: tell the test rows from the train rows by columns and image statistics.

        config, run: also by the features that its frozen backbone has of them; at most one of the two. device: of the
        backbone. The record is written into `runs/<competition>/drift/`.
        """
        from goldfold.workflows.drift.drift import drift

        return drift(self.workspace, competition, config, run.name if isinstance(run, Run) else run, device=device)

    def run(self, name: str = "latest", *, finished: bool = False) -> Run:
        """A run by name: `latest`, `baseline-r3`, `digits/baseline-r3`.

        finished: refuse a run that is not. Raises GoldfoldError if there is none, several competitions have it, or its
        files were changed since it was finished.
        """
        return Run(run_folders.open_run(self.workspace, name, finished), self.workspace)

    def runs(self, competition: str | None = None) -> Runs:
        """All runs, oldest first; of one competition if it is named."""
        folders = run_folders.list_runs(self.workspace.runs)
        chosen = [folder for folder in folders if competition in (None, folder.parent.name)]
        return Runs(tuple(Run(folder, self.workspace) for folder in chosen))

    def inventory(self, competition: str | None = None, *, sort: str = "score") -> Inventory:
        """Runs with score, size on disk, age, findings, and what needs them. sort: `score`, `size` or `age`."""
        from goldfold.workflows.housekeeping.inventory import inventory

        return inventory(self.workspace, competition, sort)

    def clean(
        self, competition: str, *, keep: str | Sequence[str], weights: bool = False, yes: bool = False
    ) -> Cleaning:
        """Say which runs nothing needs, and remove them with `yes`.

        keep: `best:3`, `latest:3` or names of runs. weights: remove only checkpoints of complete fits. What was
        submitted, imported, compared or blended stays, and so does what is running, unfinished or damaged.
        """
        from goldfold.workflows.housekeeping.clean import clean

        return clean(self.workspace, competition, keep, weights=weights, yes=yes)

    def compare(self, runs: Sequence[str | Run], *, accept: Sequence[str] = ()) -> Comparison:
        """Runs of one competition and their differences to the first, paired over folds.

        accept: codes of findings that shall not refuse the comparison, such as `unequal_budget`.
        """
        from goldfold.workflows.compare import compare

        return compare(self.workspace, _names(runs), accept)

    def log(self, competition: str) -> ExperimentLog:
        """Write the experiment log of a competition: every finished run, what changed, and remarks checked again."""
        from goldfold.workflows.experiment_log.log import log

        return log(self.workspace, competition)

    def site(self) -> Site:
        """Write `runs/index.html`, which links all runs, and the reports that are missing or older than their run."""
        from goldfold.workflows.pages.site import site

        return site(self.workspace)

    def ablate(
        self,
        competition: str,
        config: str = "baseline",
        *,
        hidden: bool = False,
        overrides: Sequence[str] = (),
        device: str | None = None,
        accept: Sequence[str] = (),
        workers: int | None = None,
        **values: Any,
    ) -> Ablation:
        """Train the config and the variants of its `ablation:` block, and compare them in one table.

        Finished runs are used again. hidden: refit each on all rows, and score its folds' models and its refit on the
        hidden labels. workers: fits at once; overrides, values, device, accept as in `train`.
        """
        from goldfold.experiment.executors import requested
        from goldfold.workflows.ablate import ablate

        return ablate(
            self.workspace,
            competition,
            config,
            [*overrides, *_overrides(values)],
            hidden=hidden,
            device=device,
            executor=requested(None, workers, None, None),
            accept=accept,
        )

    def blend(
        self, runs: Sequence[str | Run], *, method: str | None = None, weights: Sequence[float] | None = None
    ) -> Run:
        """An ensemble of runs, its weights and method chosen and scored out of fold; a run of its own.

        weights: fixed ones, one for each of `runs`, which may then also name files of test predictions.
        """
        from goldfold.workflows.blend import blend

        return Run(blend(self.workspace, _names(runs), method, weights), self.workspace)

    def import_run(
        self,
        competition: str,
        oof: str | Path,
        test: str | Path,
        *,
        name: str,
        folds: str | Path | None = None,
        like: str | Run | None = None,
    ) -> Run:
        """Make a run `<name>-r<number>` of out-of-fold and test predictions that another program wrote.

        oof, test: CSV or Parquet with a column of ids and a column per class or value, or .npy with `<stem>_ids.csv`
        beside it; `test` may be a submission that is ready to be sent. folds: CSV with id and the fold in which each
        row was held out; without it, or on other folds, the run has the finding `foreign_folds`. like: the run on whose
        folds it is scored, by default those of seed 0.
        """
        from goldfold.workflows.imported.import_run import Files, import_run

        files = Files(oof=Path(oof), test=Path(test), folds=None if folds is None else Path(folds))
        wanted = like.name if isinstance(like, Run) else like
        return Run(import_run(self.workspace, competition, files, name, wanted), self.workspace)

    def tune(
        self,
        competition: str,
        config: str = "baseline",
        *,
        trials: int = 50,
        hours: float | None = None,
        study: str | None = None,
        storage: str | None = None,
        redraws: int = 2,
        prune: bool = True,
        overrides: Sequence[str] = (),
        device: str | None = None,
        accept: Sequence[str] = (),
        executor: str | None = None,
        workers: int | None = None,
        threads: int | None = None,
        gpus: float | None = None,
        **values: Any,
    ) -> StudyResult:
        """Search the config's `search:` block over the folds with Optuna; an existing study is resumed.

        trials: of the whole study. hours: after which no trial begins. storage: a database URL, a journal file by
        default. redraws: new draws of the folds on which the best trial is re-evaluated. prune: end hopeless trials
        early. accept: with `code_changed`, resume a study of other code. workers: trials at once; executor, threads,
        gpus as in `train`.
        """
        from goldfold.experiment.executors import requested
        from goldfold.workflows.studies.tune import tune

        return tune(
            self.workspace,
            competition,
            config,
            [*overrides, *_overrides(values)],
            trials=trials,
            hours=hours,
            study=study,
            storage=storage,
            redraws=redraws,
            prune=prune,
            device=device,
            executor=requested(executor, workers, threads, gpus),
            accept=accept,
        )

    def dashboard(
        self, competition: str, study: str = "baseline", *, storage: str | None = None, port: int = 8322
    ) -> None:
        """Serve a study in the browser with optuna-dashboard until it is interrupted. storage: as in `tune`."""
        from goldfold.workflows.studies.dashboard import dashboard

        dashboard(self.workspace, competition, study, storage=storage, port=port)

    def ledger(self, competition: str | None = None) -> Ledger:
        """Every submission with CV, public and private score, and which two to select."""
        from goldfold.workflows.delivery.ledger import ledger

        return ledger(self.workspace, competition)

    def environment(self) -> Environment:
        """Versions, device, memory, and whether there are Kaggle credentials; nothing secret."""
        from goldfold.workflows.environment import environment

        return environment()

    def __repr__(self) -> str:
        return f"Project({str(self.workspace.root)!r}, {len(self.competitions())} competitions)"


def _overrides(values: Mapping[str, Any]) -> list[str]:
    """Python values as the `key=value` words of the command line, values as JSON, which YAML reads."""
    import json

    return [f"{key}={json.dumps(value, default=str, ensure_ascii=False)}" for key, value in values.items()]


def _names(runs: Sequence[str | Run]) -> list[str]:
    return [run.name if isinstance(run, Run) else run for run in runs]
