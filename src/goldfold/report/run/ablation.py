"""An ablation as table, text, page and picture: every metric of every variant, and what each variant cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from goldfold.experiment.run_folders import GRADE, run_name
from goldfold.io.files import read_json
from goldfold.io.formatting import interval, number, plain, shortened, shortened_apart, signed, signed_interval
from goldfold.report.plotting import markdown
from goldfold.report.plotting.style import INK, MUTED, figure, fold_color, png, reaches, styled, wrapped
from goldfold.report.run import hidden_scores
from goldfold.report.run.comparison import together

if TYPE_CHECKING:
    from goldfold.experiment.config import Config
    from goldfold.trust.run_comparison import MetricComparison, RunComparison

NO_GRADIENT = "none"
HALF = 36  # columns of text below one of two panels


def table(found: RunComparison, runs: Mapping[str, Path]) -> DataFrame:
    """A row per metric and variant, the reference first.

    runs: name of a variant -> its run. Columns: metric, variant, run; mean over folds, sd (ddof=1), folds (their
    number), low and high (95 % interval of the mean over folds), chance, untrained (the mean of the model before its
    first step, empty if it was not scored); difference to the reference, paired over folds, its 95 % interval
    (difference_low, difference_high), relative (difference / reference), better (number of folds), verdict; epochs,
    steps, samples and seconds of a fit; weights (trained ones); gradient_norm_<term>, mean over fits and epochs, empty
    for a term without gradient. Of graded runs also the competition's metric on the hidden labels, see `hidden_scores`:
    hidden_one_fold (mean over fits), hidden_one_fold_sd, hidden_best_fold, hidden_folds_combined, hidden_refit.
    """
    rows, first = [], next(iter(found.metrics))
    for metric, own in found.metrics.items():
        for variant, folder in runs.items():
            name = run_name(folder)
            costs = {**found.budgets[name], "weights": trained_weights(folder)}
            norms = {f"gradient_norm_{term}": norm for term, norm in gradient_norms(folder).items()}
            known = {"metric": metric, "variant": variant, "run": name, **_scores(own, name), **costs, **norms}
            rows.append(known | (_hidden(folder) if metric == first else {}))
    return DataFrame(rows)


def _hidden(run: Path) -> dict[str, float | None]:
    """Column -> score of a graded run on the hidden labels; empty if it was not graded."""
    found = hidden_scores.scores(run)
    columns = {f"hidden_{model.replace(' ', '_')}": each.score for model, each in found.items()}
    one = found.get(hidden_scores.ONE_FOLD)
    return columns | ({"hidden_one_fold_sd": one.sd} if one else {})


def _scores(own: MetricComparison, name: str) -> dict[str, Any]:
    summary, change = own.summaries[name], own.differences.get(name)
    low, high = summary.get("interval_95") or (None, None)
    edges = (change.interval if change else None) or (None, None)
    return {
        "mean": summary["mean"],
        "sd": summary["sd_ddof1"],
        "folds": summary["n"],
        "low": low,
        "high": high,
        "chance": summary["chance"],
        "untrained": _untrained(summary),
        "difference": change.mean if change else None,
        "difference_low": edges[0],
        "difference_high": edges[1],
        "relative": change.relative if change else None,
        "better": change.better if change else None,
        "verdict": change.verdict if change else None,
    }


def _untrained(summary: Mapping[str, Any]) -> float | None:
    return summary["untrained"]["mean"] if "untrained" in summary else None


def trained_weights(run: Path) -> int:
    """Number of weights that a fit trains, in its largest stage; 0 if nothing is trained by epochs."""
    fit = read_json(next(iter(sorted(run.glob("fold*-seed*/fit.json")))))
    return max((stage.get("weights", 0) for stage in fit["facts"].values() if isinstance(stage, dict)), default=0)


def gradient_norms(run: Path) -> dict[str, float | None]:
    """Loss term -> L2 norm of its own gradient, mean over fits and epochs; None if it has no gradient at all."""
    norms: dict[str, list[float]] = {}
    for path in sorted(run.glob("fold*-seed*/history.json")):
        for row in read_json(path):
            for term, norm in (row.get("gradient_norm") or {}).items():
                norms.setdefault(term, []).extend([] if norm is None else [norm])
    return {term: fmean(found) if found else None for term, found in norms.items()}


def changed_keys(variants: Mapping[str, Config], name: str) -> str:
    """The keys of a variant that differ from those of the reference, as text.

    variants: name -> config, the reference first.
    """
    reference, own = next(iter(variants.values())).resolved(), variants[name].resolved()
    return ", ".join(f"{key} {plain(value)}" for key, value in own.items() if reference.get(key) != value) or "-"


def text(found: RunComparison, runs: Mapping[str, Path], variants: Mapping[str, Config]) -> str:
    """The tables for a terminal, and the findings."""
    parts = [f"{heading}\n{body}" for heading, body in _tables(found, runs, variants).items()]
    return "\n\n".join([*parts, *(["\n".join(map(str, found.findings))] if found.findings else [])])


def page(name: str, found: RunComparison, runs: Mapping[str, Path], variants: Mapping[str, Config]) -> str:
    """The report in Markdown: picture, a table per metric, costs, findings."""
    parts = [f"# {name}", f"![differences to {next(iter(runs))}](ablation.png)"]
    parts += [f"## {heading}\n\n{body}" for heading, body in _tables(found, runs, variants).items()]
    if found.findings:
        parts.append("## Findings\n\n" + "\n".join(f"- {finding}" for finding in found.findings))
    return "\n\n".join(parts) + "\n"


def _tables(found: RunComparison, runs: Mapping[str, Path], variants: Mapping[str, Config]) -> dict[str, str]:
    """Heading -> table: one per metric, and one of the costs."""
    tables = {}
    for metric, own in found.metrics.items():
        first = next(iter(own.summaries.values()))
        better = "higher" if first["higher_is_better"] else "lower"
        heading = f"{metric}, {better} is better, chance {number(first['chance'])}; paired over {first['n']} folds"
        tables[heading] = _scores_table(own, runs)
    if any((folder / GRADE).exists() for folder in runs.values()):
        told = f"{next(iter(found.metrics))} on the hidden labels; the best fold was selected by its validation score"
        tables[told] = _hidden_table(found, runs)
    tables["Variants and what a fit costs"] = _costs_table(found, runs, variants)
    return tables


def _scores_table(own: MetricComparison, runs: Mapping[str, Path]) -> str:
    first = next(iter(own.summaries.values()))
    unit = "pp" if tuple(first["bounds"]) == (0, 1) else "difference"
    scale = 100 if unit == "pp" else 1
    edges = f"95 % interval{together(len(own.differences))}, {unit}"
    scored = any("untrained" in own.summaries[run_name(folder)] for folder in runs.values())
    middle = ["untrained"] if scored else []
    spread = f"sd (ddof=1, n={first['n']})"
    header = ("variant", "mean", spread, "95 % interval", *middle, unit, edges)
    rows = []
    for variant, folder in runs.items():
        summary, change = own.summaries[run_name(folder)], own.differences.get(run_name(folder))
        limits = summary.get("interval_95")
        scores = [
            number(summary["mean"]),
            number(summary["sd_ddof1"]) if summary["n"] > 1 else "-",
            interval(limits) if limits else "-",
            *([number(summary["untrained"]["mean"]) if "untrained" in summary else "-"] if scored else []),
        ]
        if change is None:
            rows.append([variant, *scores, "", "", "", "", ""])
            continue
        paired = [scale * edge for edge in change.interval] if change.interval else None
        relative = "-" if change.relative is None else f"{100 * change.relative:+.1f} %"
        difference = f"{100 * change.mean:+.2f}" if unit == "pp" else signed(change.mean)
        shown = "one fold" if paired is None else _edges(paired, unit)
        rows.append(
            [variant, *scores, difference, shown, relative, f"{change.better} of {change.folds}", change.verdict]
        )
    return markdown.table((*header, "relative", "better in folds", "verdict"), rows)


def _hidden_table(found: RunComparison, runs: Mapping[str, Path]) -> str:
    own = next(iter(found.metrics.values()))
    rows = []
    for variant, folder in runs.items():
        scores = hidden_scores.scores(folder)
        cells = [hidden_scores.score_text(scores[model]) if model in scores else "-" for model in hidden_scores.MODELS]
        rows.append([variant, number(own.summaries[run_name(folder)]["mean"]), *cells])
    return markdown.table(("variant", "CV", *hidden_scores.MODELS), rows)


def _edges(edges: Sequence[float], unit: str) -> str:
    return f"[{edges[0]:+.2f}, {edges[1]:+.2f}]" if unit == "pp" else signed_interval(edges)


def _costs_table(found: RunComparison, runs: Mapping[str, Path], variants: Mapping[str, Config]) -> str:
    norms = {variant: gradient_norms(folder) for variant, folder in runs.items()}
    terms = list(dict.fromkeys(term for own in norms.values() for term in own))
    header = ("variant", "run", "changes", "epochs", "steps", "samples", "seconds", "weights")
    rows = []
    for variant, folder in runs.items():
        spent = found.budgets[run_name(folder)]
        figures = [f"{spent[key]:,.0f}" for key in ("epochs", "steps", "samples")]
        own = [_norm(norms[variant], term) for term in terms]
        cells = [variant, folder.name, changed_keys(variants, variant), *figures, f"{spent['seconds']:.1f}"]
        rows.append([*cells, f"{trained_weights(folder):,}", *own])
    return markdown.table((*header, *(f"gradient norm of {term}" for term in terms)), rows, left=3)


def _norm(norms: Mapping[str, float | None], term: str) -> str:
    """A term's gradient norm; empty if the variant has no such term."""
    if term not in norms:
        return ""
    norm = norms[term]
    return NO_GRADIENT if norm is None else number(norm)


@styled()
def picture(found: RunComparison, runs: Mapping[str, Path]) -> bytes:
    """A PNG: the competition's metric of each variant, per fold and as mean, and the paired difference with interval.

    A variant whose interval contains 0 is not shown to differ from the reference.
    """
    own = next(iter(found.metrics.values()))
    metric, labels = next(iter(found.metrics)), list(runs)
    drawn = figure(1.3 + 0.42 * len(labels))
    scores, changes = drawn.subplots(1, 2, sharey=True, width_ratios=(1, 1))
    for place, (variant, folder) in enumerate(runs.items()):
        summary, change = own.summaries[run_name(folder)], own.differences.get(run_name(folder))
        for fold, score in summary["folds"].items():
            scores.plot(score, place, ".", color=fold_color(int(fold)), markersize=7)
        scores.plot(summary["mean"], place, "o", color=INK, markersize=6)
        if change is not None:
            low, high = change.interval or (change.mean, change.mean)
            changes.plot([low, high], [place, place], color=INK, linewidth=1.6)
            changes.plot(change.mean, place, "o", color=INK, markersize=6)
        else:
            changes.annotate(variant, (0, place), xytext=(6, 0), textcoords="offset points", color=MUTED, va="center")
    first = next(iter(own.summaries.values()))
    values = [score for each in own.summaries.values() for score in each["folds"].values()]
    if reaches(scores.get_xlim(), first["chance"], values):
        scores.axvline(first["chance"], color=MUTED, linewidth=0.8, linestyle=":")
        scores.annotate("chance", (first["chance"], -0.5), xytext=(3, -9), textcoords="offset points", color=MUTED)
    changes.axvline(0, color=MUTED, linewidth=0.8)
    names = shortened_apart(labels, lambda name: shortened(name, HALF))
    scores.set_yticks(range(len(labels)), [wrapped(name, HALF // 2) for name in names])
    scores.set_ylim(len(labels) - 0.5, -0.5)
    scores.set_xlabel(wrapped(f"{metric}: folds, and their mean", HALF))
    changes.set_xlabel(wrapped(f"difference to {labels[0]}, 95 % interval", HALF))
    return png(drawn)
