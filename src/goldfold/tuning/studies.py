"""A study shared by several workers: who runs which trial, results of trials, recovery of trials of dead workers."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from goldfold.errors import GoldfoldError
from goldfold.experiment.identity.fingerprint import code_hash
from goldfold.io.files import read_json, write_json
from goldfold.io.seeding import derive
from goldfold.tuning.basis import CODE_CHANGES, Basis, check_basis, check_code
from goldfold.tuning.search_space import Space
from goldfold.tuning.storages import UNREACHABLE, StudyStorage
from goldfold.tuning.trials import State, TrialRecord
from goldfold.tuning.workers import BEAT, Worker

ATTEMPTS = 3  # of workers that died without finishing one more fold, before a trial fails
TRIAL = "trial.json"
KEPT = {"number", "state", "params", "value", "folds", "curves", "fits", "reason", "worker", "code"}  # its keys
STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
ENDS: dict[str, TrialState] = {name: state for state, name in STATES.items() if name != "running"}


@dataclass(frozen=True)
class Claim:
    """A trial claimed by this process; known: its record, with what an earlier worker finished."""

    trial: optuna.Trial
    known: TrialRecord


@dataclass(frozen=True)
class Study:
    """A study in its storage; folder: holds each trial's fits and its record, in case the storage is lost."""

    study: optuna.Study
    space: Space
    basis: Basis
    storage: StudyStorage
    folder: Path

    @property
    def code_changes(self) -> tuple[str, ...]:
        """How the code changed between commands of the study, where that was accepted."""
        return tuple(self.study.user_attrs.get(CODE_CHANGES, ()))

    def records(self) -> list[TrialRecord]:
        """Return the record of every trial that was started, by number."""
        return [self._record(trial) for trial in self.study.get_trials(deepcopy=False) if trial.state in STATES]

    def claim(self, worker: Worker, limit: int) -> Claim | None:
        """Claim the next trial: one left by a dead worker, else a new one; None if `limit` trials were started."""
        with self.storage.exclusive():
            trials = self.study.get_trials(deepcopy=False)
            for left in trials:
                if left.state is TrialState.RUNNING and not self._is_alive(worker, left):
                    if left.user_attrs.get("attempts", 1) < ATTEMPTS:
                        return self._claimed(optuna.Trial(self.study, left._trial_id), worker)
                    self._give_up(left)
            begun = sum(trial.state in STATES for trial in trials)
            if begun >= limit:
                return None
            self.study.sampler = optuna.samplers.TPESampler(seed=derive(self.study.study_name, begun))
            return self._claimed(self.study.ask(), worker)

    def has_running_trials(self) -> bool:
        """Whether a trial has not ended, with its worker alive or dead."""
        return any(trial.state is TrialState.RUNNING for trial in self.study.get_trials(deepcopy=False))

    def note(self, claim: Claim, record: TrialRecord) -> None:
        """Store the progress of a running trial; a step is a fold, in the study's order."""
        self._tell(claim.trial, record)
        if len(record.folds) > len(claim.known.folds):  # an earlier attempt has reported the others
            claim.trial.set_user_attr("attempts", 0)
            values = list(record.folds.values())
            claim.trial.report(sum(values) / len(values), step=len(values))

    def end(self, claim: Claim, record: TrialRecord) -> None:
        """Store the result of a trial."""
        self._tell(claim.trial, record)
        self.study.tell(claim.trial, record.value, ENDS[record.state], skip_if_finished=True)

    def release(self, claim: Claim) -> None:
        """Leave a trial open whose machine failed: the next worker resumes it, and it is no failed attempt."""
        with suppress(*UNREACHABLE):
            claim.trial.set_user_attr("attempts", 0)

    def keep(self, record: TrialRecord, code: str) -> None:
        """Write the record of a trial beside its fits; code: hash of the code that made them."""
        known = {name: value for name, value in asdict(record).items() if name not in ("started", "ended")}
        known |= {"folds": list(record.folds.items()), "curves": list(record.curves.items()), "code": code}
        write_json(self.trial_folder(record.params) / TRIAL, known)

    def trial_folder(self, params: Mapping[str, Any]) -> Path:
        """The folder of fits with these parameters: equal parameters are not fitted twice."""
        return self.folder / "trials" / _key(params)

    @contextmanager
    def heartbeat(self, claim: Claim) -> Iterator[None]:
        """While this context lasts, store signs of life of the claim's worker for other machines."""
        over = Event()

        def beat() -> None:
            while not over.wait(BEAT):
                with suppress(*UNREACHABLE):
                    claim.trial.set_user_attr("beat", time.time())

        if self.storage.shared:
            Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _is_alive(self, worker: Worker, left: FrozenTrial) -> bool:
        attrs = left.user_attrs
        return worker.is_alive(attrs.get("worker", ""), attrs.get("beat", 0.0) if self.storage.shared else 0.0)

    def _claimed(self, trial: optuna.Trial, worker: Worker) -> Claim:
        attempts = trial.user_attrs.get("attempts", 0) + 1
        for name, value in {"worker": worker.name, "beat": time.time(), "attempts": attempts}.items():
            trial.set_user_attr(name, value)
        self.space.drawn(trial, self.basis.config)
        return Claim(trial, self._record(self.study._storage.get_trial(trial._trial_id)))

    def _give_up(self, left: FrozenTrial) -> None:
        trial = optuna.Trial(self.study, left._trial_id)
        trial.set_user_attr("reason", f"{ATTEMPTS} workers were killed in it")
        self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def _tell(self, trial: optuna.Trial, record: TrialRecord) -> None:
        trial.set_user_attr("folds", list(record.folds.items()))
        trial.set_user_attr("curves", list(record.curves.items()))
        trial.set_user_attr("fits", record.fits)
        trial.set_user_attr("reason", record.reason)

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        attrs, params = trial.user_attrs, trial.params
        return TrialRecord(
            number=trial.number,
            state=STATES[trial.state],
            params={entry.key: entry.value(params[entry.key]) for entry in self.space.entries if entry.key in params},
            value=trial.value if trial.state is TrialState.COMPLETE else None,
            folds=dict(attrs.get("folds", ())),
            curves={fold: [tuple(point) for point in curve] for fold, curve in attrs.get("curves", ())},
            reason=attrs.get("reason", ""),
            fits=attrs.get("fits", 0.0),
            worker=attrs.get("worker", ""),
            started=trial.datetime_start,
            ended=trial.datetime_complete,
        )


def open_study(
    name: str, space: Space, basis: Basis, storage: StudyStorage, folder: Path, *, mixes_code: bool = False
) -> Study:
    """Start or resume the study `name` of a competition; trials in `folder` that the storage lacks are added.

    mixes_code: resume it with other code, too: earlier trials keep their scores.

    Raises:
        GoldfoldError: it was started with another basis or other code (the message says what changed), or the storage
            does not answer.
    """
    with storage.reached(str(folder)), storage.exclusive():
        study = optuna.create_study(
            storage=storage.backend,
            study_name=f"{basis.competition}/{name}",
            direction="maximize" if basis.higher_is_better else "minimize",
            pruner=optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        now = json.loads(json.dumps(asdict(basis)))
        if "basis" not in study.user_attrs:
            study.set_user_attr("basis", now)
        check_basis(name, study.user_attrs["basis"], now)
        check_code(study, now, mixes_code)
        found = Study(study, space, basis, storage, folder)
        _add_lost_trials(found)
        if not any(trial.user_attrs.get("baseline") for trial in study.get_trials(deepcopy=False)):
            study.enqueue_trial(space.own(basis.config), user_attrs={"baseline": True})
    return found


def _key(params: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(params), sort_keys=True).encode()).hexdigest()[:12]


def _add_lost_trials(found: Study) -> None:
    """Add finished trials of the same code that the storage does not know, because it was lost or did not answer."""
    known, code = {_key(record.params) for record in found.records()}, code_hash(found.basis.code)
    kept = [kept_record(path) for path in found.folder.glob(f"trials/*/{TRIAL}")]
    kept = [each for each in kept if each.get("code") == code]
    for each in sorted(kept, key=lambda each: each["number"]):
        if each["state"] in ENDS and _key(each["params"]) not in known:
            found.study.add_trial(_frozen(found, each))


def kept_record(path: Path) -> dict[str, Any]:
    """A record that `Study.keep` wrote; empty if it is damaged, so that its trial is run again."""
    with suppress(GoldfoldError):
        found = read_json(path, dict)
        if found.keys() >= KEPT and isinstance(found["params"], dict) and isinstance(found["folds"], list):
            return found
    return {}


def _frozen(found: Study, kept: Mapping[str, Any]) -> FrozenTrial:
    entries = {entry.key: entry for entry in found.space.entries if entry.key in kept["params"]}
    own = {entry.key: found.basis.config[entry.key] for entry in entries.values()}
    means = [sum(value for _, value in kept["folds"][:count]) / count for count in range(1, len(kept["folds"]) + 1)]
    attrs = {name: kept[name] for name in ("folds", "curves", "fits", "reason", "worker")}
    value = kept["value"]
    if kept["state"] != "complete":
        value = means[-1] if kept["state"] == "pruned" and means else None
    return optuna.trial.create_trial(
        state=ENDS[kept["state"]],
        params={key: entry.stored(kept["params"][key]) for key, entry in entries.items()},
        distributions={key: entry.distribution for key, entry in entries.items()},
        user_attrs=attrs | ({"baseline": True} if kept["params"] == own else {}),
        intermediate_values=dict(enumerate(means, 1)),
        value=value,
    )
