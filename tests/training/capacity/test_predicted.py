"""Predicted memory of a step against torch's tracker, and models that cannot be traced."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn import functional as F

from goldfold.competition import Plan, Stage
from goldfold.training.capacity.curves import Hull
from goldfold.training.capacity.predicted import predict, traced_peak, without_data
from goldfold.training.settings import LoopOptions

CPU = torch.device("cpu")


def plan(batch: int, net: nn.Module | None = None) -> Plan:
    net = net or nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 900, 2))
    images, labels = torch.randn(batch, 3, 32, 32), torch.zeros(batch, dtype=torch.long)
    stage = Stage(
        name="fit",
        epochs=1,
        batches=lambda epoch: [(images, labels)],
        losses=lambda model, batch: {"cross_entropy": F.cross_entropy(model(batch[0]), batch[1])},
        optimizer=lambda model: torch.optim.AdamW(model.parameters(), 1e-3),
    )
    return Plan(model=net, stages=[stage], predict=lambda model, _, rows: model(rows))


def test_the_trace_agrees_with_torchs_tracker() -> None:
    own = plan(8)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        model = without_data(own.model, mode)
        images, labels = torch.empty(8, 3, 32, 32), torch.empty(8, dtype=torch.long)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        tracker = MemTracker()
        tracker.track_external(model, optimizer, images, labels)
        with tracker:
            for _ in range(2):
                F.cross_entropy(model(images), labels).backward()
                optimizer.step()
                optimizer.zero_grad()
                tracker.reset_mod_stats()
        reference = tracker.get_tracker_snapshot("peak")[CPU]["Total"]
    assert traced_peak(own, LoopOptions(), CPU) == pytest.approx(reference, rel=0.02)


def test_the_line_tells_the_memory_of_other_sizes() -> None:
    told = predict(plan, LoopOptions(), CPU, cap=1000, least=1)
    assert told.scaled == ("fit",)
    assert told.line is not None
    assert told.line.at(200) == pytest.approx(traced_peak(plan(200), LoopOptions(), CPU), rel=0.01)


def test_few_and_many_samples_peak_in_different_parts_of_a_step() -> None:
    """Of a wide network with few samples it is the optimizer's step, whose memory does not depend on the batch."""

    def wide(batch: int) -> Plan:
        return plan(batch, nn.Sequential(nn.Flatten(), nn.Linear(3072, 256), nn.ReLU(), nn.Linear(256, 2)))

    told = predict(wide, LoopOptions(), CPU, cap=4096, least=1)
    assert isinstance(told.line, Hull)
    for batch in (16, 3000):
        assert told.line.at(batch) == pytest.approx(traced_peak(wide(batch), LoopOptions(), CPU), rel=0.03)
    assert told.line.few.per_sample < 0.9 * told.line.many.per_sample


def test_tracing_changes_neither_weights_nor_random_numbers() -> None:
    own = plan(8)
    before, drawn = [each.clone() for each in own.model.parameters()], torch.random.get_rng_state()
    traced_peak(own, LoopOptions(ema=0.9), CPU)
    assert all(torch.equal(a, b) for a, b in zip(before, own.model.parameters(), strict=True))
    assert torch.equal(drawn, torch.random.get_rng_state())


def test_a_model_that_reads_its_data_is_not_traced_but_told() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3 * 32 * 32, 2)

        def forward(self, images: Tensor) -> Tensor:
            return self.layer(images.flatten(1)) * (2 if images.mean().item() > 0 else 1)

    told = predict(lambda batch: plan(batch, Reads()), LoopOptions(), CPU, cap=100, least=1)
    assert told.line is None
    assert "DataDependent" in told.why
