"""`dashboard`: a study's storage in the browser, shown by optuna-dashboard."""

from __future__ import annotations

from argparse import Namespace

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment import workspace
from goldfold.tuning import storages


def run(arguments: Namespace) -> None:
    folder = workspace.RUNS / arguments.comp / "studies"
    known = [path.name for path in folder.glob("*") if path.is_dir()]
    if not arguments.storage and arguments.study not in known:
        raise unknown(f"study of {arguments.comp}", arguments.study, known)
    storage = storages.open_storage(arguments.storage, folder / arguments.study)
    from optuna_dashboard import run_server

    print(f"{storage.shown} at http://127.0.0.1:{arguments.port}/dashboard until Ctrl-C", flush=True)
    try:
        run_server(storage.backend, host="127.0.0.1", port=arguments.port)
    except OSError as error:
        raise GoldfoldError(f"port {arguments.port} cannot be used ({error.strerror}): give another PORT") from error
