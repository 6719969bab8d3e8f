"""Text of `epochs.md`: the epoch each rule would select and what that costs, then a table of all epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from goldfold.competition import Metric
from goldfold.experiment.saved_epochs import EpochOutput, RuleCost
from goldfold.io.formatting import number, shown
from goldfold.report.plotting.markdown import escaped, folded, table


def rules(metric: Metric, costs: Sequence[RuleCost]) -> str:
    """Table with a line per selection rule: the epochs it selects, their mean metric, and the distance to the best."""
    better = "higher" if metric.higher_is_better else "lower"
    lines = [[each.select, _chosen(each.epochs), number(each.metric), number(each.cost)] for each in costs]
    head = ("rule", "epoch of each fit", f"mean {metric.name} ({better} is better)", "cost")
    return (
        f"{table(head, lines, left=2)}\n\nCost is the distance to `best`, the best epoch by the scored fold itself: no "
        'rule can do better, and its score is optimistic. To train with a rule, set SET="select=<rule>"; to predict '
        "with one of these epochs, use make pick EPOCH=<number>."
    )


def _chosen(epochs: Sequence[int]) -> str:
    return str(epochs[0]) if len(set(epochs)) == 1 else " ".join(map(str, epochs))


def by_epoch(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row per scored epoch: `epoch`, `loss`, every score, every monitored value, and `alarms`.

    If there are several stages, `stage` is the first column.
    """
    scored = [row for row in rows if row["metric"] is not None]
    stages = {row["stage"] for row in rows}
    return pd.DataFrame([({"stage": row["stage"]} if len(stages) > 1 else {}) | _line(row) for row in scored])


def numbered(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`by_epoch` for plotting: epochs numbered through all stages, one loss column per stage, and no alarms."""
    table = by_epoch(rows).drop(columns="alarms")
    if "stage" not in table:
        return table
    table["epoch"] = [position for position, row in enumerate(rows, 1) if row["metric"] is not None]
    losses = {f"loss of {stage}": table["loss"].where(table["stage"] == stage) for stage in table["stage"].unique()}
    return table.drop(columns=["stage", "loss"]).assign(**losses)


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    monitored = row["monitored"]
    values = {name: each["value"] for name, each in monitored.items()}
    alarms = ", ".join(each["alarm"] for each in monitored.values() if each["alarm"])
    return {"epoch": row["epoch"], "loss": sum(row["loss"].values()), **row["scores"], **values, "alarms": alarms}


def by_image(looks: Sequence[EpochOutput], ids: Sequence[Any]) -> pd.DataFrame:
    """Scores of single images, a row per epoch and score: `epoch`, `score` (its name), then a column for each id."""
    lines = []
    for look in looks:
        names = [name for name in look.predictions.dtype.names or () if look.predictions[name].ndim == 1]
        for name in names:
            values = look.predictions[name].tolist()
            lines.append({"epoch": look.row["epoch"], "score": name, **dict(zip(map(str, ids), values, strict=True))})
    return pd.DataFrame(lines)


def page(title: str, rules_text: str, fit: tuple[int, int], epochs: pd.DataFrame, images: pd.DataFrame) -> str:
    """The whole page: the rules, then the tables of one fit. rules_text: from `rules`. fit: its fold and seed."""
    cells = [[shown(value) for value in line] for line in epochs.itertuples(index=False)]
    fold, seed = fit
    head = f"## Fold {fold} seed {seed}, epoch by epoch"
    parts = [f"# Epochs of {title}", rules_text, head, table(list(epochs.columns), cells)]
    for score, lines in images.groupby("score", sort=False) if len(images) else ():
        values = lines.drop(columns="score")
        rows = [[shown(value) for value in line] for line in values.itertuples(index=False)]
        parts.append(folded(f"{score} of each image", table([escaped(name) for name in values.columns], rows)))
    return "\n\n".join(parts)
