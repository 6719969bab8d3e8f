"""Studies: trials equal runs, killed workers, lost storages, a changed basis, and the result of `tune`."""

from __future__ import annotations

import gc
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from page_tags import Tags

import goldfold as gf
from goldfold.errors import GoldfoldError
from goldfold.experiment.executors import ExecutorRequest
from goldfold.experiment.executors.jobs import Share
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.io.progress import Observer
from goldfold.tuning import crew, storages
from goldfold.tuning.work import Asked, opened, work, work_elsewhere
from goldfold.tuning.workers import Worker
from goldfold.workflows.studies.dashboard import dashboard
from goldfold.workflows.studies.tune import tune
from goldfold.workflows.train import train

SEARCH = """
search:
  learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}
  dropout: [0.0, 0.2, 0.5]
"""
ASKED = Asked(competition="blobs", config="perceptron", overrides=(), study="perceptron", trials=4, prune=False)


@pytest.fixture
def searched(toy: Path) -> Path:
    path = toy / "configs" / "blobs" / "perceptron.yaml"
    path.write_text(path.read_text() + SEARCH)
    return toy


def records(asked: Asked = ASKED):
    return opened(asked)[1].records()


def test_a_trial_is_the_score_of_the_same_run(searched):
    """Trial 0 is the config itself, to the bit what `score` prints of a run; so is any other."""
    assert work(ASKED) == 4
    found = records()
    assert [record.number for record in found] == [0, 1, 2, 3]
    assert found[0].params == {"learning_rate": 0.01, "dropout": 0.2}
    for record in found[:2]:
        overrides = [f"{key}={value}" for key, value in record.params.items()]
        run = train(Workspace(), "blobs", "perceptron", overrides, device="cpu")
        (metric, summary), *_ = read_json(run / "metrics.json").items()
        assert metric == "auroc"
        assert record.value == summary["mean"]
        assert {str(fold): value for fold, value in record.folds.items()} == summary["folds"]
    assert all(record.fits == 3 and record.state == "complete" for record in found)
    assert all(len(curve) == 4 and curve[-1][0] == 1 for record in found for curve in record.curves.values())


def test_folds_come_in_one_shuffled_order(searched):
    orders = {tuple(opened(replace(ASKED, study=f"s{n}"))[1].basis.order) for n in range(8)}
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert len(orders) > 1
    work(replace(ASKED, trials=2))
    order = opened(ASKED)[1].basis.order
    assert [list(record.folds) for record in records()] == [list(order)] * 2


@pytest.mark.slow
def test_equal_studies_draw_equal_trials_and_going_on_is_no_other_study(searched):
    work(replace(ASKED, study="whole", trials=14))
    work(replace(ASKED, study="whole2", trials=14))
    for trials in (3, 8, 14):
        work(replace(ASKED, study="parts", trials=trials))
    whole, parts = (opened(replace(ASKED, study=name, trials=14))[1].records() for name in ("whole", "parts"))
    assert len(whole) == len(parts) == 14
    assert len({str(record.params) for record in parts}) == 14  # a worker that begins anew does not draw the same again


KILLED = """
import os, signal, sys
from goldfold.tuning.work import Asked, work
from goldfold.experiment.fits import fitting

left = int(sys.argv[1])
save = fitting.save_fit

def watched(fit, place, spent=None):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    save(fit, place, spent)

fitting.save_fit = watched
work(Asked(competition="blobs", config="perceptron", overrides=(), study="perceptron", trials=6, prune=False))
"""


def killed(after: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(after)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_a_killed_workers_trial_goes_on_from_its_folds(searched):
    killed(after=5)  # while it saves the second fold of trial 1
    left = records()
    assert [record.state for record in left] == ["complete", "running"]
    folder = opened(ASKED)[1].trial_folder(left[1].params)
    first = folder / f"fold{opened(ASKED)[1].basis.order[0]}-seed0"
    before = (first / "fit.json").stat().st_mtime_ns
    work(replace(ASKED, trials=6))
    found = records()
    assert [record.state for record in found] == ["complete"] * 6
    assert found[1].params == left[1].params
    assert found[1].fits == 3
    assert (first / "fit.json").stat().st_mtime_ns == before  # read, not fitted again
    work(replace(ASKED, study="undisturbed", trials=2))
    assert records(replace(ASKED, study="undisturbed"))[0].value == found[0].value


@pytest.mark.slow
def test_a_trial_that_kills_its_workers_is_given_up(searched):
    for _ in range(3):
        killed(after=1)
    work(replace(ASKED, trials=2))
    found = records()
    assert [record.state for record in found] == ["failed", "complete"]
    assert found[0].reason == "3 workers were killed in it"


@pytest.mark.slow
def test_a_worker_that_finishes_a_fold_gives_the_trial_more_attempts(searched):
    for after in (1, 1, 2):  # the third saves a fold of trial 0 and dies in the next
        killed(after)
    assert [(record.state, len(record.folds)) for record in records()] == [("running", 1)]
    work(replace(ASKED, trials=1))
    assert [record.state for record in records()] == ["complete"]


def test_a_live_workers_trial_is_not_taken(searched):
    study = opened(ASKED)[1]
    one, other = (Worker.in_folder(ASKED.folder / "workers") for _ in range(2))
    first, second = study.claim(one, 9), study.claim(other, 9)
    assert [first.known.number, second.known.number] == [0, 1]
    one.leave()
    assert study.claim(other, 9).known.number == 0


def test_a_worker_waits_for_the_others_and_takes_over_from_the_dead(searched):
    """The last trial is claimed by a worker that ends, without it, while another finds no trial left to begin."""
    study = opened(ASKED)[1]
    other = Worker.in_folder(ASKED.folder / "workers")
    study.claim(other, 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(work, replace(ASKED, trials=1))
        assert not wait([waiting], timeout=3).done
        other.leave()
        assert waiting.result() == 1
    assert [record.state for record in records()] == ["complete"]


def test_a_line_cut_by_a_crash_is_cut_off(searched):
    work(replace(ASKED, trials=2))
    journal = ASKED.folder / "journal.log"
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"worker')
    work(replace(ASKED, trials=3))
    assert [record.state for record in records()] == ["complete"] * 3


def test_a_damaged_line_in_the_middle_loses_no_trial(searched):
    work(replace(ASKED, trials=2))
    before = records()
    journal = ASKED.folder / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = b"\x00\xff" * 20 + b"\n"
    journal.write_bytes(b"".join(lines))
    assert [(record.params, record.value) for record in records()] == [(r.params, r.value) for r in before]
    assert (ASKED.folder / "journal-damaged.log").exists()


def test_what_lies_in_the_folder_outlives_its_storage(searched):
    work(ASKED)
    before = records()
    (ASKED.folder / "journal.log").unlink()
    after = records()
    assert [(r.params, r.value, r.folds, r.curves) for r in after] == [
        (r.params, r.value, r.folds, r.curves) for r in before
    ]
    work(replace(ASKED, trials=5))
    assert [record.state for record in records()] == ["complete"] * 5
    assert records()[4].params not in [record.params for record in before]


@pytest.mark.slow
def test_a_storage_that_fails_while_a_trial_runs_keeps_what_was_trained(searched):
    """The journal is turned into a folder while trial 0 is fitted; the sentence says what to do, and that works."""
    journal = ASKED.folder / "journal.log"
    script = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "os.rename(J, J + '.away'); os.mkdir(J)")
    script = script.replace("left = int", f"J = {str(journal.resolve())!r}\nleft = int")
    done = subprocess.run([sys.executable, "-c", script, "2"], capture_output=True, text=True)
    assert "cannot be reached" in done.stderr
    assert "Run the same command" in done.stderr
    kept = [read_json(path) for path in ASKED.folder.glob("trials/*/trial.json")]
    assert [(each["state"], len(each["folds"])) for each in kept] == [("complete", 3)]
    journal.rmdir(), journal.with_name("journal.log.away").rename(journal)
    fits = {path: path.stat().st_mtime_ns for path in ASKED.folder.glob("trials/*/fold*/fit.json")}
    work(replace(ASKED, trials=1))
    assert [(record.state, record.value) for record in records()] == [("complete", kept[0]["value"])]
    assert {path: path.stat().st_mtime_ns for path in fits} == fits


def test_fits_of_other_code_are_made_again(searched):
    killed(after=3)
    path = next(ASKED.folder.glob("trials/*/trial.json"))
    path.write_text(json.dumps(read_json(path) | {"code": "other"}))
    old = {each: each.stat().st_mtime_ns for each in path.parent.glob("fold*/fit.json")}
    assert len(old) == 2
    work(replace(ASKED, trials=1))
    assert all(each.stat().st_mtime_ns > time for each, time in old.items())


def test_trials_of_other_code_are_not_compared_unless_that_is_accepted(searched):
    """The best config would name a score that the new code cannot reach."""
    work(replace(ASKED, trials=1))
    source = searched / "competitions" / "blobs" / "__init__.py"
    source.write_text(source.read_text(encoding="utf-8").replace("nn.ReLU()", "nn.Tanh()"), encoding="utf-8")
    with pytest.raises(GoldfoldError) as refused:
        opened(ASKED)
    assert refused.value.code == "code_changed"
    assert "changed competitions.blobs" in str(refused.value)
    accepted = replace(ASKED, accept=("code_changed",))
    _, study = opened(accepted)
    assert study.code_changes == ("changed competitions.blobs",)
    assert opened(ASKED)[1].code_changes == study.code_changes  # told once, remembered for the record
    path = next(ASKED.folder.glob("trials/*/trial.json"))
    (ASKED.folder / "journal.log").unlink()
    assert records() == []  # a lost storage is not refilled with trials of other code
    assert path.exists()


@pytest.mark.parametrize(
    ("change", "overrides", "told"),
    [
        ((", high: 1.0e-1", ", high: 2.0e-1"), (), 'the search of learning_rate was {"low": 0.001, "high": 0.1'),
        (("  dropout: [0.0, 0.2, 0.5]\n", ""), (), "the search of dropout was [0.0, 0.2, 0.5] and is absent"),
        (("", ""), ("epochs=5",), "the config's epochs was 4 and is 5"),
        (("", ""), ("seed=1",), "the folds changed"),
    ],
)
def test_another_basis_is_another_study(searched, change, overrides, told):
    work(replace(ASKED, trials=1))
    path = searched / "configs" / "blobs" / "perceptron.yaml"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(GoldfoldError) as refused:
        opened(replace(ASKED, overrides=overrides))
    assert refused.value.code == "study_changed"
    assert told in str(refused.value)
    assert "STUDY=" in str(refused.value)
    assert records(replace(ASKED, study="another", overrides=overrides)) == []


def test_trials_fail_with_their_reason_and_the_config_itself_must_not(searched):
    path = searched / "configs" / "blobs" / "perceptron.yaml"
    path.write_text(path.read_text().replace("dropout: [0.0, 0.2, 0.5]", "learning_rate: [0.01, 1.0e30]"))
    path.write_text(path.read_text().replace("  learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}\n", ""))
    with pytest.raises(GoldfoldError, match="5 trials in a row") as refused:
        work(replace(ASKED, trials=40))
    assert refused.value.code == "trials_failed"
    failed = [record for record in records() if record.state == "failed"]
    assert failed
    assert all("learning rate" in record.reason for record in failed)
    with pytest.raises(GoldfoldError) as refused:
        work(replace(ASKED, study="hopeless", overrides=("learning_rate=1e30",)))
    assert refused.value.code == "baseline_trial_failed"


@pytest.mark.parametrize(
    ("url", "code", "shown"),
    [
        ("nowhere", "invalid_storage_url", "'nowhere'"),
        ("oracle://host/database", "storage_driver_missing", "oracle://host/database"),
        (
            "postgresql://gold:secret@127.0.0.1:1/tuning",
            "storage_unreachable",
            "postgresql+psycopg://gold:***@127.0.0.1:1/tuning",
        ),
    ],
)
def test_storages_that_are_none(tmp_path, url, code, shown):
    with pytest.raises(GoldfoldError) as refused:
        storages.open_storage(url, tmp_path)
    assert refused.value.code == code
    assert shown in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_lock_the_system_frees(tmp_path):
    """A journal's lock of a killed process is free at once, so the others do not wait."""
    storage = storages.open_storage(None, tmp_path)
    held = "import sys, os\nfrom filelock import FileLock\nFileLock(sys.argv[1]).acquire()\nos.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", held, str(tmp_path / "journal.lock")])
    assert (tmp_path / "journal.lock").exists()
    FileLock(tmp_path / "journal.lock").acquire(timeout=0)
    assert storage.shown == str(tmp_path / "journal.log")
    shutil.rmtree(tmp_path)


CREW = KILLED.replace("trials=6", "trials=int(sys.argv[2]), storage=sys.argv[4] or None").replace(
    "    save(fit, place)\n", "    save(fit, place)\n    print(place, file=open(sys.argv[3], 'a'), flush=True)\n"
)


def killed_crew(trials: int, workers: int, seed: int, storage: str = "", kills: int = 1) -> list[str]:
    """Workers side by side, each killed at a fit drawn at random and begun again; returns the fits saved, in order."""
    draw = random.Random(seed)
    told = ASKED.folder.parent / "saved.txt"
    told.parent.mkdir(parents=True, exist_ok=True)

    def begun(after: int) -> subprocess.Popen:
        command = [sys.executable, "-c", CREW, str(after), str(trials), str(told), storage]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    with ThreadPoolExecutor(workers) as crew:

        def carry_on(first: list[int]) -> None:
            for after in [*first, 10**9]:
                worker = begun(after)
                _, errors = worker.communicate()
                assert worker.returncode in (0, -signal.SIGKILL), errors

        list(
            crew.map(carry_on, [[draw.randint(1, 3 * trials // workers) for _ in range(kills)] for _ in range(workers)])
        )
    return told.read_text().splitlines()


def check_none_lost_none_doubled(asked: Asked, saved: list[str]) -> None:
    found = records(asked)
    assert [record.number for record in found] == list(range(asked.trials))
    assert {record.state for record in found} == {"complete"}
    assert all(len(record.folds) == 3 and record.fits == 3 for record in found)
    assert len(saved) == len(set(saved)), "a fit that was whole was made again"


@pytest.mark.slow
def test_two_killed_workers_lose_and_double_no_trial(searched):
    saved = killed_crew(trials=8, workers=2, seed=0)
    check_none_lost_none_doubled(replace(ASKED, trials=8), saved)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_four_killed_workers_lose_and_double_none_of_200_trials(searched, seed):
    saved = killed_crew(trials=200, workers=4, seed=seed, kills=3)
    check_none_lost_none_doubled(replace(ASKED, trials=200), saved)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of a database of a PostgreSQL server started for these tests, of Debian's package."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql")
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user 'postgres'")
    folder = Path(tempfile.mkdtemp(prefix="goldfold-pg-"))
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program: str, *arguments: str) -> None:
        command = [str(programs[-1].with_name(program)), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, user=user.pw_uid if user else None)

    call("initdb", "-D", str(folder / "data"), "-U", "gold", "-A", "trust")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    call("pg_ctl", "-D", str(folder / "data"), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "gold", "tuning")
        yield f"postgresql://gold:geheim@127.0.0.1:{port}/tuning"
    finally:
        with warnings.catch_warnings():  # open connections of studies, which would fail a later test when collected
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        call("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.mark.slow
def test_killed_workers_meet_in_postgresql(searched, postgresql):
    saved = killed_crew(trials=8, workers=2, seed=1, storage=postgresql)
    asked = replace(ASKED, trials=8, storage=postgresql)
    check_none_lost_none_doubled(asked, saved)
    _, study = opened(asked)
    assert "geheim" not in study.storage.shown
    assert study.storage.shared


def test_another_machine_s_worker_lives_by_its_signs_of_life(searched, postgresql):
    """A worker whose lock lies elsewhere is dead when it has been silent, not before."""
    study = opened(replace(ASKED, study="elsewhere", storage=postgresql))[1]
    here = Worker.in_folder(ASKED.folder / "workers")
    there = Worker.in_folder(searched / "another machine")
    claim = study.claim(there, 9)
    assert study.claim(here, 9).known.number == 1
    claim.trial.set_user_attr("beat", 0.0)
    assert study.claim(here, 9).known.number == 0


TUNE = ("tune", "--comp", "blobs", "--config", "perceptron")


@pytest.mark.slow
def test_the_command_writes_a_record_and_the_best_as_a_config(searched, goldfold):
    """Two workers; what the winner's config trains is the winner."""
    done = goldfold(
        "tune", "--comp", "blobs", "--config", "perceptron", *["--workers", "2", "--threads", "1", "--trials", "6"]
    )
    assert "6 trials over 3 folds" in done.stdout
    folder = searched / "runs" / "blobs" / "studies" / "perceptron"
    assert {path.name for path in folder.glob("*.png")} >= {"history.png", "slices.png", "timeline.png"}
    assert "# blobs / study perceptron" in (folder / "record.md").read_text(encoding="utf-8")
    assert len(Tags((folder / "record.html").read_text(encoding="utf-8")).sources) >= 3
    best = max((record for record in records() if record.value), key=lambda record: record.value)
    config = searched / "configs" / "blobs" / "perceptron-best.yaml"
    assert config.exists() == (best.number > 0)
    if best.number:
        assert "on newly drawn folds: auroc" in done.stdout
        run = train(Workspace(), "blobs", "perceptron-best", device="cpu")
        assert read_json(run / "metrics.json")["auroc"]["mean"] == best.value
    written = config.read_text(encoding="utf-8") if config.exists() else ""
    config.write_text(written + "# mine\n", encoding="utf-8")
    again = goldfold(*TUNE, "--trials", "6", "--redraws", "0")
    assert config.read_text(encoding="utf-8") == written + "# mine\n"  # what a person changed stays
    assert best.number == 0 or str(folder.relative_to(searched) / config.name) in again.stdout


@pytest.mark.slow
def test_what_one_worker_refuses_ends_the_others(toy, goldfold):
    path = toy / "configs" / "blobs" / "perceptron.yaml"
    path.write_text(path.read_text() + "learning_rate: 1.0e+30\nsearch:\n  dropout: [0.0, 0.2, 0.5]\n")
    done = goldfold(
        "tune",
        "--comp",
        "blobs",
        "--config",
        "perceptron",
        *["--workers", "2", "--threads", "1", "--trials", "30"],
        expect=2,
    )
    assert "trial 0, the config itself, fails" in done.stderr
    assert len(records(replace(ASKED, trials=30))) < 30


def quick(workspace: Workspace, **changed):
    return tune(
        workspace, "blobs", "perceptron", **{"trials": 3, "redraws": 1, "prune": False, "device": "cpu"} | changed
    )


class Lines(Observer):
    """An observer that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def test_the_result_holds_what_the_storage_holds(searched):
    """Trials as a table, the best one by the value of its run, and the re-evaluation on other folds."""
    observer = Lines()
    found = quick(Workspace(observer=observer), overrides=["epochs=2"], trials=4)
    kept = records(replace(ASKED, overrides=("epochs=2",)))
    assert found.trials["state"].tolist() == [record.state for record in kept]
    assert found.trials["value"].tolist() == [record.value for record in kept]
    assert found.trials["learning_rate"].tolist() == [record.params["learning_rate"] for record in kept]
    assert found.trials["fold_1"].tolist() == [record.folds[1] for record in kept]
    best = max(kept, key=lambda record: (record.value, -record.number))
    assert (found.best_trial, found.best_params, found.best_value) == (best.number, best.params, best.value)
    assert sum(line.startswith("trial ") for line in observer.lines) == 4
    assert str(found) == found.text
    assert found.text in found._repr_markdown_()
    assert found.record == (found.folder / "record.md").read_text(encoding="utf-8")
    assert found.folder / "history.png" in found.pictures
    if best.number:
        assert found.reestimate.study == best.value
        assert list(found.reestimate.winner) == [1]
        assert found.config_path == Path("configs/blobs/perceptron-best.yaml")
        run = gf.Project(quiet=True).train("blobs", "perceptron-best", device="cpu")
        assert run.metrics["auroc"]["mean"] == best.value
    else:
        assert (found.reestimate, found.config_path) == (None, None)


@pytest.mark.slow
def test_workers_tune_a_project_that_is_not_the_current_folder(searched, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    workers = ExecutorRequest(name="processes", at_once=2, threads=1)
    found = quick(Workspace(Path("../project")), trials=4, redraws=0, executor=workers)
    assert found.trials["state"].tolist() == ["complete"] * 4
    assert found.folder.samefile(searched / "runs" / "blobs" / "studies" / "perceptron")
    assert not list((tmp_path / "elsewhere").iterdir())


class Cluster:
    """An executor that is no pool of processes, as Ray is none: it runs the jobs here, in another folder."""

    def __init__(self, folder: Path) -> None:
        self.share, self.folder = Share(at_once=2, threads=1), folder

    def run(self, function, jobs):
        here = Path.cwd()
        os.chdir(self.folder)
        try:
            yield from enumerate([function(job) for job in jobs])
        finally:
            os.chdir(here)


@pytest.mark.slow
def test_workers_of_a_cluster_find_the_project_by_its_path(searched, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(crew, "make_executor", lambda *_: Cluster(tmp_path / "elsewhere"))
    found = quick(Workspace(), redraws=0, executor=ExecutorRequest(name="ray", at_once=2))
    assert found.trials["state"].tolist() == ["complete"] * 3
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_machine_that_does_not_see_the_project_needs_a_shared_storage(searched, tmp_path, postgresql):
    """It works in its current folder, where a cluster puts the code, and stores trials where all machines see them."""
    asked = replace(ASKED, trials=1, project=tmp_path / "on another machine")
    with pytest.raises(GoldfoldError) as refused:
        work_elsewhere(asked)
    assert refused.value.code == "storage_not_shared"
    asked = replace(asked, study="shared", storage=postgresql)
    assert work_elsewhere(asked) == 1
    assert [record.state for record in records(replace(asked, project=Path()))] == ["complete"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"trials": 0}, "no_trials"),
        ({"hours": 0}, "hours_not_positive"),
        ({"study": "a/b"}, "study_name"),
        (
            {"storage": "sqlite:///a.db", "executor": ExecutorRequest(name="processes", at_once=2)},
            "sqlite_has_one_writer",
        ),
    ],
)
def test_arguments_that_cannot_be(searched, changed, code):
    with pytest.raises(GoldfoldError) as refused:
        quick(Workspace(), **changed)
    assert refused.value.code == code
    assert not Path("runs").exists()


def test_time_that_is_up_ends_the_study_before_its_trials(searched):
    found = quick(Workspace(), hours=1e-9, redraws=0)
    assert len(found.trials) == 0
    assert (found.best_trial, found.best_params, found.best_value) == (None, None, None)
    assert "0 of 3 trials ended" in found.text
    assert "none complete" in repr(found)


def test_the_dashboard_shows_a_study_that_is_there(searched, monkeypatch):
    import optuna_dashboard

    work(replace(ASKED, trials=1))
    served = []
    monkeypatch.setattr(
        optuna_dashboard, "run_server", lambda storage, host, port: served.append((storage, host, port))
    )
    dashboard(Workspace(), "blobs", "perceptron", port=1)
    ((storage, host, port),) = served
    assert [study.study_name for study in storage.get_all_studies()] == ["blobs/perceptron"]
    assert (host, port) == ("127.0.0.1", 1)
    with pytest.raises(GoldfoldError, match="did you mean 'perceptron'") as refused:
        dashboard(Workspace(), "blobs", "perceptro")
    assert refused.value.code == "unknown_study"
