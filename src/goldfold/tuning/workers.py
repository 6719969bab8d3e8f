"""A process among the workers of a study, and how the others see that it is alive."""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

BEAT, SILENT = 20, 90  # seconds between two signs of life, and without one until a worker is taken for dead


@dataclass(frozen=True)
class Worker:
    """A name of its own, and a lock that the system frees when the process ends, however it ends."""

    name: str
    lock: FileLock

    @classmethod
    def in_folder(cls, folder: Path) -> Worker:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        lock = FileLock(folder / f"{name}.lock")
        lock.acquire()
        return cls(name, lock)

    def leave(self) -> None:
        self.lock.release()
        Path(self.lock.lock_file).unlink(missing_ok=True)

    def alive(self, other: str, beat: float) -> bool:
        """Whether another worker lives: by its lock where that lies here, else by its last sign of life.

        beat: when that was, in seconds since 1970.
        """
        path = Path(self.lock.lock_file).with_name(f"{other}.lock")
        if other == self.name or not path.exists():
            return other == self.name or time.time() - beat < SILENT
        try:
            FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            return True
        return False
