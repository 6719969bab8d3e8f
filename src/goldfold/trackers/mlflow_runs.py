"""MLflow: one run there for a run here, whose folds are the prefixes of its metrics.

The run is found again by the tag `goldfold_id`. What a resumed run has in the store is not written again.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from goldfold.trackers.settings import MlflowSettings
from goldfold.trackers.told import Epoch, Result, Start

TAG = "goldfold_id"
LONGEST_VALUE = 500  # characters of a parameter that every version of a server takes
# A server that does not answer holds the training up: MLflow's own limits are 7 attempts of 120 s each.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true"}  # it would tell its makers of every start


class MlflowRun:
    """One MLflow run in a store: a server's, or SQLite below the project."""

    def __init__(self, start: Start, settings: MlflowSettings, root: Path) -> None:
        for name, value in (PATIENCE | SILENT).items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells each table that it creates
        uri = settings.uri or os.environ.get("MLFLOW_TRACKING_URI")
        folder = root / settings.folder
        store = uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        if uri:
            self._client = MlflowClient(store)
            self._run = self._found_or_made(start, settings, None)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):  # two runs must not create one store at a time
                self._client = MlflowClient(store)
                self._run = self._found_or_made(start, settings, (folder / "artifacts").resolve().as_uri())
        self._metrics = dict(self._client.get_run(self._run).data.metrics)
        self._steps: dict[str, set[int]] = {}
        shown = "MLFLOW_TRACKING_URI" if uri and not settings.uri else store  # the variable may hold a password
        self.place = f"mlflow ui --backend-store-uri {shown}" if not uri else f"run {self._run} in {shown}"

    def _found_or_made(self, start: Start, settings: MlflowSettings, artifacts: str | None) -> str:
        """The id of the run there; a new one has its config and its tag from its first moment."""
        from mlflow.entities import Param

        client, name = self._client, settings.experiment or start.competition
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name, artifact_location=artifacts)
        found = client.search_runs([experiment], f"tags.{TAG} = '{start.id}'", max_results=1)
        if found:
            client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id
        tags = {TAG: start.id, "config": str(start.config.get("config")), "recipe": str(start.config.get("recipe"))}
        run = client.create_run(experiment, tags=tags, run_name=start.folder.name).info.run_id
        params = [Param(_key(key), str(value)[:LONGEST_VALUE]) for key, value in start.config.items()]
        for first in range(0, len(params), 100):  # the most that a request may have
            client.log_batch(run, params=params[first : first + 100])
        return run

    def epoch(self, epoch: Epoch) -> None:
        """Log the values of an epoch in one request, if the store does not have them."""
        prefix = f"{epoch.fit}/{epoch.stage}"
        if prefix not in self._steps:
            history = self._client.get_metric_history(self._run, _key(f"{prefix}/loss"))
            self._steps[prefix] = {metric.step for metric in history}
        if epoch.number not in self._steps[prefix]:
            self._log({f"{prefix}/{name}": value for name, value in epoch.values.items()}, epoch.number)
            self._steps[prefix].add(epoch.number)

    def scored(self, fit: str, scores: Mapping[str, float]) -> None:
        """Log the scores of a complete fit, at step 0."""
        self._log_changed({f"{fit}/final/{name}": value for name, value in scores.items()})

    def finished(self, result: Result) -> None:
        """Log scores, findings, pictures and the record of a finished run; the codes of findings become a tag."""
        client, run = self._client, self._run
        self._log_changed({f"cv/{name}": value for name, value in result.scores.items()})
        client.set_tag(run, "findings", ", ".join(result.codes)[:LONGEST_VALUE])
        client.log_dict(run, {"findings": result.findings}, "findings.json")
        client.log_artifact(run, str(result.record))
        for picture in result.pictures:
            client.log_artifact(run, str(picture), "pictures")

    def close(self, failed: bool) -> None:
        """End the run, with a failure if it did not finish."""
        self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")

    def _log_changed(self, values: Mapping[str, float]) -> None:
        self._log({name: value for name, value in values.items() if self._metrics.get(_key(name)) != value}, 0)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_key(name), value, now, step) for name, value in values.items()]
        for first in range(0, len(metrics), 1000):  # the most that a request may have
            self._client.log_batch(self._run, metrics=metrics[first : first + 1000])


def _key(name: str) -> str:
    """A name with only those characters that MLflow allows.

    >>> _key("fold0-seed0/fit/score/recall@1")
    'fold0-seed0/fit/score/recall_at_1'
    """
    return re.sub(r"[^\w\-. /]", "_", name.replace("@", "_at_"))
