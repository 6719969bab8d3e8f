"""A run as a value: scores, predictions, submission and findings read from its folder, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from goldfold.errors import GoldfoldError
from goldfold.experiment import run_results
from goldfold.experiment.run_folders import FINISHED, run_name
from goldfold.experiment.run_results import Predictions as Predictions
from goldfold.io.files import read_json

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.experiment.workspace import Workspace
    from goldfold.trust.audits import Finding
    from goldfold.workflows.audit.result import Audit
    from goldfold.workflows.delivery.export import Exported
    from goldfold.workflows.delivery.notebook import Notebook
    from goldfold.workflows.delivery.rank import Ranks
    from goldfold.workflows.delivery.submit import Submitted
    from goldfold.workflows.epochs import Atlas
    from goldfold.workflows.experiment_log.remark import Remarked
    from goldfold.workflows.gains import Gains
    from goldfold.workflows.pages.maps import Maps
    from goldfold.workflows.query import Answers
    from goldfold.workflows.refit import Refit
    from goldfold.workflows.track import Tracked


@dataclass(frozen=True)
class Run:
    """A run folder, `runs/<competition>/<config>-r<number>`; everything is read when it is asked for.

    >>> import goldfold as gf
    >>> run = gf.Project(".").run("digits/baseline-r1")  # doctest: +SKIP
    >>> run.scores, run.oof, run.findings  # doctest: +SKIP
    """

    folder: Path
    workspace: Workspace

    @property
    def name(self) -> str:
        """Competition and run, such as `digits/baseline-r1`."""
        return run_name(self.folder)

    @property
    def competition(self) -> str:
        return self.folder.parent.name

    @property
    def finished(self) -> bool:
        return (self.folder / FINISHED).exists()

    @property
    def config(self) -> dict[str, Any]:
        """Every key of the config with its value, defaults included."""
        return read_json(self.folder / "config.json")

    @property
    def metrics(self) -> Mapping[str, Mapping[str, Any]]:
        """Metric name -> its summary: protocol, folds, mean, sd, intervals, chance level, range."""
        return run_results.metrics(self.folder)

    @property
    def scores(self) -> DataFrame:
        """A row per metric: mean over folds, sd (ddof=1), 95 % interval (t over folds), chance level, pooled score.

        A run with `decide:` has a column `decided`, the mean of its nested scores.
        """
        return run_results.scores(self.folder)

    @property
    def fold_scores(self) -> DataFrame:
        """A row per fold, a column per metric."""
        return run_results.fold_scores(self.folder)

    @property
    def oof(self) -> DataFrame | Predictions:
        """Out-of-fold predictions with their ids: a DataFrame, or `Predictions` for maps and the like."""
        return run_results.predictions(self.folder, "oof")

    @property
    def test(self) -> DataFrame | Predictions:
        """Test predictions, combined over all fits, with their ids; as `oof`."""
        return run_results.predictions(self.folder, "test")

    @property
    def folds(self) -> DataFrame:
        """id, and the fold that validates on it (-1: none)."""
        return run_results.folds(self.folder)

    @property
    def submission_path(self) -> Path:
        return self.workspace.submission_path(self.folder)

    @property
    def submission(self) -> DataFrame:
        """The checked submission, every cell as text, exactly as it is uploaded.

        Raises:
            GoldfoldError: the run wrote none, since it breaks a rule of its competition.
        """
        if not self.submission_path.exists():
            raise GoldfoldError("no_submission", f"run '{self.name}' wrote no {self.submission_path}: see its findings")
        return run_results.text_table(self.submission_path)

    @property
    def findings(self) -> list[Finding]:
        """What the audits found."""
        from goldfold.trust.audits import Finding

        return [Finding(**each) for each in read_json(self.folder / "findings.json")]

    @property
    def record(self) -> str:
        """The text of record.md."""
        return (self.folder / FINISHED).read_text(encoding="utf-8")

    @property
    def pictures(self) -> list[Path]:
        """The run's pictures."""
        return sorted(self.folder.glob("*.png"))

    def summary(self) -> str:
        """Scores, findings and files as text, as `goldfold score` prints them."""
        from goldfold.report.run import summary

        return summary.text(self.folder)

    def show(self) -> None:
        """Display the record and the pictures in Jupyter; print the summary elsewhere."""
        from goldfold.report.run import display

        display.show(self.folder)

    def report(self) -> Path:
        """Write `report.html` into the folder: the run on one page, with its pictures inside; returns its path."""
        from goldfold.workflows.pages.report import report

        return report(self.workspace, self.folder)

    def maps(
        self, side: Literal["test", "oof"] = "test", ids: Sequence[str] = (), threshold: float | None = None
    ) -> Maps:
        """Write the anomaly map of every test or out-of-fold image at its size, and boxes of what it marks.

        ids: images to write; all by default. threshold: in units of the map; 5 % of normal images reach the default.
        """
        from goldfold.workflows.pages.maps import maps

        return maps(self.workspace, self.folder, side=side, ids=ids, threshold=threshold)

    def refit(
        self,
        *,
        epochs: int | Literal["median", "same-steps"] = "median",
        seeds: Sequence[int] = (),
        with_folds: bool = False,
        device: str | None = None,
        accept: Sequence[str] = (),
    ) -> Refit:
        """Train the config on all rows and write a second submission; its CV is that of the run's folds.

        epochs: the median of those that the folds selected, as many optimizer steps as in a fold, or a number. seeds:
        the run's by default. with_folds: the submission combines the folds' models and the refits.
        """
        from goldfold.workflows.refit import refit

        return refit(
            self.workspace, self.folder, epochs=epochs, seeds=seeds, with_folds=with_folds, device=device, accept=accept
        )

    def audit(self, *, device: str | None = None, accept: Sequence[str] = ()) -> Audit:
        """All audits of the finished run again: data, folds, fits, scores, and predictions in other batches.

        accept: codes of findings that do not count as errors, beside those of the config.
        """
        from goldfold.workflows.audit.run import audit_run

        return audit_run(self.workspace, self.folder, device=device, accept=accept)

    def grade(self) -> float:
        """The submission's score on the hidden labels of a competition that keeps them."""
        from goldfold.workflows.delivery.grade import grade

        return grade(self.workspace, self.folder)

    def pick(
        self, epoch: int | Sequence[int], *, by: str = "uniform", device: str | None = None, accept: Sequence[str] = ()
    ) -> Run:
        """A new run that predicts with the weights of `epoch` (1-based), or with an average of several epochs.

        by: uniform, or what a greedy soup is chosen by: best, or the name of a monitored value. Nothing is trained.
        """
        from goldfold.workflows.pick import pick

        return Run(pick(self.workspace, self.folder, epoch, by=by, device=device, accept=accept), self.workspace)

    def atlas(
        self,
        *,
        fold: int | None = None,
        seed: int | None = None,
        ids: Sequence[str] = (),
        device: str | None = None,
        accept: Sequence[str] = (),
    ) -> Atlas:
        """The epoch atlas of one fit: pictures and scores of every kept epoch for some rows.

        fold, seed: the lowest numbers by default. ids: of the train table; twelve rows of the fold by default.
        """
        from goldfold.workflows.epochs import epochs

        return epochs(self.workspace, self.folder, fold=fold, seed=seed, ids=ids, device=device, accept=accept)

    def gains(
        self, views: Sequence[str] | None = None, *, device: str | None = None, accept: Sequence[str] = ()
    ) -> Gains:
        """What test-time views, seeds and folds together gain, and what they cost; nothing is trained.

        views: names of sets of views; all the recipe knows by default.
        """
        from goldfold.workflows.gains import gains

        return gains(self.workspace, self.folder, views, device=device, accept=accept)

    def query(
        self,
        images: Sequence[str | Path] = (),
        ids: Sequence[str] = (),
        *,
        text: str | None = None,
        top: int | None = None,
        device: str | None = None,
        accept: Sequence[str] = (),
    ) -> Answers:
        """The rows nearest to images or to rows of the tables, by embeddings or codes, and tags by a classifier.

        images: files of any mode and size. ids: of the train or of the test table. text: of the images, for a run that
        reads texts. top: rows per query, 10 or all of fewer by default.
        """
        from goldfold.workflows.query import query

        return query(self.workspace, self.folder, images, ids, text=text, top=top, device=device, accept=accept)

    def notebook(
        self, *, accept: Sequence[str] = (), hours: float = 9.0, rows: int | None = None, export: bool = False
    ) -> Notebook:
        """The run, or the blend, as a Kaggle data set and notebook that predict without internet.

        hours: that the competition gives a notebook. rows: of its hidden test set, by default the test rows here.
        export: predict by the run's export, without its weights.
        """
        from goldfold.workflows.delivery.notebook import notebook

        return notebook(self.workspace, self.folder, accept=accept, hours=hours, rows=rows, export=export)

    def export(
        self, format_: str = "onnx", *, tolerance: float = 1e-4, measure: bool = False, accept: Sequence[str] = ()
    ) -> Exported:
        """All fits as one model that predicts without goldfold and torch, compared with the run and timed.

        format_: onnx or openvino. tolerance: largest difference to the run's predictions of test rows, times the
        largest prediction if that is above 1. measure: time more rows, and torch compiled and in channels_last, too.
        """
        from goldfold.workflows.delivery.export import export

        return export(self.workspace, self.folder, format_=format_, tolerance=tolerance, measure=measure, accept=accept)

    def track(self, to: str | Sequence[str] | Mapping[str, Any] | None = None) -> Tracked:
        """Send the run to experiment trackers, or what they lack of it: history, scores, findings, pictures, record.

        to: `tensorboard`, `wandb`, `mlflow`, a list of them, or a mapping to their settings, such as
        {"wandb": {"project": "solar"}}; by default those that it was sent to before.
        """
        from goldfold.workflows.track import track

        return track(self.workspace, self.name, to)

    def remark(self, text: str = "", *, accept: Sequence[str] = (), **fields: str) -> Remarked:
        """Add a remark to the experiment log; what it claims is checked, and refused where the table contradicts it.

        fields: conclusion, next, against (a run), category, name. accept: `remark_untrue` stores it, struck through.
        """
        from goldfold.workflows.experiment_log.remark import remark

        return remark(self.workspace, self.folder, {"text": text, **fields}, accept)

    def submit(self, to: str = "kaggle", message: str = "", **options: Any) -> Submitted:
        """Upload the submission through the kaggle client and wait for its score. to: `kaggle` or `local`.

        options: refit, again, late (bool), wait (seconds), accept: see `goldfold.workflows.delivery.submit.submit`.
        """
        from goldfold.workflows.delivery.submit import submit

        return submit(self.workspace, self.folder, to=to, message=message, **options)

    def rank(self, board: str | Path | None = None, score: float | None = None) -> Ranks:
        """The rank and medal the run's scores would have had on a real leaderboard."""
        from goldfold.workflows.delivery.rank import rank

        return rank(self.workspace, self.folder, board=board, score=score)

    def __repr__(self) -> str:
        if not self.finished:
            return f"Run({self.name}, not finished)"
        name, summary = next(iter(self.metrics.items()))
        return f"Run({self.name}, {name} {summary['mean']:.4f}, {len(self.findings)} findings)"

    def _repr_markdown_(self) -> str:
        return self.record if self.finished else f"`{self!r}`"
