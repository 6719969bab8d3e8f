"""The search for the largest batch and the knee over fake steps that fail above a size, with noisy timings.

Each failure that other batch size finders are known for has a test of its own, named after it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from benchmarks.batch_finders import FINDERS
from goldfold.training.capacity.curves import Line
from goldfold.training.capacity.search import Bounds, Search, find_knee, find_largest
from goldfold.training.capacity.trials import Trial, from_facts, median_interval

SIZES = (1, 2, 13, 100, 500, 3000, 8192)
FIXED, PER_SAMPLE = 300e6, 40e6  # bytes of a step
MEASURED = {  # largest size that fits -> (answer, trials) of the finders, in their order, as their loops were measured
    13: [(13, 20), (8, 4), (12, 7)],
    100: [(92, 4), (64, 7), (95, 13)],
    500: [(128, 1), (256, 9), (475, 17)],
    3000: [(128, 1), (2048, 12), (2850, 23)],
}


def step(
    largest: int, seed: int = 0, rate: Callable[[int], float] = lambda batch: batch / (batch + 20)
) -> tuple[Callable[[int], Trial], float]:
    """A step that runs out of memory above `largest`, and its limit; one of seven rounds takes twice as long."""
    draw, limit = random.Random(seed), FIXED + PER_SAMPLE * (largest + 0.5)

    def attempt(batch: int) -> Trial:
        if FIXED + PER_SAMPLE * batch > limit:
            return Trial(batch=batch, status="out_of_memory", code="out_of_memory")
        peak = int((FIXED + PER_SAMPLE * batch) * draw.gauss(1, 0.005))
        rates = [rate(batch) * draw.gauss(1, 0.01) * (0.5 if number == 3 else 1) for number in range(7)]
        return Trial(batch=batch, status="fits", allocated=peak, reserved=peak, rates=tuple(rates))

    return attempt, limit


def search(largest: int, unseen: float | None = 1.7, cap: int = 8192, **known) -> Search:
    """A search over that step; unseen: what it takes / what a trace predicts, None without a trace."""
    attempt, limit = step(largest, **known)
    line = None if unseen is None else Line(FIXED / unseen, PER_SAMPLE / unseen)
    return Search(attempt, Bounds(cap=cap, limit=limit), line)


@pytest.mark.parametrize("largest", MEASURED)
def test_the_loops_of_other_finders_give_what_was_measured(largest: int) -> None:
    assert [finder(lambda batch: batch <= largest) for finder in FINDERS.values()] == MEASURED[largest]


@pytest.mark.parametrize("unseen", [1.0, 1.4, 1.7, 2.0, None])
@pytest.mark.parametrize("largest", SIZES)
def test_the_largest_batch_is_found_within_the_margin(largest: int, unseen: float | None) -> None:
    found = search(largest, unseen)
    answer = find_largest(found)
    assert FIXED + PER_SAMPLE * (answer + 1) >= (1 - 2 * found.bounds.margin) * found.bounds.limit
    assert answer <= largest
    assert answer in found.fitting


@pytest.mark.parametrize("largest", [5, *SIZES[2:]])
def test_it_takes_fewer_trials_than_any_finder_that_comes_as_close(largest: int) -> None:
    found = search(largest)
    answer = find_largest(found)
    assert len(found.trials) <= 2
    for reached, trials in (finder(lambda batch: batch <= largest) for finder in FINDERS.values()):
        assert trials > len(found.trials) or reached < 0.5 * answer


@pytest.mark.parametrize("largest", SIZES)
@pytest.mark.parametrize("unseen", [1.7, None])
def test_no_answer_is_a_size_that_was_never_tried(largest: int, unseen: float | None) -> None:
    """Lightning 18426."""
    found = search(largest, unseen)
    answers = find_largest(found), find_knee(found)
    assert set(answers) <= {trial.batch for trial in found.trials if trial.fits}


def test_growth_stops_at_the_training_rows_although_memory_is_free() -> None:
    """Lightning 20364: on a CPU nothing stops a finder that doubles."""
    for unseen in (1.7, None):
        found = search(10**6, unseen, cap=300)
        assert find_largest(found) == 300
        assert max(trial.batch for trial in found.trials) == 300


def test_a_step_without_measurable_memory_grows_to_the_cap() -> None:
    def attempt(batch: int) -> Trial:
        return Trial(batch=batch, status="fits", allocated=2**20, reserved=2**20, rates=(1.0,))

    found = Search(attempt, Bounds(cap=5000, limit=2.0**30), None)
    assert find_largest(found) == 5000
    assert len(found.trials) <= 6


def test_the_search_never_reaches_zero() -> None:
    """accelerate 1934: a start below the first size that fits shrinks to nothing."""
    found = search(0, 1.0)
    assert find_largest(found) == 0
    assert [trial.batch for trial in found.trials] == [1]
    assert find_largest(search(0, None)) == 0


def test_the_least_batch_of_a_recipe_is_kept() -> None:
    attempt, limit = step(100)
    found = Search(attempt, Bounds(cap=100, limit=limit, least=4), None)
    find_knee(found) if find_largest(found) else None
    assert min(trial.batch for trial in found.trials) >= 4


def test_allocator_retries_count_as_failure() -> None:
    """Composer 1998: throughput collapses without an error."""
    attempt, _ = step(10**6)

    def retried(batch: int) -> Trial:
        return Trial(batch=batch, status="allocator_retries") if batch > 200 else attempt(batch)

    found = Search(retried, Bounds(cap=8192, limit=FIXED + PER_SAMPLE * 400), Line(FIXED, PER_SAMPLE))
    assert 180 <= find_largest(found) <= 200


def test_one_noisy_timing_does_not_end_the_search() -> None:
    """Ludwig: the batch whose timing is disturbed is the best one, and is still found."""
    clean = search(500)
    find_largest(clean)
    best = find_knee(clean)
    for spoiled in range(7):
        attempt, limit = step(500)

        def disturbed(batch: int, attempt=attempt, spoiled=spoiled) -> Trial:
            trial = attempt(batch)
            rates = [rate * (0.1 if number == spoiled else 1) for number, rate in enumerate(trial.rates)]
            return from_facts(trial.facts() | {"rates": rates})

        found = Search(disturbed, Bounds(cap=8192, limit=limit), Line(FIXED / 1.7, PER_SAMPLE / 1.7))
        find_largest(found)
        assert find_knee(found) == best


def test_a_prediction_that_is_far_too_low_costs_few_trials() -> None:
    found = search(250, unseen=50.0)
    assert find_largest(found) >= 220
    assert len(found.trials) <= 7


def test_a_trial_that_the_machine_slowed_down_is_repeated() -> None:
    attempt, limit = step(500, rate=lambda batch: 100.0)
    calls: list[int] = []

    def disturbed(batch: int) -> Trial:
        calls.append(batch)
        trial = attempt(batch)
        slow = 0.3 if len(calls) == 1 else 1
        return from_facts(trial.facts() | {"rates": [slow * rate for rate in trial.rates]})

    found = Search(disturbed, Bounds(cap=8192, limit=limit), Line(FIXED / 1.7, PER_SAMPLE / 1.7))
    find_largest(found)
    assert find_knee(found, most=0) > calls[0], "so far it looks slower"
    assert find_knee(found) <= calls[0]
    assert calls.count(calls[0]) == 2


def test_the_knee_is_the_smallest_of_equally_fast_sizes() -> None:
    found = search(1000, rate=lambda batch: min(batch, 64) * 10.0)
    find_largest(found)
    answer = find_knee(found)
    assert 60 <= answer <= 128
    assert any(trial.batch < 64 for trial in found.trials)


def test_sizes_that_leave_a_single_row_are_passed_over() -> None:
    attempt, limit = step(95)

    def single(batch: int) -> Trial:
        return Trial(batch=batch, status="single_row") if 481 % batch == 1 else attempt(batch)

    for line in (Line(FIXED, PER_SAMPLE), None):
        found = Search(single, Bounds(cap=481, limit=limit), line)
        assert 80 <= find_largest(found) <= 95
        assert find_knee(found) in found.fitting


def test_a_failure_of_another_kind_ends_the_search() -> None:
    found = Search(lambda batch: Trial(batch=batch, status="failed", code="x"), Bounds(cap=100, limit=1e9), None)
    assert find_largest(found) == 0
    assert len(found.trials) == 1


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    draw, covered = random.Random(0), 0
    for _ in range(2000):
        low, high = median_interval([draw.expovariate(1) for _ in range(9)])
        covered += low <= 0.6931471805599453 <= high
    assert 0.95 <= covered / 2000 <= 0.975  # 0.961 by the binomial distribution
    assert median_interval([3.0]) == (3.0, 3.0)
