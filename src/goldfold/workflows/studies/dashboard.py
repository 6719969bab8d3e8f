"""Show a study's storage in the browser with optuna-dashboard."""

from __future__ import annotations

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.workspace import Workspace
from goldfold.tuning import storages
from goldfold.tuning.work import studies_folder


def dashboard(
    workspace: Workspace, competition: str, study: str = "baseline", *, storage: str | None = None, port: int = 8322
) -> None:
    """Serve the dashboard on this machine until it is interrupted.

    storage: a database URL; None: the journal file of the study.

    Raises:
        GoldfoldError: there is no such study, its storage does not answer, or the port is taken.
    """
    folder = studies_folder(workspace, competition)
    known = [path.name for path in folder.glob("*") if path.is_dir()]
    if not storage and study not in known:
        raise unknown(f"study of {competition}", study, known, code="unknown_study")
    place = storages.open_storage(storage, folder / study)
    from optuna_dashboard import run_server

    workspace.observer.line(f"{place.shown} at http://127.0.0.1:{port}/dashboard until Ctrl-C")
    try:
        run_server(place.backend, host="127.0.0.1", port=port)
    except OSError as error:
        raise GoldfoldError(
            "port_unusable", f"port {port} cannot be used ({error.strerror}): give another PORT"
        ) from error
