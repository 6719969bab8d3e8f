"""Two workers of one thread each against one worker of one thread, on a study of trials that all cost the same.

    .venv/bin/python benchmarks/study_workers.py [--trials 20] [--repeats 2]

The study searches the learning rate of the digits' small network over two folds of two epochs, unpruned, so that every
trial does the same work. Each study begins in a project folder of its own with the data prepared. It is asserted first
that both studies hold as many trials, all complete, and that trial 0 has the same value to the bit; then come the wall
times of whole commands, start-up included, as medians of interleaved repeats, and their ratio.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from goldfold.tuning import storages

ROOT = Path(__file__).parent.parent
CONFIG = """recipe: image_classifier
epochs: 2
folds: [0, 1]
search:
  learning_rate: {low: 1.0e-3, high: 1.0e-2, log: true}
"""


def project(folder: Path) -> Path:
    """A project with the digits alone, prepared."""
    shutil.copytree(ROOT / "competitions", folder / "competitions")
    (folder / "configs" / "digits").mkdir(parents=True)
    (folder / "configs" / "digits" / "short.yaml").write_text(CONFIG)
    subprocess.run([sys.executable, "-m", "goldfold", "prepare", "--comp", "digits"], cwd=folder, check=True)
    return folder


def studied(folder: Path, workers: int, trials: int) -> tuple[float, list[float]]:
    """Wall seconds of the command, and the trials' values by number."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    command = [sys.executable, "-m", "goldfold", "tune", "--comp", "digits", "--config", "short", "--unpruned"]
    command += ["--trials", str(trials), "--redraws", "0", "--workers", str(workers), "--threads", "1", "--quiet"]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "CI": "1"})
    seconds = time.perf_counter() - started
    storage = storages.open_storage(None, folder / "runs" / "digits" / "studies" / "short")
    (study,) = storage.backend.get_all_studies()
    found = storage.backend.get_all_trials(study._study_id)
    assert len(found) == trials, f"{len(found)} of {trials} trials"
    assert all(trial.state.name == "COMPLETE" for trial in found)
    return seconds, [trial.value for trial in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = project(Path(folder))
        one, two = [], []
        for _ in range(arguments.repeats):
            alone, values = studied(place, 1, arguments.trials)
            both, others = studied(place, 2, arguments.trials)
            assert values[0] == others[0], "trial 0 must not depend on the number of workers"
            one.append(alone), two.append(both)
    print(f"{arguments.trials} trials of 2 fits, {os.cpu_count()} cores, {arguments.repeats} interleaved repeats")
    for name, seconds in (("1 worker ", one), ("2 workers", two)):
        print(f"{name}  {statistics.median(seconds):6.1f} s  [{min(seconds):.1f}, {max(seconds):.1f}]")
    print(f"ratio      {statistics.median(two) / statistics.median(one):6.2f}")


if __name__ == "__main__":
    main()
