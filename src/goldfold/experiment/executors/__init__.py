"""Independent jobs on the processes of this machine or on a Ray cluster: what a user asks for, and who carries it out.

An executor is a value with a `share` and a `run`; `Processes` and `RayCluster` are the two there are. Neither decides
more than how many jobs are under way: what waits for which machine is Ray's to say.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.executors.jobs import Share

ADDRESS = re.compile(r"ray://[^/:\s]+:\d+")
EXAMPLE = "ray://host:10001"


class Executor(Protocol):
    """Carries jobs out."""

    share: Share

    def run(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """(number of the job, what `function` returned for it), in the order the jobs end.

        function: of a module, since it travels by its name; jobs and results are values that can be pickled. An error
        of a job is raised as it is and stops the others, and so does closing the iterator.

        Raises:
            GoldfoldError: a job's own, or a worker, a machine or the cluster was lost.
        """


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a user asks for; whatever is None is worked out from the machine and the number of jobs.

    name: processes, ray (a cluster of this machine alone) or ray://host:port (the client port of a cluster).
    at_once: jobs at the same time, 1 or more. threads: of each, 1 or more. gpus: of each, in [0, 1]; 0 is the CPU.

    Raises:
        GoldfoldError: one of them cannot be.
    """

    name: str
    at_once: int | None = None
    threads: int | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.name not in ("processes", "ray") and not ADDRESS.fullmatch(self.name):
            raise unknown("executor", self.name, ["processes", "ray", EXAMPLE])
        for what, count in (("jobs at once", self.at_once), ("threads of a job", self.threads)):
            if count is not None and count < 1:
                raise GoldfoldError(f"{what} are counted from 1 and {count} were asked for: give 1 or more")
        if self.gpus is not None and not 0 <= self.gpus <= 1:
            raise GoldfoldError(
                f"a job gets from 0 to 1 GPU, such as 0.5, and {self.gpus:g} was asked for: torchrun is for one job on "
                "several"
            )


def requested(executor: str | None, workers: int | None, threads: int | None, gpus: float | None) -> Wanted | None:
    """What is asked for; None: one fit after the other in this process. A number without a name asks for processes."""
    if not executor and workers is None and threads is None and gpus is None:
        return None
    return Wanted(name=executor or "processes", at_once=workers, threads=threads, gpus=gpus)


def executor(wanted: Wanted, jobs: int, devices: int, project: Path) -> Executor:
    """Who carries out `jobs` jobs.

    devices: GPUs of this machine that may be used. project: the folder whose code and configs a cluster is sent.

    Raises:
        GoldfoldError: this machine has not what was asked for, or Ray is not installed.
    """
    from goldfold.experiment.executors.processes import Processes
    from goldfold.experiment.executors.ray_cluster import RayCluster, installed

    if wanted.name == "processes":
        return Processes(share_of(wanted, jobs, devices), devices)
    installed()
    if wanted.name == "ray":
        return RayCluster(share_of(wanted, jobs, devices), devices=devices, project=project)
    share = Share(at_once=min(jobs, wanted.at_once or jobs), threads=wanted.threads or 1, gpus=wanted.gpus or 0)
    return RayCluster(share, address=wanted.name, project=project)


def share_of(wanted: Wanted, jobs: int, devices: int) -> Share:
    """What each job gets of this machine: its threads and GPUs in even parts, unless the user says otherwise.

    OMP_NUM_THREADS counts as the user's word on threads.
    """
    from joblib import cpu_count

    if wanted.gpus and not devices:
        raise GoldfoldError(f"there is no GPU to give each job {wanted.gpus:g} of: leave it out, or give 0")
    devices = 0 if wanted.gpus == 0 else devices
    places = devices * int(1 / wanted.gpus + 1e-9) if wanted.gpus else None
    at_once = min(jobs, wanted.at_once or places or devices or cpu_count())
    if places is not None and at_once > places:
        raise GoldfoldError(
            f"{at_once} jobs at once with {wanted.gpus:g} GPU each do not fit on {devices}, which hold {places}: ask "
            "for fewer jobs or a smaller part"
        )
    said = os.environ.get("OMP_NUM_THREADS", "")
    threads = wanted.threads or (int(said) if said.isdecimal() and int(said) else max(1, cpu_count() // at_once))
    gpus = wanted.gpus if wanted.gpus else _even(at_once, devices)
    return Share(at_once=at_once, threads=threads, gpus=gpus)


def _even(at_once: int, devices: int) -> float:
    """The part of a GPU that lets `at_once` jobs share `devices`, to the four decimals Ray knows."""
    return int(10_000 / -(-at_once // devices)) / 10_000 if devices else 0
