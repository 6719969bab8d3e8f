"""Trials in this process: what a step is made of, what runs out, and how memory is read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from goldfold.competition import Plan, Stage
from goldfold.errors import GoldfoldError
from goldfold.nn.batches import in_memory
from goldfold.training.capacity import free_memory
from goldfold.training.capacity.measured import FEWEST, Request, Subject, is_out_of_memory, measure
from goldfold.training.capacity.meters import AllocatorMeter, Peaks
from goldfold.training.capacity.trials import Trial
from goldfold.training.settings import LoopOptions

CPU = torch.device("cpu")


class Fixed:
    """A meter of given peaks, which counts how often the device was waited for."""

    def __init__(self, retries: int = 0) -> None:
        self.found, self.waits = Peaks(100, 120, 10, retries), 0

    def begin(self, limit: float) -> None:
        self.limit = limit

    def wait(self) -> None:
        self.waits += 1

    def peaks(self) -> Peaks:
        return self.found


def subject(
    batch: int = 4, rows: int = 40, steps: list | None = None, fails: Exception | None = None, **loop
) -> Subject:
    """Training of a small network; steps: notes the rows of each batch, `step` and `validated`, in order."""
    noted = [] if steps is None else steps
    points, labels = torch.randn(rows, 6), torch.zeros(rows, dtype=torch.long)

    def losses(model: nn.Module, batch: tuple) -> dict:
        noted.append(len(batch[0]))
        if fails and len(noted) > 2:
            raise fails
        return {"cross_entropy": F.cross_entropy(model(batch[0]), batch[1])}

    class Noting(torch.optim.AdamW):
        def step(self, closure=None):
            noted.append("step")
            return super().step(closure)

    stage = Stage(
        name="fit",
        epochs=3,
        batches=in_memory((points, labels), batch, seed=0),
        losses=losses,
        optimizer=lambda model: Noting(model.parameters(), 1e-3),
        schedule=lambda optimizer, epochs, steps: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, epochs * steps),
    )
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    plan = Plan(model=net, stages=[stage], predict=lambda model, _, rows: model(rows))
    return Subject(plan, LoopOptions(**loop), CPU, lambda model: noted.append("validated"))


def request(batch: int = 4, seconds: float = 30.0) -> Request:
    return Request(batch=batch, limit=2.0**30, seconds=seconds, timed=("fit",))


def test_a_trial_has_forward_backward_step_and_validation() -> None:
    """Lightning 20231, 8028, 13851: memory runs out later if a trial leaves the step or the validation out."""
    steps: list = []
    trial = measure(subject(steps=steps), request(), Fixed())
    assert (trial.status, trial.allocated, trial.reserved, trial.peak) == ("fits", 100, 120, 120)
    assert steps.count("step") >= FEWEST + 1
    assert steps[:4] == [4, "step", 4, "step"]
    assert steps[-1] == "validated"
    assert len(trial.rates) >= 2


def test_the_device_is_waited_for_before_the_clock_is_read() -> None:
    meter, steps = Fixed(), []
    trial = measure(subject(steps=steps), request(), meter)
    assert meter.waits == steps.count("step")  # at the start and after every round but the last batch
    assert len(trial.rates) == meter.waits - 2  # the first round is not timed


def test_a_round_is_an_optimizer_step_with_accumulation() -> None:
    steps: list = []
    measure(subject(steps=steps, accumulate=3), request(), Fixed())
    assert steps[:8] == [4, 4, 4, "step", 4, 4, 4, "step"]


def test_a_last_batch_of_one_row_is_tried() -> None:
    """BatchNorm refuses a single row, at the end of the first epoch of training."""
    trial = measure(subject(rows=41), request(), Fixed())
    assert (trial.status, trial.code) == ("single_row", "single_row")
    steps: list = []
    measure(subject(rows=42, steps=steps), request(), Fixed())
    assert steps[-3:] == [2, "step", "validated"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("could not create a memory object"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_is_a_result(error: Exception) -> None:
    trial = measure(subject(fails=error), request(), Fixed())
    assert (trial.status, trial.rates, trial.allocated) == ("out_of_memory", (), 100)


def test_other_errors_are_not_taken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        measure(subject(fails=RuntimeError("shapes cannot be multiplied")), request(), Fixed())
    assert not is_out_of_memory(GoldfoldError("loss_not_finite", "out of memory of what was"))


def test_allocator_retries_make_a_trial_fail() -> None:
    assert measure(subject(), request(), Fixed(retries=2)).status == "allocator_retries"


def test_a_peak_above_the_limit_does_not_fit_although_nothing_failed() -> None:
    trial = measure(subject(), replace(request(), limit=119.0), Fixed())
    assert (trial.status, trial.reserved) == ("out_of_memory", 120)


def test_a_stage_without_epochs_is_left_out() -> None:
    steps: list = []
    tried = subject(steps=steps)
    (stage,) = tried.plan.stages
    left_out = replace(stage, name="none", epochs=0, losses=lambda model, batch: pytest.fail("it does not train"))
    measure(replace(tried, plan=replace(tried.plan, stages=[left_out, stage])), request(), Fixed())
    assert steps.count("step") > 0


def test_a_step_longer_than_a_trial_may_take_ends_it() -> None:
    steps: list = []
    trial = measure(subject(steps=steps), request(seconds=0.0), Fixed())
    assert trial.status == "too_slow"
    assert steps.count("step") == 1


def test_the_peaks_of_a_gpu_are_those_of_its_allocator_over_the_start() -> None:
    calls: list = []
    stats = {"num_alloc_retries": 3}
    allocator = SimpleNamespace(
        synchronize=lambda device: calls.append("synchronize"),
        empty_cache=lambda: calls.append("empty_cache"),
        reset_peak_memory_stats=lambda device: calls.append("reset"),
        set_per_process_memory_fraction=lambda share, device: calls.append(round(share, 3)),
        mem_get_info=lambda device: (6000, 10000),
        memory_allocated=lambda device: 1000,
        memory_reserved=lambda device: 1500,
        max_memory_allocated=lambda device: 4000,
        max_memory_reserved=lambda device: 4800,
        memory_stats=lambda device: stats,
    )
    meter = AllocatorMeter(CPU, allocator)
    meter.begin(limit=3500)
    stats["num_alloc_retries"] = 5
    assert calls == ["synchronize", "empty_cache", 0.5, "reset"]
    assert meter.peaks() == Peaks(allocated=3000, reserved=3800, start=1000, retries=2)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_the_peak_of_a_process_is_measured_and_limited() -> None:
    script = """
import torch
from goldfold.training.capacity.meters import ResidentMeter
meter = ResidentMeter()
meter.begin(400 * 2**20)
torch.ones(25 * 2**20)  # 100 MiB, freed at once
print(meter.peaks().allocated)
try:
    torch.ones(150 * 2**20)
except RuntimeError as error:
    print("DefaultCPUAllocator" in str(error))
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert 100 * 2**20 <= int(told[0]) <= 108 * 2**20
    assert told[1] == "True"


def test_free_memory_is_the_least_of_machine_and_control_group(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 200000\n")
    assert free_memory._free_of_groups(tmp_path) == [500000]
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory._free_of_groups(tmp_path) == []
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 2000 kB\nMemAvailable: 1000 kB\n")
    assert free_memory.available(meminfo) == 1024000


@pytest.mark.parametrize("text", ["4", "-1GiB", "0 GiB", "much", "4 GiB of it"])
def test_memory_needs_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(GoldfoldError) as caught:
        free_memory.parsed_bytes(text)
    assert caught.value.code == "invalid_memory"


def test_the_peak_of_a_trial_counts_what_the_allocator_holds() -> None:
    trial = Trial(batch=1, status="fits", allocated=5, reserved=7)
    assert trial.peak == 7
    assert replace(trial, allocated=None).peak is None
