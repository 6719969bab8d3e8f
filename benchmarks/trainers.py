"""The same training through a hand-written loop, goldfold and other trainers, for `trainer_overhead.py`.

A contestant takes (task, model, order, folder), trains `model` in place in `order`'s order, and returns its history.
The libraries are used as their documentation has it, with what costs and is not needed switched off.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader, Sampler, TensorDataset

SEED = 0
SETTINGS = {"lr": 1e-3, "weight_decay": 1e-2}


@dataclass(frozen=True)
class Task:
    """The work: (inputs, labels) to train on and to validate, and the order of the training rows in every epoch."""

    model: Callable[[], nn.Module]
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    batch: int
    orders: Sequence[Tensor]


class Epoch(NamedTuple):
    """The history everyone keeps: mean training loss over an epoch's batches, accuracy on the validation rows after."""

    loss: float
    accuracy: float


class Clock(NamedTuple):
    """Seconds of this process: on the processor, and on the wall."""

    cpu: float
    wall: float

    @classmethod
    def read(cls) -> Clock:
        return cls(time.process_time(), time.perf_counter())

    def since(self, earlier: Clock) -> Clock:
        return Clock(self.cpu - earlier.cpu, self.wall - earlier.wall)


class FixedOrder(Sampler[int]):
    """A task's orders, one epoch after the other; reads the clock when the first is asked for."""

    def __init__(self, task: Task) -> None:
        self.orders = iter(task.orders)
        self.rows = len(task.orders[0])
        self.began: Clock | None = None

    def note_begin(self) -> None:
        self.began = self.began or Clock.read()

    def draw(self) -> Tensor:
        self.note_begin()
        return next(self.orders)

    def __iter__(self) -> Iterator[int]:
        return iter(self.draw().tolist())

    def __len__(self) -> int:
        return self.rows


class InMemory:
    """Training batches taken by index: one gather per batch instead of one per row."""

    def __init__(self, task: Task, order: FixedOrder) -> None:
        self.rows, self.batch, self.order = task.train, task.batch, order

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, labels = self.rows
        for index in self.order.draw().split(self.batch):
            yield inputs[index], labels[index]

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch)


Batches = Collection[tuple[Tensor, Tensor]]


def through_loader(task: Task, order: FixedOrder) -> tuple[Batches, Batches]:
    train = DataLoader(TensorDataset(*task.train), task.batch, sampler=order)
    return train, DataLoader(TensorDataset(*task.validation), task.batch)


def from_memory(task: Task, order: FixedOrder) -> tuple[Batches, Batches]:
    inputs, labels = task.validation
    return InMemory(task, order), list(zip(inputs.split(task.batch), labels.split(task.batch), strict=True))


@torch.no_grad()
def accuracy(model: nn.Module, batches: Batches) -> float:
    model.eval()
    correct, rows = 0, 0
    for inputs, labels in batches:
        correct += (model(inputs).argmax(1) == labels).sum().item()
        rows += len(labels)
    return correct / rows


def adamw(model: nn.Module, fused: bool = False) -> AdamW:
    return AdamW(model.parameters(), **SETTINGS, fused=fused or None)  # None: torch's choice, as when nothing is said


# The loop a user writes.


def loop(
    task: Task,
    model: nn.Module,
    order: FixedOrder,
    folder: Path,
    batches: Callable = through_loader,
    fused: bool = False,
) -> list[Epoch]:
    train, validation = batches(task, order)
    optimizer = adamw(model, fused)
    history = []
    for _ in task.orders:
        model.train()
        total = 0.0
        for inputs, labels in train:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        history.append(Epoch(total / len(train), accuracy(model, validation)))
    return history


# goldfold, which keeps history, gradient norms and learning rates in any case; where a folder is given, checkpoints.


def _goldfold(
    task: Task, model: nn.Module, batches: Callable[[int], Batches], validation: Batches, fused: bool, **keep
) -> list[Epoch]:
    from goldfold.competition import Plan, Stage
    from goldfold.training.loop import train
    from goldfold.training.settings import LoopOptions

    stage = Stage(
        name="train",
        epochs=len(task.orders),
        batches=batches,
        losses=lambda model, batch: {"cross_entropy": F.cross_entropy(model(batch[0]), batch[1])},
        optimizer=lambda model: adamw(model, fused),
    )
    plan = Plan(model=model, stages=[stage], predict=lambda model, _, rows: model(rows))
    keep |= {"loop": LoopOptions(), "device": torch.device("cpu"), "observe": lambda progress: None}
    history, _ = train(plan, validate=lambda model, last: {"accuracy": accuracy(model, validation)}, **keep)
    return [Epoch(row["loss"]["cross_entropy"], row["metric"]) for row in history]


def goldfold(task: Task, model: nn.Module, order: FixedOrder, folder: Path, save: str = "nothing") -> list[Epoch]:
    from goldfold.nn.batches import in_memory

    drawn = in_memory(task.train, task.batch, SEED)
    validation = in_memory(task.validation, task.batch, SEED, shuffle=False)(0)

    def batches(epoch: int) -> Batches:
        order.note_begin()
        return drawn(epoch)

    checkpoints = {"folder": None if save == "nothing" else folder, "keep_every": save == "every epoch"}
    return _goldfold(task, model, batches, validation, fused=True, **checkpoints)


def goldfold_loader(task: Task, model: nn.Module, order: FixedOrder, folder: Path) -> list[Epoch]:
    train, validation = through_loader(task, order)
    return _goldfold(task, model, lambda epoch: train, validation, fused=False)


# Other trainers.


def accelerate(task: Task, model: nn.Module, order: FixedOrder, folder: Path) -> list[Epoch]:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    optimizer = adamw(model)
    model, optimizer, train, validation = accelerator.prepare(model, optimizer, *through_loader(task, order))
    history = []
    for _ in task.orders:
        model.train()
        total = 0.0
        for inputs, labels in train:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            accelerator.backward(loss)
            optimizer.step()
            total += loss.item()
        history.append(Epoch(total / len(train), accuracy(model, validation)))
    return history


def lightning(task: Task, model: nn.Module, order: FixedOrder, folder: Path, save: bool = False) -> list[Epoch]:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.total, self.correct, self.history = model, 0.0, 0, []

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            loss = F.cross_entropy(self.model(batch[0]), batch[1])
            self.total += loss.item()
            return loss

        def validation_step(self, batch: list[Tensor], _: int) -> None:
            self.correct += (self.model(batch[0]).argmax(1) == batch[1]).sum().item()

        def on_train_epoch_end(self) -> None:  # after validation, which Lightning counts as part of the epoch
            self.history.append(Epoch(self.total / len(train), self.correct / len(task.validation[1])))
            self.total, self.correct = 0.0, 0

        def configure_optimizers(self) -> AdamW:
            return adamw(self)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # its import sets another level
    train, validation = through_loader(task, order)
    module = Module()
    off = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    kept = {"callbacks": [ModelCheckpoint(folder, save_top_k=-1)], **off} if save else {"barebones": True}
    Trainer(max_epochs=len(task.orders), accelerator="cpu", devices=1, **kept).fit(module, train, validation)
    return module.history


def skorch(task: Task, model: nn.Module, order: FixedOrder, folder: Path) -> list[Epoch]:
    from skorch import NeuralNetClassifier
    from skorch.helper import predefined_split

    net = NeuralNetClassifier(
        model,
        criterion=nn.CrossEntropyLoss,
        optimizer=AdamW,
        lr=SETTINGS["lr"],
        optimizer__weight_decay=SETTINGS["weight_decay"],
        max_epochs=len(task.orders),
        batch_size=task.batch,
        iterator_train__sampler=order,
        train_split=predefined_split(TensorDataset(*task.validation)),
        classes=[0, 1],
        callbacks__print_log=None,
    )
    net.fit(TensorDataset(*task.train), None)  # a data set of its own making from arrays is slower
    return [Epoch(*row) for row in net.history[:, ("train_loss", "valid_acc")]]
