"""Pruning over folds and epochs: planted trials, the probability against SciPy, and how many good trials it costs."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats

from goldfold.tuning import pruning
from goldfold.tuning.pruning import prune_after_fold, prune_within_fold
from goldfold.tuning.trials import TrialRecord

ORDER = (3, 0, 4, 1, 2)
SCORES = (
    (0.90, 0.92, 0.89, 0.93, 0.91),
    (0.88, 0.91, 0.88, 0.91, 0.90),
    (0.87, 0.90, 0.86, 0.91, 0.88),
)  # folds 0 to 4
SHARES = tuple(round(0.1 * epoch, 1) for epoch in range(1, 11))


def trial(number: int, scores, state="complete", curves=None) -> TrialRecord:
    folds = scores if isinstance(scores, dict) else {fold: scores[fold] for fold in ORDER}
    return TrialRecord(number=number, state=state, params={}, folds=folds, curves=curves or {})


def trials(scores=SCORES, sign: int = 1) -> list[TrialRecord]:
    return [trial(number, sign * np.asarray(row)) for number, row in enumerate(scores)]


def rising(end: float, speed: float = 3.0) -> list[tuple[float, float]]:
    """A curve that saturates at about `end`."""
    return [(share, end * (1 - np.exp(-speed * 3 * share))) for share in SHARES]


def trained(ends=(0.95, 0.93, 0.91, 0.80, 0.60, 0.40)) -> list[TrialRecord]:
    """Complete trials whose curves rank early as they end, with some noise in every look."""
    rng = np.random.default_rng(0)
    found = []
    for number, end in enumerate(ends):
        curves = {fold: [(share, value + rng.normal(0, 0.004)) for share, value in rising(end)] for fold in ORDER}
        found.append(trial(number, {fold: curve[-1][1] for fold, curve in curves.items()}, curves=curves))
    return found


def first_cut(curve, folds, earlier, fold=3, higher_is_better=True) -> float | None:
    """The share of epochs at which a curve is given up."""
    for looks in range(1, len(curve)):
        if prune_within_fold(fold, curve[:looks], folds, ORDER, earlier, higher_is_better):
            return curve[looks - 1][0]
    return None


def test_a_clearly_worse_trial_stops_after_one_fold_and_says_why():
    reason = prune_after_fold({3: 0.80}, ORDER, trials(), True)
    assert reason.startswith("after 1 of 5 folds, its mean over all folds is forecast as 0.7")
    assert "beats trial 0's 0.91 with a probability of " in reason
    assert not prune_after_fold({3: 0.925}, ORDER, trials(), True)


def test_a_trial_that_equals_the_best_goes_on_after_every_fold():
    done = {}
    for fold in ORDER:
        done[fold] = SCORES[0][fold]
        assert prune_after_fold(done, ORDER, trials(), True) is None


def test_lower_is_better_is_the_mirror_image():
    for score in np.linspace(0.8, 0.95, 31):
        up = prune_after_fold({3: score}, ORDER, trials(), True)
        down = prune_after_fold({3: -score}, ORDER, trials(sign=-1), False)
        assert (up is None) == (down is None)
    assert "beats trial 0's -0.91" in prune_after_fold({3: -0.8}, ORDER, trials(sign=-1), False)


def test_an_easy_fold_done_first_does_not_flatter_and_a_hard_one_does_not_harm():
    hard = np.asarray(SCORES) - (0, 0.3, 0, 0, 0)
    assert prune_after_fold({1: 0.62}, ORDER, trials(hard), True) is None  # as the best trial on that fold
    assert prune_after_fold({0: 0.62}, ORDER, trials(hard), True)
    above_best_mean = 0.82  # and below the best trial's score of that fold
    assert prune_after_fold({0: above_best_mean}, ORDER, trials(hard), True)


def test_only_which_folds_are_done_counts_not_the_order():
    done = {0: 0.885, 4: 0.89}
    one = prune_after_fold(done, ORDER, trials(), True)
    assert one == prune_after_fold(dict(reversed(done.items())), sorted(ORDER), trials()[::-1], True)


@pytest.mark.parametrize("done", [{3: 0.90}, {3: 0.90, 0: 0.87}, {3: 0.90, 0: 0.87, 4: 0.88, 1: 0.89}])
def test_the_probability_is_that_of_a_prediction_from_paired_folds(done, monkeypatch):
    """The remaining folds' excess is one more draw of what the complete trials show; SciPy has its t distribution."""
    rest = [fold for fold in ORDER if fold not in done]
    scores, at = np.asarray(SCORES), list(done)
    centred = scores - scores.mean(1, keepdims=True) - scores.mean(0) + scores.mean()
    sd = np.sqrt((centred**2).sum() / 8 * (1 / len(at) + 1 / len(rest)) * (1 + 1 / 3)) * len(rest) / 5
    excess = (scores[:, rest].mean(1) - scores[:, at].mean(1)).mean()
    mean = np.mean(list(done.values())) + len(rest) / 5 * excess
    expected = stats.t(df=8, loc=mean, scale=sd).sf(0.91)
    monkeypatch.setattr(pruning, "MIN_PROBABILITY", expected * 1.001)
    told = prune_after_fold(done, ORDER, trials(), True)
    assert f"forecast as {mean:.4g} ± {sd:.1g}" in told
    monkeypatch.setattr(pruning, "MIN_PROBABILITY", expected * 0.999)
    assert prune_after_fold(done, ORDER, trials(), True) is None


def test_too_little_experience_says_nothing():
    bad = {3: 0.1}
    assert prune_after_fold(bad, ORDER, trials()[:2], True) is None
    assert prune_after_fold(bad, ORDER, [*trials()[:2], trial(7, SCORES[2], state="pruned")], True) is None
    assert prune_after_fold(bad, ORDER, [*trials()[:2], trial(7, SCORES[1])], True) is None  # the same trial again
    assert prune_after_fold(bad, ORDER, [*trials()[:2], trial(7, {3: 0.8, 0: 0.8})], True) is None
    assert (
        prune_after_fold(bad, ORDER, trials([(0.5 + level,) * 5 for level in (0.1, 0.2, 0.3)]), True) is None
    )  # no noise
    assert prune_after_fold({}, ORDER, trials(), True) is None
    assert prune_after_fold(dict.fromkeys(ORDER, 0.1), ORDER, trials(), True) is None  # it is finished
    assert prune_after_fold({3: float("nan")}, ORDER, trials(), True) is None
    assert prune_after_fold(bad, ORDER, [*trials()[:2], trial(7, (0.9, float("nan"), 0.9, 0.9, 0.9))], True) is None
    assert prune_after_fold(bad, ORDER, trials(), True)


def test_trials_that_broke_down_early_do_not_hide_the_noise_of_good_ones():
    broken = [(0.1, 0.5, 0.9, 0.2, 0.6), (0.7, 0.1, 0.2, 0.8, 0.1), (0.3, 0.3, 0.9, 0.1, 0.5)]
    assert prune_after_fold({3: 0.80}, ORDER, trials([*broken, *SCORES]), True)


def wronged(effect: float, count: int = 300) -> tuple[int, int, int]:
    """(trials, pruned, pruned though they would have been the best so far) of simulated studies of 12 trials."""
    rng = np.random.default_rng(5)
    total = pruned = wrong = 0
    for _ in range(count):
        earlier, best, difficulty = [], -np.inf, rng.normal(0, 0.05, 5)
        for number in range(12):
            scores = rng.normal(0, effect) + difficulty + rng.normal(0, 0.01, 5)
            done, stopped = {}, False
            for fold in ORDER[:-1]:
                done[fold] = scores[fold]
                stopped = stopped or bool(prune_after_fold(done, ORDER, earlier, True))
            total, pruned, wrong = total + 1, pruned + stopped, wrong + (stopped and scores.mean() > best)
            if not stopped:
                earlier.append(trial(number, scores))
                best = max(best, scores.mean())
    return total, pruned, wrong


@pytest.mark.parametrize("effect", [0.0, 0.01, 0.04])
def test_few_of_the_pruned_would_have_become_the_best(effect):
    total, pruned, wrong = wronged(effect)
    assert wrong <= 0.03 * pruned
    assert pruned >= 0.3 * total


def test_a_bad_curve_stops_within_its_first_fold_and_not_in_the_first_share():
    reason = prune_within_fold(3, rising(0.5)[:4], {}, ORDER, trained(), True)
    assert re.match(
        r"at 40% of fold 3, where the metric is 0\.4\d+, its mean over all folds is forecast as 0\.5", reason
    )
    assert first_cut(rising(0.5), {}, trained()) == 0.2
    assert first_cut(rising(0.96), {}, trained()) is None


def test_a_curve_of_a_lower_is_better_metric_is_the_mirror_image():
    flipped = [
        trial(
            record.number,
            {fold: -score for fold, score in record.folds.items()},
            curves={fold: [(share, -value) for share, value in curve] for fold, curve in record.curves.items()},
        )
        for record in trained()
    ]
    assert first_cut([(share, -value) for share, value in rising(0.5)], {}, flipped, higher_is_better=False) == 0.2
    assert first_cut([(share, -value) for share, value in rising(0.96)], {}, flipped, higher_is_better=False) is None


def late(end: float) -> list[tuple[float, float]]:
    """A curve that does nothing at first, then rises ever faster."""
    return [(share, 0.1 + (end - 0.1) * share**3) for share in SHARES]


def test_a_late_blooming_curve_goes_on():
    assert first_cut(late(0.97), {}, trained()) is None


def test_where_late_bloomers_were_seen_a_flat_start_says_nothing():
    rng = np.random.default_rng(1)
    earlier = trained()
    for number, end in enumerate((0.94, 0.92, 0.95, 0.70), start=10):
        curves = {fold: [(s, 0.3 if s < 0.8 else end + rng.normal(0, 0.005)) for s in SHARES] for fold in ORDER}
        earlier.append(trial(number, {fold: curve[-1][1] for fold, curve in curves.items()}, curves=curves))
    flat = [(share, 0.3) for share in SHARES]
    assert first_cut(flat[:7], {}, earlier) is None
    assert first_cut(flat[:7], {}, trained((0.95, 0.93, 0.91, 0.80, 0.60, 0.25)))


def test_a_dip_is_no_reason_to_stop():
    dipped = [(share, value if share != 0.5 else 0.55) for share, value in rising(0.96)]
    assert first_cut(dipped, {}, trained()) is None
    assert first_cut(rising(0.55), {}, trained())


def test_the_end_of_a_curve_is_predicted_as_a_regression_line_predicts():
    rng = np.random.default_rng(2)
    x = rng.uniform(0.5, 0.8, 6)
    y = 0.3 + 0.7 * x + rng.normal(0, 0.02, 6)
    others = [(np.array([[0.1, 0.5], [0.0, value]]), end) for value, end in zip(x, y, strict=True)]
    found = pruning._forecast_end(np.array([[0.5], [0.6]]), others)
    line = stats.linregress(x, y)
    left = np.sum((y - line.intercept - line.slope * x) ** 2) / 4
    assert found.mean == pytest.approx(line.intercept + 0.6 * line.slope)
    assert found.variance == pytest.approx(left * (1 + 1 / 6) + left * (0.6 - x.mean()) ** 2 / (6 * x.var()))
    assert found.freedom == 4


def test_good_folds_before_weigh_against_a_bad_start_of_the_next():
    earlier = trained()
    slow = [(share, value - 0.02 * (1 - share)) for share, value in rising(0.95)]
    assert first_cut(slow, dict.fromkeys(ORDER[1:], 0.97), earlier) is None
    assert first_cut(slow, dict.fromkeys(ORDER[1:], 0.85), earlier)


def line(pairs) -> pruning._Forecast | None:
    """What curves with (value at half of the epochs, end) foretell of one at 0.6."""
    others = [(np.array([[0.5, 1.0], [value, end]]), end) for value, end in pairs]
    return pruning._forecast_end(np.array([[0.5], [0.6]]), others)


def test_a_line_is_drawn_through_the_nearest_curves_that_rank_as_they_end():
    near = [(0.55 + 0.02 * step, 0.8 + 0.01 * step + 0.001 * (step % 2)) for step in range(6)]
    far = [(0.9 + 0.01 * step, 0.5 + 0.01 * step) for step in range(3)]
    assert line(near + far) == line(near)
    assert line([(value, 1 - end) for value, end in near]) is None
    assert line([(0.5, 0.7), (0.6, 0.8), (0.7, 0.9)]) is None  # on one line, which says nothing of what departs from it
    assert line(near[:2]) is None
    assert line([*near[1:3]] * 3) is None
    assert line([(0.7, 0.8), (0.8, 0.9), (0.9, 0.95)]) is None  # none was as low


def test_two_forecasts_are_weighed_by_precision():
    sure, vague = pruning._Forecast(0.9, 0.01, 8), pruning._Forecast(0.6, 0.03, 3)
    assert pruning._combined(sure, vague) == pytest.approx((0.825, 0.0075, 3))  # 1 / (1 / 0.01 + 1 / 0.03)
    assert pruning._combined(sure, vague) == pytest.approx(pruning._combined(vague, sure))


def test_a_curve_and_the_folds_before_it_foretell_its_end_together():
    known, end = pruning._experience(ORDER, trials(), True), pruning._Forecast(0.85, 0.0004, 1)
    alone, sure = known.finished_with({}, 3, end), known.finished({3: 0.85})
    assert alone == pytest.approx((sure.mean, sure.variance + 0.0004, 1))  # few curves leave heavy tails
    by_fold = np.mean([row[3] - row[0] for row in SCORES]) + 0.9
    variance = known.noise * (1 + 1) * (1 + 1 / 3)
    joined = (0.85 / 0.0004 + by_fold / variance) / (1 / 0.0004 + 1 / variance)
    sure = known.finished({0: 0.9, 3: joined})
    found = known.finished_with({0: 0.9}, 3, end)
    assert found == pytest.approx((sure.mean, sure.variance + 1 / (1 / 0.0004 + 1 / variance) / 4, 1))


def test_curves_that_cannot_tell_say_nothing():
    bad, earlier = rising(0.45)[:5], trained()
    without = [trial(record.number, record.folds) for record in earlier]
    alike = [trial(n, r.folds, curves=dict.fromkeys(ORDER, rising(0.9))) for n, r in enumerate(earlier)]
    swapped = [trial(r.number, r.folds, curves=o.curves) for r, o in zip(earlier, earlier[::-1], strict=True)]
    for known in (without, alike, swapped, earlier[:2]):
        assert prune_within_fold(3, bad, {}, ORDER, known, True) is None
    assert prune_within_fold(3, [], {}, ORDER, earlier, True) is None
    assert prune_within_fold(3, bad, {3: 0.3}, ORDER, earlier, True) is None
    assert prune_within_fold(3, rising(0.45), {}, ORDER, earlier, True) is None  # its last epoch is done
    assert prune_within_fold(3, [(0.5, float("nan"))], {}, ORDER, earlier, True) is None
    assert prune_within_fold(3, bad, {}, ORDER, earlier, True)


def test_curves_with_other_numbers_of_epochs_are_read_at_the_same_share():
    coarse = [
        trial(r.number, r.folds, curves={fold: curve[1::4] for fold, curve in r.curves.items()}) for r in trained()
    ]
    assert first_cut(rising(0.5), {}, coarse) == 0.2
    assert first_cut(rising(0.96), {}, coarse) is None
    late_looks = [
        trial(r.number, r.folds, curves={fold: curve[4:] for fold, curve in r.curves.items()}) for r in trained()
    ]
    assert first_cut(rising(0.5)[:5], {}, late_looks) is None  # nobody looked at them so early
    assert first_cut(rising(0.5), {}, late_looks) == 0.5
