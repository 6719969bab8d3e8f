"""Measure a trial in this process: the training loop itself over a few steps of each stage, and a prediction."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from typing import Any

import torch
from torch import nn

from goldfold.competition import Batches, Plan, Stage
from goldfold.errors import GoldfoldError
from goldfold.nn.batches import last_batch
from goldfold.nn.optimizers import AdamW
from goldfold.training.capacity.meters import Meter
from goldfold.training.capacity.trials import Trial, median_interval
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions, batch_rows

WARM = 1  # rounds before the clock counts; the first allocates the optimizer's state
FEWEST, MOST = 3, 20  # rounds in all, and timed ones
ENOUGH = 5  # timed rounds, if they agree
PRECISE = 0.05  # width of the interval of the median rate, as a share of it, at which rounds agree
ONE_ROW = "Expected more than 1 value per channel when training"  # torch has no type for it
NO_MEMORY = ("out of memory", "DefaultCPUAllocator", "can't allocate memory", "could not create a memory", "bad_alloc")


class TooSlowError(Exception):
    """A step takes longer than a trial may."""


@dataclass(frozen=True)
class Subject:
    """What is tried. validate: predicts with the model, as after an epoch."""

    plan: Plan
    loop: LoopOptions
    device: torch.device
    validate: Callable[[nn.Module], Any]


@dataclass(frozen=True)
class Request:
    """How. limit: bytes over the start. seconds: for the rounds of a stage. timed: stages whose rate counts."""

    batch: int
    limit: float
    seconds: float
    timed: tuple[str, ...]


def measure(subject: Subject, request: Request, meter: Meter) -> Trial:
    """Train a few optimizer steps of each stage with the engine's loop, validate, and return what it took.

    Memory that runs out, on a CPU or a GPU, is a result and no error.

    Raises:
        GoldfoldError: training fails for another reason than memory.
    """
    accumulate = subject.loop.accumulate
    rounds = {stage.name: Rounds(stage, accumulate, request.seconds, meter) for stage in trained(subject.plan)}
    _load_libraries()
    meter.begin(request.limit)
    failure = _failure(subject, request, rounds)
    gc.collect()  # beyond the except block, whose traceback holds the tensors that did not fit
    if subject.device.type == "cuda":
        torch.cuda.empty_cache()
    peaks = meter.peaks()
    if failure is None and peaks.reserved > request.limit:  # where the system enforces no limit
        failure = "out_of_memory", f"the step took {peaks.reserved:,} bytes of {request.limit:,.0f}"
    if failure is None and peaks.retries:
        failure = "allocator_retries", f"the allocator freed its cache and asked again {peaks.retries} times"
    status, message = failure or ("fits", "")
    return Trial(
        batch=request.batch,
        status=status,  # type: ignore[arg-type]  # the codes of failures are statuses
        allocated=peaks.allocated,
        reserved=peaks.reserved,
        start=peaks.start,
        rates=_rates(rounds, request.timed) if failure is None else (),
        code=status if failure else "",
        message=message,
    )


def trained(plan: Plan) -> list[Stage]:
    """The stages of a plan that train for an epoch or more."""
    return [stage for stage in plan.stages if stage.epochs]


def _load_libraries() -> None:
    """Make a step of one weight: what torch and SciPy import at their first use is not the memory of a step."""
    layer = nn.Linear(1, 1)
    optimizer = AdamW(layer.parameters())
    layer(torch.ones(2, 1)).sum().backward()
    optimizer.step()
    median_interval([1.0])


def _failure(subject: Subject, request: Request, rounds: Mapping[str, Rounds]) -> tuple[str, str] | None:
    """Train and validate; code and message if memory or time ran out, or BatchNorm got one row."""

    def validated(model: nn.Module, last: bool) -> dict[str, float]:
        subject.validate(model)
        return {"rows": 0.0}

    stages = [replace(stage, epochs=1, batches=rounds[stage.name].of_epoch) for stage in trained(subject.plan)]
    once = subject.loop.model_copy(update={"select": "last", "patience": None, "validate_every": 1})
    try:
        train(replace(subject.plan, stages=stages), loop=once, device=subject.device, validate=validated)
    except TooSlowError as error:
        return "too_slow", str(error)
    except ValueError as error:
        if ONE_ROW not in str(error):
            raise
        return "single_row", "the last batch of an epoch has a single row, which BatchNorm cannot train on"
    except (MemoryError, RuntimeError, GoldfoldError) as error:
        if not is_out_of_memory(error):
            raise
        return "out_of_memory", f"memory ran out at a batch of {request.batch}"
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, in one of the words that torch and its libraries have for it."""
    if isinstance(error, GoldfoldError):
        return error.code == "out_of_memory"
    told = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(each.lower() in told for each in NO_MEMORY)


def _rates(rounds: Mapping[str, Rounds], timed: tuple[str, ...]) -> tuple[float, ...]:
    """Samples per second of the timed rounds, of the slowest stage that counts."""
    each = [of.rates for name, of in rounds.items() if name in timed and of.rates]
    return min(each, key=statistics.median, default=())


@dataclass
class Rounds:
    """A stage's batches as an epoch of a few optimizer steps, timed; the last batch of the true epoch comes last.

    That one may be a single sample, which BatchNorm refuses. Loading a batch is part of a round, as in training.

    rows: samples of each round. marks: the clock at the start and after each round, in seconds.
    """

    stage: Stage
    accumulate: int
    seconds: float
    meter: Meter
    rows: list[int] = field(default_factory=list)
    marks: list[float] = field(default_factory=list)

    def of_epoch(self, epoch: int) -> Batches:
        """These rounds, whatever the epoch."""
        return self

    def __len__(self) -> int:
        """The most batches that there may be; 0 if the stage has none."""
        return (WARM + MOST + 1) * self.accumulate if len(self.stage.batches(0)) else 0

    def __iter__(self) -> Iterator[Any]:
        endless = chain.from_iterable(self.stage.batches(epoch) for epoch in count())
        self.rows, self.marks = [], [self._now()]
        while not self._enough():
            rows = 0
            for batch in islice(endless, self.accumulate):
                rows += batch_rows(batch)
                yield batch
            self.rows.append(rows)  # reached when the next round is asked for, after the optimizer's step
            self.marks.append(self._now())
        yield from last_batch(self.stage.batches(0))

    def _now(self) -> float:
        self.meter.wait()
        return time.perf_counter()

    def _enough(self) -> bool:
        """Whether the rate is known well enough, or the time is over."""
        spent, rates = self.marks[-1] - self.marks[0], self.rates
        if len(self.rows) == WARM and spent > self.seconds:
            raise TooSlowError(f"one step took {spent:.1f} s, and the steps of a trial may take {self.seconds:g} s")
        if len(self.rows) < FEWEST:
            return False
        low, high = median_interval(rates)
        agree = len(rates) >= ENOUGH and high - low <= PRECISE * high
        return agree or len(self.rows) >= WARM + MOST or spent > self.seconds

    @property
    def rates(self) -> tuple[float, ...]:
        """Samples per second of the timed rounds; smaller ones at the end of an epoch count only if all are."""
        seconds = [end - start for start, end in zip(self.marks, self.marks[1:], strict=False)]
        timed = list(zip(self.rows, seconds, strict=True))[WARM:]
        full = max((rows for rows, _ in timed), default=0)
        return tuple(rows / max(each, 1e-9) for rows, each in timed if rows == full)
