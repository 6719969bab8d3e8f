"""Display a run in Jupyter."""

from __future__ import annotations

from pathlib import Path

from goldfold.experiment.run_folders import FINISHED
from goldfold.report.run import summary


def show(run: Path) -> None:
    """Display a run's record and pictures in Jupyter; outside Jupyter, print its summary."""
    try:
        from IPython import get_ipython
        from IPython.display import Image, Markdown, display
    except ImportError:
        get_ipython = None
    if get_ipython is None or get_ipython() is None:
        print(summary.text(run))
        return
    display(Markdown((run / FINISHED).read_text(encoding="utf-8")))
    for path in sorted(run.glob("*.png")):
        display(Image(filename=str(path)))
