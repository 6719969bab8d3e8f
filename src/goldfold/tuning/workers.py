"""Workers of a study: processes with a name, and how other workers see that they are alive."""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

BEAT, SILENT = 20, 90  # seconds between two signs of life, and without one until a worker counts as dead


@dataclass(frozen=True)
class Worker:
    """A worker: a unique name, and a lock that the system frees when its process ends in any way."""

    name: str
    lock: FileLock

    @classmethod
    def in_folder(cls, folder: Path) -> Worker:
        """Register this process as a worker; `folder` holds the locks of the study's workers."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        lock = FileLock(folder / f"{name}.lock")
        lock.acquire()
        return cls(name, lock)

    def leave(self) -> None:
        """Free the lock and remove its file."""
        self.lock.release()
        Path(self.lock.lock_file).unlink(missing_ok=True)

    def is_alive(self, other: str, beat: float) -> bool:
        """Whether another worker lives: by its lock on this machine, else by its last sign of life.

        beat: time of that sign, in seconds since 1970.
        """
        path = Path(self.lock.lock_file).with_name(f"{other}.lock")
        if other == self.name or not path.exists():
            return other == self.name or time.time() - beat < SILENT
        try:
            FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            return True
        return False
