"""Measure predictions of one batch in this process: peak memory and rows per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pandas import DataFrame

from goldfold.training.capacity.measured import ENOUGH, MOST, PRECISE, Request, is_out_of_memory
from goldfold.training.capacity.meters import Meter
from goldfold.training.capacity.trials import Trial, median_interval


def measure(predict: Callable[[DataFrame], Any], rows: DataFrame, request: Request, meter: Meter) -> Trial:
    """Predict `rows` several times, the first of them untimed.

    Raises:
        GoldfoldError: predicting fails for another reason than memory.
    """
    meter.begin(request.limit)
    rates: tuple[float, ...] = ()
    message = ""
    try:
        rates = _rates(predict, rows, request, meter)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        message = f"memory ran out at {request.batch} rows"
    peaks = meter.peaks()
    return Trial(
        batch=request.batch,
        status="out_of_memory" if message else "fits",
        allocated=peaks.allocated,
        reserved=peaks.reserved,
        start=peaks.start,
        rates=rates,
        code="out_of_memory" if message else "",
        message=message,
    )


def _rates(predict: Callable[[DataFrame], Any], rows: DataFrame, request: Request, meter: Meter) -> tuple[float, ...]:
    """Rows per second of each timed round."""
    rates: list[float] = []
    predict(rows)
    meter.wait()
    begun = last = time.perf_counter()
    while True:
        predict(rows)
        meter.wait()
        now = time.perf_counter()
        rates.append(len(rows) / max(now - last, 1e-9))
        last = now
        low, high = median_interval(rates)
        agree = len(rates) >= ENOUGH and high - low <= PRECISE * high
        if agree or len(rates) >= MOST or now - begun > request.seconds:
            return tuple(rates)
