"""Where the kaggle client finds credentials; what they are is never read or shown."""

from __future__ import annotations

import os
from pathlib import Path

FILES = ("kaggle.json", "access_token", "access_token.txt", "credentials.json")
SETTINGS = "https://www.kaggle.com/settings"


def folders() -> list[Path]:
    """The folders in which the client looks for its files, the preferred first."""
    given = os.environ.get("KAGGLE_CONFIG_DIR")
    settings = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return [Path(given)] if given else [Path.home() / ".kaggle", Path(settings) / "kaggle"]


def source() -> str | None:
    """What holds credentials, without their values and without the folder; None if nothing does.

    Whether Kaggle accepts them is not asked.
    """
    if os.environ.get("KAGGLE_API_TOKEN"):
        return "KAGGLE_API_TOKEN in the environment"
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        return "KAGGLE_USERNAME and KAGGLE_KEY in the environment"
    return next((f"the file {name}" for folder in folders() for name in FILES if (folder / name).is_file()), None)
