"""The config key `tracker:`: which trackers a run is sent to, each with its few settings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.config import validated
from goldfold.params import Params


class TensorBoardSettings(Params):
    """Where event files are written."""

    folder: str = Field("trackers/tensorboard", min_length=1, description="folder that tensorboard --logdir reads")


class WandbSettings(Params):
    """The W&B project, and whether it is sent over the network."""

    project: str | None = Field(None, min_length=1, description="name of the W&B project; default: the competition")
    entity: str | None = Field(None, min_length=1, description="W&B user or team; default: that of the login")
    mode: Literal["auto", "online", "offline"] = Field(
        "auto", description="auto is WANDB_MODE if that is set, else online with a login and offline without"
    )
    folder: str = Field("trackers/wandb", min_length=1, description="folder of W&B's local files")


class MlflowSettings(Params):
    """The MLflow store and experiment."""

    uri: str | None = Field(
        None, min_length=1, description="tracking store; default: MLFLOW_TRACKING_URI, else SQLite in the folder"
    )
    experiment: str | None = Field(None, min_length=1, description="MLflow experiment; default: the competition")
    folder: str = Field("trackers/mlflow", min_length=1, description="folder of the SQLite store and its artifacts")


SETTINGS: dict[str, type[Params]] = {
    "tensorboard": TensorBoardSettings,
    "wandb": WandbSettings,
    "mlflow": MlflowSettings,
}
Settings = Mapping[str, Params]  # name of a tracker -> its settings


def parse(given: Any, config: str) -> dict[str, Params]:
    """The trackers that a config or a command names, each with its settings; empty for None.

    given: a name, a list of names, or a mapping from names to settings, which may be None.

    Raises:
        GoldfoldError: `unknown_tracker`; `unknown_key`; `invalid_value`; `tracker_uri_with_password`.
    """
    wanted = _by_name(given, config)
    for name, own in wanted.items():
        if name not in SETTINGS:
            raise unknown("tracker", str(name), SETTINGS, code="unknown_tracker")
        for key in own:
            if key not in SETTINGS[name].model_fields:
                raise unknown(f"key of tracker {name}", str(key), SETTINGS[name].model_fields, code="unknown_key")
    found = {name: validated(SETTINGS[name], dict(own), f"{config}: tracker {name}") for name, own in wanted.items()}
    mlflow = found.get("mlflow")
    if isinstance(mlflow, MlflowSettings) and urlsplit(mlflow.uri or "").password:
        raise GoldfoldError(
            "tracker_uri_with_password",
            "tracker mlflow has a password in its uri, and configs and runs are shared: leave it out, and set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment",
        )
    return found


def _by_name(given: Any, config: str) -> dict[str, Mapping[str, Any]]:
    """Name -> settings as given, whatever the form."""
    if given is None or given == {}:
        return {}
    names = [given] if isinstance(given, str) else given
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
        return {name: {} for name in names}
    if isinstance(names, Mapping) and all(isinstance(own, Mapping) or own is None for own in names.values()):
        return {str(name): own or {} for name, own in names.items()}
    raise GoldfoldError(
        "invalid_value",
        f"config '{config}' has tracker: {given!r}, and it must be one of {', '.join(SETTINGS)}, a list of them, or a "
        "mapping such as {wandb: {project: solar}}: change it",
    )


PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}  # extra and tracker -> its package


def refuse_missing(settings: Settings) -> None:
    """Refuse a tracker whose package is not installed (`package_missing`)."""
    for name in settings:
        if find_spec(PACKAGES[name]) is None:
            raise GoldfoldError(
                "package_missing",
                f"tracker: {name} needs the extra `{name}`, which is not installed: pip install "
                f'"goldfold[{name}]", or leave the tracker out and send the run later with make track TO={name}',
            )
