"""The child process of a trial: a job as JSON on its input, the file for the result as its argument."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from goldfold.io import garbage
from goldfold.workflows.capacity.jobs import Job, carry_out

if __name__ == "__main__":
    garbage.leave_at_once()
    carry_out(Job(**json.load(sys.stdin)), Path(sys.argv[1]))
