"""Jobs on a Ray cluster: one of this machine alone, started for them, or one that is there."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import goldfold
from goldfold.errors import GoldfoldError
from goldfold.experiment.executors.jobs import Share, carried_out, packed, result_of

SENT = ("competitions", "configs")  # of the project's folder, beside the package; data and runs stay
SECONDS = 10  # for a cluster to answer
OBJECT_STORE = 256 * 2**20  # bytes for results under way, on a cluster of our own
GOES_ON = "the same command goes on where it stopped"


@dataclass(frozen=True)
class RayCluster:
    """Ray tasks, each with `threads` CPUs and `gpus` of a GPU; none is tried twice, a failure is said instead.

    address: ray://host:port of the cluster's client server; None starts a cluster on this machine's loopback for as
    long as the jobs take. devices: GPUs such a cluster has. project: whose code and configs are sent to another.
    """

    share: Share
    project: Path
    address: str | None = None
    devices: int = 0

    def run(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """As `Executor.run` says."""
        ray = self._connected()
        running: dict[Any, int] = {}
        waiting = enumerate(jobs)
        try:
            self._check_room(ray)
            task = ray.remote(num_cpus=self.share.threads, num_gpus=self.share.gpus, max_retries=0)(carried_out)
            while True:
                for number, job in islice(waiting, self.share.at_once - len(running)):
                    running[task.remote(packed(function, job))] = number
                if not running:
                    return
                (ended,), _ = ray.wait(list(running), num_returns=1)
                ending = ray.get(ended)
                yield running.pop(ended), result_of(ending)
        except (ray.exceptions.RayError, ConnectionError) as error:
            raise _explained(error) from error
        finally:
            for reference in running:
                with suppress(Exception):  # the cluster may be what was lost
                    ray.cancel(reference, force=True)
            ray.shutdown()

    def _connected(self) -> ModuleType:
        """The module `ray`, connected to the cluster."""
        ray = installed()
        logging.getLogger("ray").setLevel(logging.ERROR)
        told = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if self.address is None:
                cpus = self.share.at_once * self.share.threads
                own = {"num_cpus": cpus, "num_gpus": self.devices, "object_store_memory": OBJECT_STORE}
                environment = {"env_vars": self.share.environment()}
                ray.init("local", include_dashboard=False, runtime_env=environment, **own, **told)
            else:
                self._answers()
                with tempfile.TemporaryDirectory() as folder:
                    code_in(Path(folder), self.project)
                    environment = {"working_dir": folder, "env_vars": self.share.environment()}
                    ray.init(self.address, runtime_env=environment, **told)
        except Exception as error:  # Ray has no common type for what goes wrong at its start
            ray.shutdown()
            where = self.address or "a Ray cluster on this machine"
            raise GoldfoldError(
                f"{where} cannot be used ({_first_line(error)}): look whether it runs there with the same versions of "
                "Python and Ray, or use EXECUTOR=processes"
            ) from error
        return ray

    def _answers(self) -> None:
        """Raise OSError where nobody listens, which Ray itself would wait for much longer."""
        host, _, port = self.address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), timeout=SECONDS).close()

    def _check_room(self, ray: ModuleType) -> None:
        """A task that fits nowhere would wait for ever."""
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        need = {"CPU": self.share.threads, "GPU": self.share.gpus}
        if not any(all(machine.get(kind, 0) >= number for kind, number in need.items()) for machine in machines):
            largest = max((machine.get("CPU", 0), machine.get("GPU", 0)) for machine in machines)
            raise GoldfoldError(
                f"no machine of the cluster has {need['CPU']} CPUs and {need['GPU']:g} GPU for a job, the largest has "
                f"{largest[0]:g} and {largest[1]:g}: ask for fewer"
            )


def code_in(folder: Path, project: Path) -> None:
    """Copy what machines that may not see this one's disk need into `folder`: package, competitions, configs."""
    sources = [Path(goldfold.__file__).parent, *(project / name for name in SENT)]
    for source in sources:
        if source.exists():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))


def installed() -> ModuleType:
    """The module `ray`; raises GoldfoldError with the command that installs it."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # by which a cluster of our own stays on loopback
    try:
        import ray
    except ImportError as error:
        raise GoldfoldError(
            f"this executor needs Ray, which cannot be imported ({error}): install it with "
            ".venv/bin/python -m pip install -r requirements-ray.txt"
        ) from error
    return ray


def _explained(error: Exception) -> GoldfoldError:
    """Ray's errors by their names, each as a sentence."""
    error = getattr(error, "cause", None) or error  # what came up in a worker, outside the job
    kind = type(error).__name__
    if kind in ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError"):
        why = "a worker of the cluster died while it worked (memory ran out, or it or its machine was killed)"
        return GoldfoldError(f"{why}: ask for fewer jobs at once, {GOES_ON}")
    if kind in ("ObjectStoreFullError", "OutOfDiskError", "ObjectLostError", "OwnerDiedError"):
        return GoldfoldError(f"a result could not be kept in the cluster ({kind}): make room there, {GOES_ON}")
    if kind == "RuntimeEnvSetupError":
        return GoldfoldError(f"the cluster could not take the project's code ({_first_line(error)}): see its logs")
    if isinstance(error, ConnectionError):
        return GoldfoldError(f"the connection to the cluster was lost ({_first_line(error)}): {GOES_ON}")
    return GoldfoldError(
        f"Ray could not carry out a job ({kind}, {_first_line(error)}): its machines need goldfold's requirements "
        f"installed and the same Python; {GOES_ON}"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
