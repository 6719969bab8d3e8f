"""Several models of equal architecture, and their optimizers, as one: (fits, ...) tensors with batched kernels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from goldfold.competition import Plan

ELEMENTWISE = (optim.SGD, optim.Adam, optim.AdamW, optim.NAdam, optim.RAdam, optim.Adamax, optim.Adagrad, optim.RMSprop)


class StackError(Exception):
    """These fits do not train as one; one by one they do, or say what is wrong."""


class StackedLinear(nn.Module):
    """The linear layers of all fits: (fits, n, in) -> (fits, n, out)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _together([layer.weight for layer in layers])
        self.bias = None if layers[0].bias is None else _together([layer.bias[None] for layer in layers])

    def forward(self, rows: Tensor) -> Tensor:
        weight = self.weight.transpose(1, 2)
        return torch.bmm(rows, weight) if self.bias is None else torch.baddbmm(self.bias, rows, weight)


class Flat(nn.Module):
    """A stacked model as losses of rows call it: the rows of all fits one behind the other, (fits * n, ...)."""

    def __init__(self, stacked: nn.Module, fits: int) -> None:
        super().__init__()
        self.stacked, self.fits = stacked, fits

    def forward(self, rows: Tensor) -> Tensor:
        return self.stacked(rows.unflatten(0, (self.fits, -1))).flatten(0, 1)


def side_by_side(models: Sequence[nn.Module]) -> nn.Module:
    """One model with the parameter names of `models`, whose weights become views of its own.

    Linear layers are batched; what else a module holds itself must be vectors along the last axis that it applies to
    each number by itself, and become (fits, 1, d). Whether a module does so only a comparison of outputs can tell.

    Raises:
        StackError: a module holds more than that, or weights are shared between modules.
    """
    names = {len(list(model.named_parameters(remove_duplicate=double))) for model in models for double in (True, False)}
    if len(names) > 1:
        raise StackError("weights are shared between modules")
    stacked = _joined(models)
    of_stack = {**dict(stacked.named_parameters()), **dict(stacked.named_buffers())}
    for k, model in enumerate(models):
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            value.data = of_stack[name].data[k].view(value.shape)
    return stacked


def _joined(modules: Sequence[nn.Module]) -> nn.Module:
    first = modules[0]
    if any(type(module) is not type(first) for module in modules):
        raise StackError("the models differ")
    if type(first) is nn.Linear:
        return StackedLinear(modules)
    joined = copy.copy(first)
    joined._parameters, joined._buffers, joined._modules = {}, dict(first._buffers), {}
    for name in first._parameters:
        joined.register_parameter(name, _vectors([module._parameters[name] for module in modules]))
    for name in first._buffers:
        setattr(joined, name, _vectors([module._buffers[name] for module in modules]))
    for name in first._modules:
        joined.add_module(name, _joined([module._modules[name] for module in modules]))
    return joined


def _vectors(values: Sequence[Tensor | None]) -> Tensor | None:
    if values[0] is None:
        return None
    if values[0].ndim != 1:
        raise StackError("only linear layers may hold weights of more than one axis")
    return _together([value[None] for value in values])


def _together(values: Sequence[Tensor]) -> Tensor:
    """One tensor of all fits; a parameter where they are, which learns where they do."""
    stacked = torch.stack([value.detach() for value in values])
    learns = values[0].requires_grad
    return nn.Parameter(stacked, learns) if learns or isinstance(values[0], nn.Parameter) else stacked


def optimizer_of(first: Optimizer, model: nn.Module, stacked: nn.Module) -> Optimizer:
    """The optimizer of a whole stack, as that of the first fit's `model` is.

    Raises:
        StackError: it may do more than to move each number by its own gradient.
    """
    if type(first) not in ELEMENTWISE:
        raise StackError(f"{type(first).__name__} is not known to work elementwise")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    of_stack = dict(stacked.named_parameters())
    groups = [
        {**group, "params": [of_stack[names[id(parameter)]] for parameter in group["params"]]}
        for group in first.param_groups
    ]
    return type(first)(groups)


def hand_back(k: int, whole: Optimizer, own: Optimizer) -> None:
    """Put fit k's part of a stack's optimizer into the fit's own, in tensors of its own."""
    for mine, stacked in zip(own.param_groups, whole.param_groups, strict=True):
        mine.update({key: value for key, value in stacked.items() if key != "params"})
        for parameter, of_stack in zip(mine["params"], stacked["params"], strict=True):
            state = whole.state.get(of_stack, {})
            own.state[parameter] = {key: _of_fit(value, k, of_stack, parameter) for key, value in state.items()}


def _of_fit(value: Any, k: int, stacked: Tensor, own: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return copy.copy(value)
    return value[k].reshape(own.shape).clone() if value.shape == stacked.shape else value.clone()


def kind(plan: Plan) -> tuple:
    """What must be equal for the plans of one stage to share a stack: steps, shapes, the optimizer's settings."""
    stage, model = plan.stages[0], plan.model
    epoch = stage.batches(0)
    own = (*model.named_parameters(), *model.named_buffers())
    shapes = [(name, tuple(value.shape), value.dtype, value.requires_grad) for name, value in own]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    optimizer = stage.optimizer(model)
    groups = [
        {**group, "params": [names.get(id(parameter)) for parameter in group["params"]]}
        for group in optimizer.param_groups
    ]
    settings = (stage.name, stage.epochs, stage.schedule_per, len(epoch), len(epoch.positions[0]))
    return type(optimizer), str(groups), str(shapes), settings


def stackable(plan: Plan, batch: tuple[Tensor, ...], device: torch.device) -> bool:
    """Whether copies of a plan's model, of which one sees half of `batch`, make side by side what each makes alone."""
    models = [copy.deepcopy(plan.model).to(device).train() for _ in range(2)]
    rows, twice = len(batch[0]), tuple(torch.cat([part, part]) for part in batch)
    try:
        optimizer_of(plan.stages[0].optimizer(models[0]), models[0], stacked := side_by_side(models))
        compare(stacked.train(), models, [plan.stages[0].losses.of_rows] * 2, twice, [rows, -(-rows // 2)])
    except StackError:
        return False
    return True


Rule = Callable[[nn.Module, Any], Mapping[str, Tensor]]


def compare(
    stacked: nn.Module, models: Sequence[nn.Module], rules: Sequence[Rule], batch: Any, rows: Sequence[int]
) -> None:
    """Raise StackError unless the stack makes of its first batch what every fit's own model and rule make of its part.

    batch: tensors (fits * size, ...). rows: (fits,) how many of `size` rows each fit has.
    """
    buffers = [buffer._version for buffer in stacked.buffers()]
    drawn = torch.get_rng_state()
    size = len(batch[0]) // len(models)
    with torch.no_grad():
        try:
            together = rules[0](Flat(stacked, len(models)), batch)
        except (RuntimeError, AttributeError, TypeError, ValueError, IndexError) as error:
            raise StackError(f"the stacked model cannot be called ({error})") from error
        apart = [
            rule(model, tuple(part[k * size : k * size + rows[k]] for part in batch))
            for k, (model, rule) in enumerate(zip(models, rules, strict=True))
        ]
    if not torch.equal(drawn, torch.get_rng_state()):
        raise StackError("training draws random numbers")
    if buffers != [buffer._version for buffer in stacked.buffers()]:
        raise StackError("training changes buffers")
    for k, terms in enumerate(apart):
        for name, values in terms.items():
            found = together.get(name, torch.empty(0))
            if found.shape != (len(batch[0]),) or values.shape != (rows[k],):
                raise StackError(f"term '{name}' is no number for each row")
            if not torch.allclose(found[k * size : k * size + rows[k]], values, rtol=1e-4, atol=1e-5):
                raise StackError(f"term '{name}' differs")
