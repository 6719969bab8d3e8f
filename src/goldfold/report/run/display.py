"""Show a run in Jupyter: its record and its pictures; elsewhere its summary is printed."""

from __future__ import annotations

from pathlib import Path

from goldfold.experiment.run_folders import FINISHED
from goldfold.report.run import summary


def show(run: Path) -> None:
    """Display the record and the pictures in Jupyter; print the summary elsewhere."""
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
