"""`epochs.md`: which epoch every rule would choose and what that costs, then each epoch in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from goldfold.competition import Metric
from goldfold.experiment.saved_epochs import EpochOutput, RuleCost
from goldfold.io.formatting import number, shown
from goldfold.report.plotting.markdown import folded, table


def rules(metric: Metric, costs: Sequence[RuleCost]) -> str:
    """A line per rule: the epochs it chooses in the fits, the metric there, and how far below the best that is."""
    better = "higher" if metric.higher_is_better else "lower"
    lines = [[each.select, _chosen(each.epochs), number(each.metric), number(each.cost)] for each in costs]
    head = ("select", "epochs it chooses", f"{metric.name} ({better} is better)", "cost")
    return (
        f"{table(head, lines, left=2)}\n\n`best` is chosen by the very scores it is given: it is what a rule can reach "
        'at most, cost is the distance to it, and it is no score to quote. SET="select=<rule>" trains by a rule, '
        "make pick EPOCH=<number> lets one of these epochs predict."
    )


def _chosen(epochs: Sequence[int]) -> str:
    return str(epochs[0]) if len(set(epochs)) == 1 else " ".join(map(str, epochs))


def by_epoch(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A line per epoch that was looked at: `epoch`, `loss`, every score, every monitored value, and `alarms`.

    Where there are several stages `stage` stands first.
    """
    looked = [row for row in rows if row["metric"] is not None]
    stages = {row["stage"] for row in rows}
    return pd.DataFrame([({"stage": row["stage"]} if len(stages) > 1 else {}) | _line(row) for row in looked])


def numbered(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`by_epoch` to be drawn: epochs numbered through all stages, a column for the loss of each, and no alarms."""
    table = by_epoch(rows).drop(columns="alarms")
    if "stage" not in table:
        return table
    table["epoch"] = [place for place, row in enumerate(rows, 1) if row["metric"] is not None]
    losses = {f"loss of {stage}": table["loss"].where(table["stage"] == stage) for stage in table["stage"].unique()}
    return table.drop(columns=["stage", "loss"]).assign(**losses)


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    monitored = row["monitored"]
    values = {name: each["value"] for name, each in monitored.items()}
    alarms = ", ".join(each["alarm"] for each in monitored.values() if each["alarm"])
    return {"epoch": row["epoch"], "loss": sum(row["loss"].values()), **row["scores"], **values, "alarms": alarms}


def by_image(looks: Sequence[EpochOutput], ids: Sequence[Any]) -> pd.DataFrame:
    """Every score of every image in every epoch: `epoch`, `score`, then a column for each id."""
    lines = []
    for look in looks:
        names = [name for name in look.predictions.dtype.names or () if look.predictions[name].ndim == 1]
        for name in names:
            values = look.predictions[name].tolist()
            lines.append({"epoch": look.row["epoch"], "score": name, **dict(zip(map(str, ids), values, strict=True))})
    return pd.DataFrame(lines)


def page(title: str, told: str, fold: int, epochs: pd.DataFrame, images: pd.DataFrame) -> str:
    """The whole text: rules, then the tables of the pictured fold. told: `rules`."""
    cells = [[shown(value) for value in line] for line in epochs.itertuples(index=False)]
    parts = [f"# Epochs of {title}", told, f"## Fold {fold}, epoch by epoch", table(list(epochs.columns), cells)]
    for score, lines in images.groupby("score", sort=False) if len(images) else ():
        values = lines.drop(columns="score")
        rows = [[shown(value) for value in line] for line in values.itertuples(index=False)]
        parts.append(folded(f"{score} of each image", table(list(values.columns), rows)))
    return "\n\n".join(parts)
