"""Jobs on processes and on Ray: who ends when, what an error says, who is left behind; and a run spread over them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import executor_jobs as jobs
import joblib
import numpy as np
import pytest
import torch
from executor_jobs import PATIENCE

from goldfold.cli import main as cli
from goldfold.cli.training import parallel
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment.executors import ExecutorRequest, make_executor, requested, resource_share
from goldfold.experiment.executors.jobs import Share
from goldfold.experiment.executors.processes import Processes
from goldfold.experiment.executors.ray_cluster import copy_code
from goldfold.experiment.fits import fit
from goldfold.experiment.setup import prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.io.progress import Display
from goldfold.workflows import parallel_fits as fits
from goldfold.workflows import train

CPU = torch.device("cpu")
TWO = Processes(Share(at_once=2, threads=1))
PERCEPTRON = ("perceptron", ["ema=0.9", "seeds=[0,1]"])
TWO_AT_ONCE = ExecutorRequest(name="processes", at_once=2, threads=1)
ray_installed = pytest.mark.skipif(shutil.which("ray", path=str(Path(sys.executable).parent)) is None, reason="no Ray")


def listening(folder: Path) -> tuple[socket.socket, str]:
    line, address = socket.socket(socket.AF_UNIX), str(folder / "line")
    line.bind(address)
    line.listen()
    line.settimeout(PATIENCE)
    return line, address


def callers(line: socket.socket, count: int) -> list[socket.socket]:
    """The jobs that have called, each at its work, and told so once all of them are."""
    found = [line.accept()[0] for _ in range(count)]
    for caller in found:
        caller.settimeout(PATIENCE)
        assert caller.recv(4) == b"here"
    for caller in found:
        caller.sendall(b"!")
    return found


def gone(caller: socket.socket) -> bool:
    """Waits until the process at the other end has ended, with or without having read everything."""
    try:
        return caller.recv(1) == b""
    except ConnectionResetError:
        return True


def test_results_come_as_jobs_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    ended = TWO.run(jobs.reading, [str(fifo), None])
    assert next(ended) == (1, "at once")
    fifo.write_text("later")
    assert list(ended) == [(0, "later")]


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            GoldfoldError("rule_name", "the rule, the value: the next step"),
            GoldfoldError,
            "the rule, the value: the next step",
        ),
        (FileNotFoundError(2, "not there", "a.png"), FileNotFoundError, "[Errno 2] not there: 'a.png'"),
    ],
)
def test_a_jobs_error_arrives_as_it_is(error: Exception, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as told:
        list(TWO.run(jobs.raising, [error]))
    assert type(told.value) is kind
    assert str(told.value) == text
    notes = "".join(getattr(told.value, "__notes__", []))
    assert ("raise error" in notes) is (kind is not GoldfoldError)  # the place of a bug, none for a user's mistake


def test_an_error_that_cannot_travel_arrives_as_its_text() -> None:
    with pytest.raises(RuntimeError, match=r"^UnpicklableError: this and that"):
        list(TWO.run(jobs.unpicklable, [0]))


def test_an_error_stops_the_jobs_beside_it(tmp_path: Path) -> None:
    line, address = listening(tmp_path)
    beside = [(address, "blocked"), (address, "fails")]
    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(callers, line, 2)
        with pytest.raises(GoldfoldError, match=r"^this job cannot be done: do another$"):
            list(TWO.run(jobs.failing_or_blocked, beside))
        assert all(gone(job) for job in working.result())


def test_a_killed_process_is_a_sentence() -> None:
    with pytest.raises(GoldfoldError) as error:
        list(TWO.run(jobs.killing, [0, 1, 2]))
    assert error.value.code == "worker_process_died"
    assert "ask for fewer jobs" in str(error.value)


SCRIPT = """
    import sys
    sys.path.insert(0, {tests!r})
    import signal
    from executor_jobs import blocked
    from goldfold.experiment.executors.jobs import Share
    from goldfold.experiment.executors.processes import Processes
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if __name__ == "__main__":
        try:
            list(Processes(Share(at_once=2, threads=1)).run(blocked, [{address!r}] * 3))
        except KeyboardInterrupt:
            sys.exit(130)
"""


def two_at_work(
    folder: Path, source: str = SCRIPT, count: int = 2, **streams: int
) -> tuple[subprocess.Popen, list[socket.socket]]:
    """A process that has given two processes jobs without an end. count: of jobs to wait for."""
    line, address = listening(folder)
    script = folder / "script.py"
    script.write_text(textwrap.dedent(source).format(tests=str(Path(__file__).parents[1]), address=address))
    parent = subprocess.Popen(
        [sys.executable, str(script)], stderr=subprocess.PIPE, text=True, start_new_session=True, **streams
    )
    return parent, callers(line, count)


def test_nobody_is_left_when_the_parent_is_killed(tmp_path: Path) -> None:
    parent, working = two_at_work(tmp_path)
    parent.kill()
    assert all(gone(job) for job in working)
    parent.communicate(timeout=PATIENCE)  # whoever held its stderr open is gone too


def test_ctrl_c_ends_all_of_them_without_a_word(tmp_path: Path) -> None:
    parent, working = two_at_work(tmp_path)
    os.killpg(parent.pid, signal.SIGINT)
    assert all(gone(job) for job in working)
    told = parent.communicate(timeout=PATIENCE)[1]
    assert (parent.returncode, told) == (130, "")


def test_ctrl_c_does_not_call_the_workers_of_a_study_dead(tmp_path: Path) -> None:
    """They are ended by their parent; nothing is said of memory or of somebody who killed them."""
    crew = "run_in_own_pools([Processes(Share(at_once=1, threads=1))] * 2, blocked, {address!r}, print)"
    script = SCRIPT.replace("list(Processes(Share(at_once=2, threads=1)).run(blocked, [{address!r}] * 3))", crew)
    script = script.replace(
        "        try:\n", "        from goldfold.tuning.crew import run_in_own_pools\n        try:\n"
    )
    parent, working = two_at_work(tmp_path, script, stdout=subprocess.PIPE)
    os.killpg(parent.pid, signal.SIGINT)
    assert all(gone(job) for job in working)
    assert parent.communicate(timeout=PATIENCE) == ("", "")
    assert parent.returncode == 130


def test_a_script_without_a_main_guard_is_refused_before_its_processes_start(tmp_path: Path) -> None:
    without = SCRIPT.replace('if __name__ == "__main__":', "if True:")
    parent, _ = two_at_work(tmp_path, without, count=0)
    assert "move its code below a line `if __name__ ==" in parent.communicate(timeout=PATIENCE)[1]
    assert parent.returncode == 1


def test_each_job_has_its_threads(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # what the job would inherit
    assert list(Processes(Share(at_once=1, threads=1)).run(jobs.threads, [0])) == [(0, (1, "1"))]


@pytest.mark.parametrize(("seen", "expected"), [("", {"0", "1"}), ("5,7", {"5", "7"})])
def test_processes_are_spread_over_the_gpus(tmp_path: Path, monkeypatch, seen: str, expected: set[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    both = Processes(Share(at_once=2, threads=1, gpus=1), devices=2)
    assert {device for _, device in both.run(jobs.device_where_both_are, [(fifo, "r"), (fifo, "w")])} == expected


def test_the_machine_is_shared_evenly(monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = joblib.cpu_count()

    def share(jobs: int, devices: int = 0, **wanted: float) -> tuple[int, int, float]:
        found = resource_share(ExecutorRequest(name="processes", **wanted), jobs, devices)
        return found.at_once, found.threads, found.gpus

    assert share(1000) == (cores, 1, 0)
    assert share(1) == (1, cores, 0)
    assert share(1000, at_once=2 * cores) == (2 * cores, 1, 0)
    assert share(3, at_once=3, threads=7) == (3, 7, 0)
    assert share(5, devices=2)[::2] == (2, 1)
    assert share(5, devices=2, at_once=5)[::2] == (5, 0.3333)  # three on one of the two
    assert share(9, devices=2, gpus=0.5)[::2] == (4, 0.5)
    assert share(9, devices=2, gpus=0.4)[::2] == (4, 0.4)  # what is left of two GPUs makes no fifth place
    assert share(1000, devices=2, gpus=0) == (cores, 1, 0)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert share(2)[1] == 5
    assert share(2, threads=1)[1] == 1


@pytest.mark.parametrize(
    ("wanted", "code", "fact"),
    [
        ({"name": "proceses"}, "unknown_executor", "did you mean 'processes'?"),
        ({"name": "ray://head"}, "unknown_executor", "did you mean 'ray://host:10001'?"),
        ({"name": "processes", "at_once": 0}, "count_below_one", "jobs at once is 0"),
        ({"name": "ray", "threads": 0}, "count_below_one", "threads per job is 0"),
        ({"name": "ray", "gpus": 2}, "gpus_out_of_range", "2 was asked for"),
        ({"name": "ray", "gpus": float("nan")}, "gpus_out_of_range", "nan was asked for"),
    ],
)
def test_what_cannot_be_is_refused(wanted: dict, code: str, fact: str) -> None:
    with pytest.raises(GoldfoldError) as error:
        ExecutorRequest(**wanted)
    assert error.value.code == code
    assert fact in str(error.value)


def test_gpus_that_are_not_there_are_refused() -> None:
    with pytest.raises(GoldfoldError) as error:
        resource_share(ExecutorRequest(name="processes", gpus=0.5), jobs=2, devices=0)
    assert error.value.code == "no_gpu"
    assert "0.5" in str(error.value)
    with pytest.raises(GoldfoldError) as error:
        resource_share(ExecutorRequest(name="processes", gpus=0.5, at_once=4), jobs=4, devices=1)
    assert error.value.code == "too_many_jobs"
    assert "4 jobs at once with 0.5 GPU each do not fit on 1, which can hold 2" in str(error.value)


def test_ray_is_asked_for_by_the_command_that_installs_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(GoldfoldError) as error:
        make_executor(ExecutorRequest(name="ray"), 1, 0, tmp_path)
    assert error.value.code == "ray_not_installed"
    assert "pip install -r requirements-ray.txt" in str(error.value)


@ray_installed
def test_a_cluster_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"ray://127.0.0.1:{free.getsockname()[1]}"
    chosen = make_executor(ExecutorRequest(name=address), 1, 0, tmp_path)
    with pytest.raises(GoldfoldError) as error:
        list(chosen.run(jobs.threads, [0]))
    assert error.value.code == "cluster_unusable"
    assert f"{address} cannot be used" in str(error.value)
    assert "Connection refused" in str(error.value)
    assert "EXECUTOR=processes" in str(error.value)


def test_code_and_configs_are_sent_and_nothing_else(tmp_path: Path) -> None:
    project, sent = tmp_path / "project", tmp_path / "sent"
    for folder in ("competitions/a/__pycache__", "configs/a", "data/a", "runs/a", "submissions/a", "board"):
        (project / folder).mkdir(parents=True)
        (project / folder / "file.py").touch()
    (project / "competitions" / "a" / "__init__.py").touch()
    copy_code(sent, project)
    assert {path.name for path in sent.iterdir()} == {"competitions", "configs", "goldfold"}
    assert [path.name for path in (sent / "competitions" / "a").iterdir()] == ["__init__.py"]
    package = Path(train.__file__).parents[1]
    files = {path.relative_to(package): path.read_bytes() for path in package.rglob("*.py")}
    assert {path.relative_to(sent / "goldfold"): path.read_bytes() for path in sent.rglob("goldfold/**/*.py")} == files


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], None),
        (["--executor", "ray", "--workers", "3", "--gpus", "0.5"], ExecutorRequest(name="ray", at_once=3, gpus=0.5)),
        (["--workers", "2", "--threads", "4"], ExecutorRequest(name="processes", at_once=2, threads=4)),
    ],
)
def test_the_command_line_asks_for_an_executor(
    monkeypatch, options: list[str], expected: ExecutorRequest | None
) -> None:
    arguments = cli._parsed(["train", "--comp", "blobs", *options])
    assert requested(**parallel(arguments)) == expected
    monkeypatch.setenv("WORLD_SIZE", "2")
    if expected is not None:
        with pytest.raises(GoldfoldError) as refused:
            train._check_executor(expected, None)
        assert refused.value.code == "executor_under_torchrun"


def trained(config: str, wanted: ExecutorRequest | None, *overrides: str) -> Path:
    return train.train(Workspace(observer=Display(quiet=True)), "blobs", config, overrides, executor=wanted)


def results(run: Path) -> dict[str, bytes]:
    """All that a run computed, history without its seconds."""
    found = {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*.npy")}
    for path in [*run.rglob("history.json"), *run.rglob("fit.json")]:
        found[path.relative_to(run).as_posix()] = without_seconds(json.loads(path.read_text()))
    names = ("metrics.json", "folds.csv", "config.json", "findings.json", "oof_ids.csv", "test_ids.csv")
    found |= {name: (run / name).read_bytes() for name in names}
    return found | {"submission": Path(f"submissions/blobs/{run.name}.csv").read_bytes()}


def without_seconds(known: Any) -> bytes:
    if isinstance(known, list):
        known = [{key: value for key, value in row.items() if key != "seconds"} for row in known]
    return json.dumps(known).encode()


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("config", "overrides", "fits"),
    [(*PERCEPTRON, 6), ("bank", ["folds=[2,0]"], 2), ("estimator", [], 3)],
)
def test_processes_make_the_bits_of_a_sequential_run(
    toy: Path, capsys, config: str, overrides: list, fits: int
) -> None:
    alone = results(trained(config, None, *overrides))
    capsys.readouterr()
    spread = trained(config, TWO_AT_ONCE, *overrides)
    assert f"{fits} fits on processes: 2 at once, each with 1 thread" in capsys.readouterr().out
    assert results(spread) == alone


@ray_installed
@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_ray_makes_the_bits_of_a_sequential_run(toy: Path, monkeypatch, capsys) -> None:
    alone = results(trained(PERCEPTRON[0], None, *PERCEPTRON[1]))
    spread = trained(PERCEPTRON[0], replace(TWO_AT_ONCE, name="ray"), *PERCEPTRON[1])
    assert "6 fits on ray: 2 at once, each with 1 thread" in capsys.readouterr().out
    assert results(spread) == alone


@ray_installed
@pytest.mark.slow
def test_a_worker_that_ray_lost_is_a_sentence(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(jobs.__file__).parent), prepend=os.pathsep)
    chosen = make_executor(ExecutorRequest(name="ray", at_once=2, threads=1), 2, 0, tmp_path)
    assert sorted(chosen.run(jobs.threads, [0, 1])) == [(0, (1, "1")), (1, (1, "1"))]
    with pytest.raises(GoldfoldError) as error:
        list(chosen.run(jobs.killing, [1]))
    assert error.value.code == "ray_worker_died"


DIES = """
    import os, signal
    from goldfold.workflows import train
    from goldfold.experiment.executors import ExecutorRequest
    from goldfold.experiment.workspace import Workspace
    from goldfold.io.progress import Observer
    class Dying(Observer):
        def fit_ended(self, text=""):
            os.kill(os.getpid(), signal.SIGKILL)
    if __name__ == "__main__":
        wanted = ExecutorRequest(name="processes", at_once=1, threads=1)
        overrides = ["ema=0.9", "seeds=[0,1]"]
        train.train(Workspace(observer=Dying()), "blobs", "perceptron", overrides, executor=wanted)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_goes_on_to_the_bits_of_a_sequential_one(goldfold, toy: Path, tmp_path: Path, capsys) -> None:
    script = tmp_path / "dies.py"
    script.write_text(textwrap.dedent(DIES))
    goldfold(script=script, expect=-signal.SIGKILL)
    (run,) = Path("runs/blobs").glob("perceptron-r*")
    whole = {path: path.stat().st_mtime_ns for path in run.glob("*/fit.json")}
    assert 1 <= len(whole) < 5
    capsys.readouterr()
    taken_up = trained(PERCEPTRON[0], TWO_AT_ONCE, *PERCEPTRON[1])
    assert taken_up == run
    assert f"{6 - len(whole)} fits on processes: 2 at once, each with 1 thread" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in whole} == whole
    assert results(trained(PERCEPTRON[0], None, *PERCEPTRON[1])) == results(run)


def test_a_fit_that_fails_stops_with_its_sentence(toy: Path) -> None:
    sentences = []
    for wanted in (None, replace(TWO_AT_ONCE, at_once=1)):
        with pytest.raises(GoldfoldError) as told:
            trained("perceptron", wanted, "learning_rate=1e40")
        sentences.append(str(told.value))
    assert sentences[0] == sentences[1]
    assert not list(Path("runs").glob("*/*/record.md"))


def a_job(toy: Path, tmp_path: Path) -> tuple[fits.Job, object]:
    workspace = Workspace()
    recipes = workspace.competition("blobs").recipes
    config = configs.read_config(workspace.config_path("blobs", "perceptron"), [], recipes)
    found = prepare_experiment(workspace, "blobs", config, CPU)
    told = {"identity": found.hashes()["identity"], "project": toy, "run": tmp_path / "elsewhere"}
    job = fits.Job(name="blobs", values=json.dumps(config.resolved()), fold=1, seed=3, device="cpu", **told)
    return job, found.experiment


def test_a_machine_that_sees_no_run_folder_sends_the_fit(toy: Path, tmp_path: Path) -> None:
    job, experiment = a_job(toy, tmp_path)
    made, expected = fits.make(job), fit(experiment, tmp_path / "here", 1, 3)
    np.testing.assert_array_equal(made.validation, expected.validation)
    np.testing.assert_array_equal(made.test, expected.test)
    assert (made.scores, made.epoch, made.fold, made.seed) == (expected.scores, expected.epoch, 1, 3)
    assert not job.run.exists()
    job.run.mkdir()
    (job.run / "reproduce.json").write_text(json.dumps({"identity": job.identity}))
    assert fits.make(job) is None
    assert (job.run / "fold1-seed3" / "fit.json").exists()


def test_other_code_or_data_are_refused(toy: Path, tmp_path: Path) -> None:
    job, _ = a_job(toy, tmp_path)
    with pytest.raises(GoldfoldError, match="fold 1 seed 3 was to be fitted are not those of the run"):
        fits.make(replace(job, identity="another"))
