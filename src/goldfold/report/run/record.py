"""Text of a run's `record.md`: scores, findings of the audits, config, costs and how to reproduce it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goldfold.experiment import code_index
from goldfold.experiment.fits.initial_weights import INITIAL
from goldfold.experiment.run_folders import (
    BLEND,
    CALIBRATION,
    DECISIONS,
    GRADE,
    IMPORTED,
    REFIT,
    REFIT_FITS,
    REPORT,
    THRESHOLDS,
)
from goldfold.experiment.teachers.find import ARRAYS, FACTS, ROWS
from goldfold.export.rows import FACTS as FACTS_OF_EXPORT
from goldfold.io import clock
from goldfold.io.files import read_json
from goldfold.io.formatting import difference, interval, number, plain
from goldfold.report import capacity, decisions
from goldfold.report.anomaly import defect_kinds, defect_sizes, heat_maps
from goldfold.report.delivery import exports
from goldfold.report.ensemble import blends, imported
from goldfold.report.masks import page as masks
from goldfold.report.plotting.markdown import code, escaped, folded, table
from goldfold.report.retrieval import hash_curves
from goldfold.report.retrieval import page as retrieval
from goldfold.report.run import (
    classes,
    confusion,
    fits,
    hard_examples,
    hidden_scores,
    interval_text,
    mask_classes,
    parameter_groups,
)
from goldfold.report.run.hidden_scores import HiddenScore
from goldfold.report.tables import importances
from goldfold.training.hard_examples import FOLDER as HARD_EXAMPLES
from goldfold.trust.experiment_log.remarks import REMARKS

OPTIONAL = ("untrained", "best_possible")  # of the summary of a metric
LEVELS = ("error", "warning", "note")
PICTURES = {
    "fold_scores.png": "Score of each fold, their mean with its 95 % interval, and the chance level",
    "learning_curves.png": "Training losses, metric and learning rates of each fold, with the selected epochs",
    classes.PICTURE: "Average precision of each label, with its 95 % interval and chance level",
    hash_curves.PICTURE: "Precision and recall of hash codes within each Hamming radius, with the chance level",
    confusion.PICTURE: "Confusion matrix: share of each true class's rows that are predicted as each class",
    hard_examples.PICTURE: "Losses of the training rows with the largest losses, over the epochs, and their images",
    importances.PICTURE: "Importance of each feature, with its standard deviation over fits",
    heat_maps.MISSES: "Defects that score too low, with their anomaly maps",
    heat_maps.FALSE_ALARMS: "Normal images that score too high, with their anomaly maps",
    heat_maps.TEST: "Test images with the highest and the lowest scores, with their anomaly maps",
    "most_wrong.png": "Training images with the largest out-of-fold errors",
    masks.PICTURE: "Masks of the worst, the median and the best images beside the truth",
    "blend.png": "Scores of the runs and of each blending method, differences to the best run, and weights",
    **retrieval.PICTURES,
}
FILES = {
    "record.md": "this page",
    REPORT: "this page with its pictures, for a browser, as it was when it was asked for",
    "reproduce.json": "command, code, data, packages and machine",
    "config.json": "every config key with its value",
    "folds.csv": "validation fold of each id",
    ROWS: "rows that train beside those of the folds",
    FACTS: "the runs that taught this one",
    ARRAYS: "predictions of the teachers for each fold",
    capacity.RECORD: "trials of batch sizes, the batch size chosen and why",
    "oof.npy": "out-of-fold predictions, in the order of oof_ids.csv",
    "oof_ids.csv": "ids of the rows of oof.npy",
    "test.npy": "test predictions, combined over all fits, in the order of test_ids.csv",
    "test_ids.csv": "ids of the rows of test.npy",
    "metrics.json": "fold scores, mean, sd, intervals and chance level of each metric",
    classes.CLASSES: "scores of each label on the pooled out-of-fold rows",
    mask_classes.TABLE: "scores of each class of masks on the pooled out-of-fold images, with intervals",
    confusion.CONFUSION: "rows of each true class that are predicted as each class",
    defect_kinds.TABLE: "AUROC of each kind of defect, out of fold",
    CALIBRATION: "predicted probabilities and how often they were right, in ten bins",
    THRESHOLDS: "threshold of each label, learned on all folds, and scores at nested thresholds",
    DECISIONS: "values of decisions, fitted on all folds, their nested scores, and what choosing flatters",
    hard_examples.TABLE: "training rows with the largest losses, mean over fits",
    importances.TABLE: "importance of each feature, its mean and standard deviation over fits",
    hash_curves.TABLE: "precision and recall of hash codes within each Hamming radius, of every fit",
    "findings.json": "findings of the audits",
    clock.FILE: "wall and CPU seconds of each phase outside the fits, whose folders have their own",
    "checks.json": "what the audits looked at, the codes, and why not at the rest",
    REMARKS: "remarks of the experiment log, with their times",
    GRADE: "scores on the hidden labels: of the submission, of each fit, of the refit",
    REFIT: "rows, epochs and seeds of the refit on all rows",
    FACTS_OF_EXPORT: "how the export differs from the run, its size, and its time beside torch",
    BLEND: "runs, blending methods, nested scores and weights",
    IMPORTED: "hashes of the imported files, and how their folds compare with those that score them",
    retrieval.QUERIES: "average precision, rank of the first relevant row and top 5 ids of each query",
    retrieval.SPLITS: "score of each query/gallery split in each fold",
    retrieval.FACTS: "size of query set and gallery in each fold, and the spread of its embeddings",
    **PICTURES,
}


def record(
    run: Path,
    *,
    defaults: Mapping[str, Any],
    checked: Sequence[str],
    not_checked: Sequence[str] = (),
    submission: str | None = None,
) -> str:
    """The text of `record.md`, made from the other files of the run's folder.

    defaults: the resolved config of the same recipe with nothing set. checked: what was audited, a phrase each.
    not_checked: what was not, with the reason. submission: path of that file.

    Raises:
        GoldfoldError: a file of the folder is missing or damaged.
    """
    config, metrics = read_json(run / "config.json"), read_json(run / "metrics.json")
    reproduce, trained = read_json(run / "reproduce.json"), fits.read(run)
    rows, models = _scored_rows(run), not ((run / BLEND).exists() or (run / IMPORTED).exists())
    sections = {
        "Findings": _findings(read_json(run / "findings.json"), checked, not_checked),
        "Imported predictions": imported.section(run),
        "Blend": blends.section(run),
        "Hidden labels and refit": hidden_scores.section(run),
        "Training rows": fits.training_rows(run, config),
        "Folds": fits.scores(trained, metrics, rows, config.get("select", "last")),
        "Decisions": decisions.section(run),
        "Metrics": _metrics(metrics),
        "Classes": classes.section(run)
        or mask_classes.section(run)
        or confusion.section(run)
        or defect_kinds.section(run),
        "Defect sizes": defect_sizes.section(trained),
        "Hard examples": hard_examples.section(run),
        "Features": importances.section(run),
        "Retrieval": _retrieval(run, metrics),
        "Parameter groups": parameter_groups.section(trained),
        "Budget": "\n\n".join([fits.budget(trained, reproduce["hardware"]), *fits.spent(run)]) if models else "",
        "Batch size": capacity.section(run),
        "Export": exports.section(run),
        "Config": _config(config, defaults),
        "Pictures": _pictures(run),
        "How to reproduce": _reproduce(reproduce, config),
        "Files": _files(run),
    }
    title = f"# {run.parent.name} / {run.name}\n\nRecipe `{config['recipe']}`, config `{config['config']}`."
    parts = [title, _result(metrics, rows, hidden_scores.scores(run).get(hidden_scores.TOGETHER), submission)]
    parts += [f"## {heading}\n\n{text}" for heading, text in sections.items() if text]
    return "\n\n".join(parts) + "\n"


def _scored_rows(run: Path) -> Mapping[int, int]:
    """Fold -> number of rows it scores."""
    import pandas as pd

    return Counter(pd.read_csv(run / "folds.csv", usecols=["fold"])["fold"])


def _result(
    metrics: Mapping[str, Any], rows: Mapping[int, int], hidden: HiddenScore | None, submission: str | None
) -> str:
    """Score with interval and chance level, pooled score, hidden score, and submission."""
    name, summary = next(iter(metrics.items()))
    better = _better(summary)
    lines = [f"{_headline(name, summary)}; chance level {number(summary['chance'])}, {better} is better."]
    lines += decisions.headline(summary)
    if "untrained" in summary:
        distance = difference(summary["mean"], summary["untrained"]["mean"], "it")
        lines.append(
            f"Untrained, scored on the same folds by the same protocol: {number(summary['untrained']['mean'])}; the "
            f"trained model is {distance}."
        )
    if "pooled" in summary:
        count, spread = sum(rows[int(fold)] for fold in summary["folds"]), interval_text.of_pooled(summary)
        lines.append(f"Pooled over all {count:,} out-of-fold rows: {number(summary['pooled'])}, {spread}.")
    if hidden:
        distance = difference(hidden.score, summary["mean"], "the mean over folds")
        lines.append(f"On the hidden test labels: **{number(hidden.score)}**, {distance}.")
    lines.append(f"Submission: `{submission}`." if submission else "No submission: this run is an exploration.")
    return "\n\n".join([*lines, f"Protocol: {summary['protocol']}."])


def _headline(name: str, summary: Mapping[str, Any]) -> str:
    if summary["sd_ddof1"] is None:
        return f"**{name} {number(summary['mean'])}** (one fold: no spread), {interval_text.of_mean(summary)}"
    return (
        f"**{name} {number(summary['mean'])} ± {number(summary['sd_ddof1'])}** (mean ± sd over folds, ddof=1, "
        f"n={summary['n']}), {interval_text.of_mean(summary)}"
    )


def _better(summary: Mapping[str, Any]) -> str:
    return "higher" if summary["higher_is_better"] else "lower"


def _findings(findings: Sequence[Mapping[str, str]], checked: Sequence[str], not_checked: Sequence[str]) -> str:
    """Findings, the most severe first; a finding of several folds is listed once."""
    folds: dict[tuple[str, str, str], list[str]] = {}
    for finding in sorted(findings, key=lambda finding: LEVELS.index(finding["level"])):
        folds.setdefault((finding["level"], finding["code"], finding["message"]), []).append(finding["where"])
    lines = [
        f"- **{level}** `{name}` ({escaped('; '.join(where))}): {escaped(text)}"
        for (level, name, text), where in folds.items()
    ]
    text = "\n".join(lines) or "No findings."
    looked = [("Checked", ", ".join(checked)), ("Not checked", "; ".join(not_checked))]
    return "\n\n".join([text, *(f"{how}: {escaped(what)}." for how, what in looked if what)])


def _metrics(metrics: Mapping[str, Any]) -> str:
    """Table of all metrics."""
    lines = []
    for name, summary in metrics.items():
        edges, pooled = summary.get("interval_95"), summary.get("pooled_interval_95")
        columns = {
            "metric": name,
            "mean": number(summary["mean"]),
            f"sd (ddof=1, n={summary['n']})": number(summary["sd_ddof1"]) if summary["n"] > 1 else "-",
            "95 % interval of mean": interval(edges) if edges else "-",
            "pooled": number(summary["pooled"]) if "pooled" in summary else "-",
            "95 % interval of pooled": interval(pooled) if pooled else "-",
            "chance level": number(summary["chance"]),
            "untrained": number(summary["untrained"]["mean"]) if "untrained" in summary else "-",
            "best possible": number(summary["best_possible"]) if "best_possible" in summary else "-",
            "range": "[{:g}, {:g}]".format(*summary["bounds"]),
            "better": _better(summary),
        }
        lines.append(columns)
    absent = {key.replace("_", " ") for key in OPTIONAL if not any(key in summary for summary in metrics.values())}
    lines = [{key: value for key, value in columns.items() if key not in absent} for columns in lines]
    return f"{table(list(lines[0]), [list(columns.values()) for columns in lines])}\n\n{interval_text.EXPLAINED}"


def _retrieval(run: Path, metrics: Mapping[str, Any]) -> str:
    """The section on retrieval, if the run predicts embeddings."""
    facts = run / retrieval.FACTS
    return retrieval.section(read_json(facts), metrics) if facts.exists() else ""


def _config(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Keys that differ from the defaults, then all keys."""
    changed = [key for key in config if key not in ("config", "recipe") and config[key] != defaults.get(key)]
    lines = [[f"`{key}`", escaped(plain(config[key])), escaped(plain(defaults.get(key)))] for key in changed]
    own = table(("key", "value", "default"), lines, left=3) if lines else "All keys have their defaults."
    text = "\n".join(f"{key}: {plain(value)}" for key, value in config.items())
    return f"{own}\n\n{folded(f'All {len(config)} keys', text)}"


def _pictures(run: Path) -> str:
    return "\n\n".join(f"![{caption}]({name})" for name, caption in PICTURES.items() if (run / name).exists())


def _reproduce(reproduce: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The command to repeat the run, and the code, packages and machine it ran with."""
    git = reproduce["git"]
    checkout = [f"git checkout {git['commit']}"] if re.fullmatch(r"[0-9a-f]{40,64}", git["commit"]) else []
    command = code("\n".join([*checkout, reproduce["command"]]), "sh")
    texts = {
        key.replace("_", " "): text for key, text in reproduce.items() if isinstance(text, str) and key != "command"
    }
    facts = {
        "code": f"{git['commit']}, branch {git['branch']}, {git['worktree']}" if checkout else git["commit"],
        "seeds": f"folds {config['seed']}, fits {plain(config['seeds'])}",
        **texts,
        **machine_facts(reproduce),
    }
    return command + "\n\n" + "\n".join(f"- {name}: {escaped(text)}" for name, text in facts.items())


def machine_facts(found: Mapping[str, Any]) -> dict[str, str]:
    """Packages, processor, memory and GPUs as text; found: from `provenance.machine`, perhaps of an older version."""
    hardware = found["hardware"]
    cards = [f"{card['name']} ({_sizes(card['memory_gib'], card.get('free_gib'))})" for card in hardware["gpus"]]
    return {
        "packages": ", ".join(f"{name} {version}" for name, version in found["packages"].items()),
        "processor": f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['torch_threads']} torch threads",
        "memory": _sizes(hardware["memory_gib"], hardware.get("memory_free_gib")),
        "GPUs": ", ".join(cards) + f"; CUDA {hardware.get('cuda', 'unknown')}" if cards else "none",
    }


def _sizes(total: float | str, free: float | str | None) -> str:
    return f"{total} GiB" + (f", {free} GiB free" if free is not None and free != "unknown" else "")


def _files(run: Path) -> str:
    names = {path.name for path in run.iterdir() if path.is_file() and not path.name.startswith(".")} | {"record.md"}
    lines = [f"- `{name}`: {FILES[name]}" for name in FILES if name in names]
    lines += [f"- `{name}`" for name in sorted(names - FILES.keys())]
    kept = f"each fit's fit.json, history.json, {clock.FILE}, validation.npy, test.npy, checkpoints/"
    if any(run.glob(f"fold*/{code_index.FILE}")):
        kept += f", {code_index.FILE} (codes, ids and labels of its training rows)"
    if hard_examples.TABLE in names:
        kept += f", {HARD_EXAMPLES}/ (losses of its training rows and the largest, after every epoch)"
    if any(run.glob(f"fold*/{INITIAL}")):
        kept += f", {INITIAL} (the checkpoint it started from)"
    if BLEND in names:
        kept = "the score of each fold, and the method that predicts it"
    if IMPORTED in names:
        kept = "the score of each fold"
    lines.append(f"- `fold<k>-seed<s>/`: {kept}")
    lines += [f"- `{REFIT_FITS}/`: test predictions and fits of the refit on all rows"] if REFIT in names else []
    return "\n".join(lines)
