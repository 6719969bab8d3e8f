"""Audit a competition's data and folds before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from goldfold.experiment import config as configs
from goldfold.experiment.setup import accepting, prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.io.formatting import count
from goldfold.nn import feature_cache
from goldfold.training.devices import choose_device
from goldfold.trust import audits
from goldfold.trust.audits import Check, made, not_made
from goldfold.trust.data_audits import MOST_COMPARED, of_data
from goldfold.workflows.audit.result import Audit

MOST_FEATURES = 512  # train rows whose cached features are looked at


def audit_data(
    workspace: Workspace,
    name: str,
    config_name: str = "baseline",
    overrides: Sequence[str] = (),
    *,
    accept: Sequence[str] = (),
) -> Audit:
    """Audit what a run of this config would train on; nothing is trained or written but thumbnails in the cache.

    overrides: `key=value` words. accept: codes of findings that do not count as errors, beside those of the config.
    """
    recipes = workspace.competition(name, edited=True).recipes
    read = configs.read_config(workspace.config_path(name, config_name), overrides, recipes)
    config = accepting(replace(read, automatic=()), accept)  # no audit of data depends on a batch size
    workspace.prepare(name)
    found = prepare_experiment(workspace, name, config, choose_device("cpu"))
    checks = of_data(found, MOST_COMPARED)
    checks.append(cached_features(workspace.cache, found.contents[0].tolist(), "path" in found.experiment.tables.train))
    workspace.observer.close()
    return Audit(name=name, checks=tuple(checks), accepted=config.protocol.accept)


def cached_features(cache: Path, contents: Sequence[str], files: bool) -> Check:
    """Constant features in every part of the feature cache that knows half of some train files or more."""
    what, codes = "constant features in the cache", ["constant_feature"]
    if not files:
        return not_made(what, codes, "the tables have no `path`")
    wanted, findings, blocks = set(contents[:MOST_FEATURES]), [], 0
    for folder in sorted((cache / "features").glob("*/")):
        known = [features for content, features in feature_cache.stored(folder) if content in wanted]
        if len(known) >= max(2, len(wanted) / 2):
            blocks += 1
            findings += audits.constant_features(np.stack(known), f"cache/features/{folder.name[:12]}")
    if not blocks:
        return not_made(what, codes, "no features of the train files are cached yet")
    return made(f"{what}, {count(blocks, 'block')}", codes, findings)
