"""What this machine and its installation offer, as lines of text without secrets or names of host and user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldfold.experiment.identity import provenance
from goldfold.io.formatting import width
from goldfold.kaggle import credentials
from goldfold.report.run.record import machine_facts
from goldfold.training.devices import choose_device


@dataclass(frozen=True)
class Environment:
    """Facts by name, each a line of text; `str` aligns them."""

    facts: Mapping[str, str]

    def __str__(self) -> str:
        widest = max(map(width, self.facts))
        return "\n".join(f"{name}{' ' * (widest - width(name))}  {text}" for name, text in self.facts.items())


def environment() -> Environment:
    """Look at versions, device, memory, and whether there are Kaggle credentials."""
    found: dict[str, Any] = provenance.machine()
    facts = {
        "Python": found["python"],
        "system": found["os"],
        **found["packages"],
        "device": f"{choose_device()}, which `train` takes by default",
        **{name: text for name, text in machine_facts(found).items() if name != "packages"},
        "Kaggle credentials": credentials.source()
        or f"none: create an API token at {credentials.SETTINGS} and move its file kaggle.json into ~/.kaggle",
    }
    return Environment(facts)
