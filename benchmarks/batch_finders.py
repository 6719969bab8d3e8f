"""The loops of other batch size finders, re-expressed: a step that raises above a size in, answer and trials out.

Lightning 2.6.6, `BatchSizeFinder` (modes power and binsearch, `init_val` 2, `max_trials` 25, `batch_arg_name` capped at
8192), and accelerate 1.15.0, `find_executable_batch_size` (from 128, times 0.9 after each failure).
"""

from __future__ import annotations

from collections.abc import Callable

CAP, MOST_TRIALS = 8192, 25
MARGIN = 0.05  # of Lightning's answer by bisection


class _Counted:
    """A step that counts its calls. fits: whether a batch does."""

    def __init__(self, fits: Callable[[int], bool]) -> None:
        self.fits, self.trials = fits, 0

    def __call__(self, batch: int) -> bool:
        self.trials += 1
        return self.fits(batch)


def accelerate(fits: Callable[[int], bool], start: int = 128) -> tuple[int, int]:
    """(answer, trials) of accelerate's finder; 0 where it gives up. It never tries a size above its first."""
    step, batch = _Counted(fits), start
    while batch > 0 and not step(batch):
        batch = int(batch * 0.9)
    return batch, step.trials


def lightning_power(fits: Callable[[int], bool]) -> tuple[int, int]:
    """(answer, trials) of Lightning's mode power: doubled until it fails, then halved once."""
    step, batch = _Counted(fits), 2
    for _ in range(MOST_TRIALS):
        if not step(batch):
            return batch // 2, step.trials
        if batch >= CAP:
            break
        batch = min(2 * batch, CAP)
    return batch, step.trials


def lightning_binsearch(fits: Callable[[int], bool]) -> tuple[int, int]:
    """(answer, trials) of Lightning's mode binsearch, whose answer is 5 % below the size that it found."""
    step, batch = _Counted(fits), 2
    low, high = 1, None
    for _ in range(MOST_TRIALS):
        if step(batch):
            low = batch
            if high is not None:
                if high - low <= 1:
                    break
                batch = (high + low) // 2
            elif batch >= CAP:
                break
            else:
                batch = min(2 * batch, CAP)
        else:
            high = batch
            batch = (high + low) // 2
            if high - low <= 1:
                break
    return max(1, int(low * (1 - MARGIN))), step.trials


FINDERS = {
    "accelerate, from 128": accelerate,
    "Lightning, power": lightning_power,
    "Lightning, binsearch": lightning_binsearch,
}
