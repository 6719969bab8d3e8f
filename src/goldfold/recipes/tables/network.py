"""A network for tables: embeddings of numbers and categories, and an MLP whose members share their weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a network. numbers: of features; flags: of further inputs that are not embedded; categories: values of
    each category; members: MLPs that share their weights; embedding: width of each feature's embedding."""

    numbers: int
    flags: int
    categories: tuple[int, ...]
    outputs: int
    hidden: tuple[int, ...]
    members: int
    embedding: int
    dropout: float


def edges(numbers: np.ndarray, bins: int) -> list[np.ndarray]:
    """The edges of each feature's bins: distinct quantiles of training rows (n, features), at most `bins` + 1."""
    shares = np.linspace(0, 1, bins + 1)
    return [np.unique(np.quantile(column, shares)).astype(np.float32) for column in numbers.T]


class PiecewiseLinear(nn.Module):
    """Numbers (n, f) -> (n, f, width): piecewise-linear encoding, linear layer, ReLU (Gorishniy et al. 2022).

    In the encoding a bin below the value is 1, one above it 0, and the value's own bin the share of it that is passed;
    the outer bins have no outer end.
    """

    left: Tensor
    size: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, edges: list[np.ndarray], width: int) -> None:
        super().__init__()
        bins = max(1, *(len(each) - 1 for each in edges))
        left, size = torch.zeros(len(edges), bins), torch.full((len(edges), bins), torch.inf)
        low, high = torch.zeros(len(edges), bins), torch.ones(len(edges), bins)
        for feature, each in enumerate(edges):
            count = len(each) - 1
            left[feature, :count] = torch.from_numpy(each[:-1])
            size[feature, :count] = torch.from_numpy(np.diff(each))
            if count:
                low[feature, 0], high[feature, count - 1] = -torch.inf, torch.inf
        for name, values in (("left", left), ("size", size), ("low", low), ("high", high)):
            self.register_buffer(name, values)
        self.linear = PerFeature(len(edges), bins, width)

    def encode(self, numbers: Tensor) -> Tensor:
        """The encoding, (n, f, bins); bins that a feature does not have are 0."""
        shares = (numbers[..., None] - self.left) / self.size
        return torch.minimum(torch.maximum(shares, self.low), self.high)

    def forward(self, numbers: Tensor) -> Tensor:
        return torch.relu(self.linear(self.encode(numbers)))


class Periodic(nn.Module):
    """Numbers (n, f) -> (n, f, width): cosines and sines of learned frequencies, linear layer, ReLU (the same)."""

    def __init__(self, features: int, frequencies: int, scale: float, width: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(scale * torch.randn(features, frequencies))
        self.linear = PerFeature(features, 2 * frequencies, width)

    def forward(self, numbers: Tensor) -> Tensor:
        angles = 2 * math.pi * self.frequencies * numbers[..., None]
        return torch.relu(self.linear(torch.cat([angles.cos(), angles.sin()], dim=-1)))


class PerFeature(nn.Module):
    """A linear layer for each feature: (n, f, inputs) -> (n, f, outputs)."""

    def __init__(self, features: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, inputs, outputs).uniform_(-1, 1) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.empty(features, outputs).uniform_(-1, 1) / math.sqrt(inputs))

    def forward(self, values: Tensor) -> Tensor:
        return torch.bmm(values.transpose(0, 1), self.weight).transpose(0, 1) + self.bias


class Shared(nn.Module):
    """A linear layer of all members, (n, k, inputs) -> (n, k, outputs): one weight matrix; each member scales inputs
    and outputs (BatchEnsemble, Wen et al. 2020) and has its own bias."""

    def __init__(self, inputs: int, outputs: int, members: int, first: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        start = torch.randn(members, inputs) if first and members > 1 else torch.ones(members, inputs)
        self.inputs, self.outputs = nn.Parameter(start), nn.Parameter(torch.ones(members, outputs))
        self.bias = nn.Parameter((torch.empty(outputs).uniform_(-1, 1) / math.sqrt(inputs)).repeat(members, 1))

    def forward(self, values: Tensor) -> Tensor:
        return self.linear(values * self.inputs) * self.outputs + self.bias


class Network(nn.Module):
    """Inputs (n, numbers + flags + all categories one-hot) -> outputs (n, members, outputs).

    The members of TabM (Gorishniy et al. 2024) differ from the start by random scales of their first layer's inputs,
    and by a last layer of their own.
    """

    def __init__(self, shape: Shape, embedded: nn.Module | None) -> None:
        super().__init__()
        self.shape, self.embedded = shape, embedded
        self.categories = nn.ModuleList(nn.Linear(size, shape.embedding, bias=False) for size in shape.categories)
        width = shape.numbers * (shape.embedding if embedded else 1) + shape.flags
        width += len(shape.categories) * shape.embedding
        self.hidden = nn.ModuleList()
        for place, size in enumerate(shape.hidden):
            self.hidden.append(Shared(width, size, shape.members, first=place == 0))
            width = size
        self.last = PerFeature(shape.members, width, shape.outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        sizes = [self.shape.numbers, self.shape.flags, *self.shape.categories]
        numbers, flags, *categories = inputs.split(sizes, dim=1)
        parts = [self.embedded(numbers).flatten(1) if self.embedded else numbers, flags]
        parts += [layer(values) for layer, values in zip(self.categories, categories, strict=True)]
        values = _joined(parts)[:, None].expand(-1, self.shape.members, -1)
        for layer in self.hidden:
            values = nn.functional.dropout(torch.relu(layer(values)), self.shape.dropout, self.training)
        return self.last(values)


def _joined(parts: list[Tensor]) -> Tensor:
    """The parts (n, width) side by side. A rare category is constant in a small batch, which is no fault: by
    `torch.cat` it would be reported as `constant_feature`."""
    if torch.compiler.is_exporting():  # without an optimizer nothing is reported, and a graph joins in one step
        return torch.cat(parts, dim=1)
    joined = parts[0].new_empty(len(parts[0]), sum(part.shape[1] for part in parts))
    start = 0
    for part in parts:
        joined[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    return joined
