"""Executors of independent jobs: processes of this machine or a Ray cluster, and how a user asks for them.

An executor is a value with a `share` and a `run`: `Processes` or `RayCluster`. It only limits how many jobs run at the
    same time; Ray decides which machine a job waits for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.executors.jobs import Share

ADDRESS = re.compile(r"ray://[^/:\s]+:\d+")
EXAMPLE = "ray://host:10001"


class Executor(Protocol):
    """Runs jobs."""

    @property
    def share(self) -> Share:
        """What each job gets, and how many run at the same time."""

    def run(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Generator[tuple[int, Any], None, None]:
        """Yield (number of the job, result of `function`) in the order in which the jobs end.

        function: defined in a module, since it is sent by name. Jobs and results must be picklable. An error of a job
            is raised unchanged and stops the others, as closing the iterator does.

        Raises:
            GoldfoldError: raised by a job, or a worker, a machine or the cluster was lost.
        """


@dataclass(frozen=True, kw_only=True)
class ExecutorRequest:
    """What a user asks for; None is derived from the machine and the number of jobs.

    name: processes, ray (a local cluster) or ray://host:port (the client port of a cluster). at_once: jobs at the same
        time, 1 or more. threads: per job, 1 or more. gpus: per job, in [0, 1]; 0 uses the CPU.

    Raises:
        GoldfoldError: a value is out of its range, or the executor does not exist.
    """

    name: str
    at_once: int | None = None
    threads: int | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.name not in ("processes", "ray") and not ADDRESS.fullmatch(self.name):
            raise unknown("executor", self.name, ["processes", "ray", EXAMPLE], code="unknown_executor")
        for what, count in (("jobs at once", self.at_once), ("threads per job", self.threads)):
            if count is not None and count < 1:
                raise GoldfoldError("count_below_one", f"the number of {what} is {count} and must be 1 or more")
        if self.gpus is not None and not 0 <= self.gpus <= 1:
            raise GoldfoldError(
                "gpus_out_of_range",
                f"a job can get 0 to 1 GPU, such as 0.5, and {self.gpus:g} was asked for: use torchrun for one job on "
                "several GPUs",
            )


def requested(
    executor: str | None, workers: int | None, threads: int | None, gpus: float | None
) -> ExecutorRequest | None:
    """What is asked for; None: one fit after the other in this process. A number without a name asks for processes."""
    if not executor and workers is None and threads is None and gpus is None:
        return None
    return ExecutorRequest(name=executor or "processes", at_once=workers, threads=threads, gpus=gpus)


def make_executor(wanted: ExecutorRequest, jobs: int, devices: int, project: Path) -> Executor:
    """Who carries out `jobs` jobs.

    devices: GPUs of this machine that may be used. project: the folder whose code and configs are sent to a cluster.

    Raises:
        GoldfoldError: this machine lacks what was asked for, or Ray is not installed.
    """
    from goldfold.experiment.executors.processes import Processes
    from goldfold.experiment.executors.ray_cluster import RayCluster, import_ray

    if wanted.name == "processes":
        return Processes(resource_share(wanted, jobs, devices), devices)
    import_ray()
    if wanted.name == "ray":
        return RayCluster(resource_share(wanted, jobs, devices), devices=devices, project=project)
    share = Share(at_once=min(jobs, wanted.at_once or jobs), threads=wanted.threads or 1, gpus=wanted.gpus or 0)
    return RayCluster(share, address=wanted.name, project=project)


def resource_share(wanted: ExecutorRequest, jobs: int, devices: int) -> Share:
    """What each job gets of this machine: equal parts of threads and GPUs, unless the user asks otherwise.

    The environment variable OMP_NUM_THREADS counts as the user's choice of threads.

    Raises:
        GoldfoldError: there are not enough GPUs.
    """
    from joblib import cpu_count

    if wanted.gpus and not devices:
        raise GoldfoldError(
            "no_gpu",
            f"there is no GPU on this machine, and each job was to get {wanted.gpus:g}: leave the number of GPUs out, "
            "or set it to 0",
        )
    devices = 0 if wanted.gpus == 0 else devices
    places = devices * int(1 / wanted.gpus + 1e-9) if wanted.gpus else None
    at_once = min(jobs, wanted.at_once or places or devices or cpu_count())
    if places is not None and at_once > places:
        raise GoldfoldError(
            "too_many_jobs",
            f"{at_once} jobs at once with {wanted.gpus:g} GPU each do not fit on {devices}, which can hold {places}: "
            "ask for fewer jobs or a smaller part",
        )
    said = os.environ.get("OMP_NUM_THREADS", "")
    threads = wanted.threads or (int(said) if said.isdecimal() and int(said) else max(1, cpu_count() // at_once))
    gpus = wanted.gpus if wanted.gpus else _even(at_once, devices)
    return Share(at_once=at_once, threads=threads, gpus=gpus)


def _even(at_once: int, devices: int) -> float:
    """The part of a GPU with which `at_once` jobs share `devices`, in the four decimals that Ray uses."""
    return int(10_000 / -(-at_once // devices)) / 10_000 if devices else 0
