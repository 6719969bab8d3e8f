"""Run jobs on a Ray cluster: a local one started for them, or an existing one."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import goldfold
from goldfold.errors import GoldfoldError
from goldfold.experiment.executors.jobs import Share, pack, run_packed, unpack_result

SENT = ("competitions", "configs")  # folders of the project sent beside the package; data and runs are not
SECONDS = 10  # timeout of the connection to a cluster
OBJECT_STORE = 256 * 2**20  # bytes for results in transit, on a local cluster
RESUME = "run the same command again to resume"


@dataclass(frozen=True)
class RayCluster:
    """Ray tasks, each with `threads` CPUs and `gpus` of a GPU; a failed one is not retried but reported.

    address: ray://host:port of the cluster's client server; None starts a cluster on this machine's loopback for as
        long as the jobs take. devices: number of GPUs of such a cluster. project: the folder whose code and configs are
        sent.
    """

    share: Share
    project: Path
    address: str | None = None
    devices: int = 0

    def run(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Generator[tuple[int, Any], None, None]:
        """See `Executor.run`."""
        ray = self._connected()
        running: dict[Any, int] = {}
        waiting = enumerate(jobs)
        try:
            self._check_room(ray)
            task = ray.remote(num_cpus=self.share.threads, num_gpus=self.share.gpus, max_retries=0)(run_packed)
            while True:
                for number, job in islice(waiting, self.share.at_once - len(running)):
                    running[task.remote(pack(function, job))] = number
                if not running:
                    return
                (ended,), _ = ray.wait(list(running), num_returns=1)
                ending = ray.get(ended)
                yield running.pop(ended), unpack_result(ending)
        except (ray.exceptions.RayError, ConnectionError) as error:
            raise _explained(error) from error
        finally:
            for reference in running:
                with suppress(Exception):  # the cluster itself may be lost
                    ray.cancel(reference, force=True)
            ray.shutdown()

    def _connected(self) -> ModuleType:
        """The module `ray`, connected to the cluster."""
        ray = import_ray()
        logging.getLogger("ray").setLevel(logging.ERROR)
        told = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if self.address is None:
                cpus = self.share.at_once * self.share.threads
                own = {"num_cpus": cpus, "num_gpus": self.devices, "object_store_memory": OBJECT_STORE}
                environment: dict[str, Any] = {"env_vars": self.share.environment()}
                ray.init("local", include_dashboard=False, runtime_env=environment, **own, **told)
            else:
                _check_listening(self.address)
                with tempfile.TemporaryDirectory() as folder:
                    copy_code(Path(folder), self.project)
                    environment = {"working_dir": folder, "env_vars": self.share.environment()}
                    ray.init(self.address, runtime_env=environment, **told)
        except Exception as error:  # Ray has no common type for what goes wrong at its start
            ray.shutdown()
            where = self.address or "a Ray cluster on this machine"
            raise GoldfoldError(
                "cluster_unusable",
                f"{where} cannot be used ({_first_line(error)}): check that it runs there with the same versions of "
                "Python and Ray, or set EXECUTOR=processes",
            ) from error
        return ray

    def _check_room(self, ray: ModuleType) -> None:
        """Check that a job fits on some machine of the cluster; otherwise it would wait forever."""
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        need = {"CPU": self.share.threads, "GPU": self.share.gpus}
        if not any(all(machine.get(kind, 0) >= number for kind, number in need.items()) for machine in machines):
            largest = max((machine.get("CPU", 0), machine.get("GPU", 0)) for machine in machines)
            raise GoldfoldError(
                "job_too_large",
                f"no machine of the cluster has {need['CPU']} CPUs and {need['GPU']:g} GPU for a job, and the largest "
                f"has {largest[0]:g} and {largest[1]:g}: ask for fewer threads or GPUs",
            )


def _check_listening(address: str) -> None:
    """Raise OSError if nobody listens at the address; Ray itself would wait much longer."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host, int(port)), timeout=SECONDS).close()


def copy_code(folder: Path, project: Path) -> None:
    """Copy package, competitions and configs into `folder`, for machines that may not see this one's disk."""
    sources = [Path(goldfold.__file__).parent, *(project / name for name in SENT)]
    for source in sources:
        if source.exists():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))


def import_ray() -> ModuleType:
    """Import Ray.

    Raises:
        GoldfoldError: it is not installed; the message has the command that installs it.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # keeps a local cluster on loopback
    try:
        import ray
    except ImportError as error:
        raise GoldfoldError(
            "ray_not_installed",
            f"this executor needs Ray, which cannot be imported ({error}): install it with .venv/bin/python -m pip "
            "install -r requirements-ray.txt",
        ) from error
    return ray


def _explained(error: Exception) -> GoldfoldError:
    """Turn one of Ray's errors into a message for the user."""
    error = getattr(error, "cause", None) or error  # what came up in a worker, outside the job
    kind = type(error).__name__
    if kind in ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError"):
        why = "a worker of the cluster died (memory ran out, or it or its machine was killed)"
        return GoldfoldError("ray_worker_died", f"{why}: ask for fewer jobs at once; {RESUME}")
    if kind in ("ObjectStoreFullError", "OutOfDiskError", "ObjectLostError", "OwnerDiedError"):
        return GoldfoldError(
            "ray_storage_full", f"the cluster could not store a result ({kind}): free memory or disk there; {RESUME}"
        )
    if kind == "RuntimeEnvSetupError":
        return GoldfoldError(
            "ray_setup_failed", f"the cluster could not install the project's code ({_first_line(error)}): see its logs"
        )
    if isinstance(error, ConnectionError):
        return GoldfoldError(
            "ray_connection_lost", f"the connection to the cluster was lost ({_first_line(error)}): {RESUME}"
        )
    return GoldfoldError(
        "ray_job_failed",
        f"Ray could not run a job ({kind}, {_first_line(error)}): install goldfold's requirements and the same Python "
        f"on its machines; {RESUME}",
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
