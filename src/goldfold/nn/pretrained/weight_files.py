"""Weights of a file: safetensors, or a PyTorch file that is read without running code, fitted to a model by names.

    load_into(model, "weights/pretrained.safetensors", heads=("fc",))

Files of timm, of its training program and of goldfold's own checkpoints fit, and so do others with timm's names.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from goldfold.errors import GoldfoldError

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # keys of training programs that hold the weights
COUNTERS = "num_batches_tracked"  # of BatchNorm; files of old versions have none


def read(file: str | Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU. No code of the file runs.

    Raises:
        GoldfoldError: `weights_file_missing`, `weights_file_damaged`, or `weights_file_has_code`: a pickle that holds
            other objects than tensors.
    """
    path = Path(file)
    if not path.is_file():
        raise GoldfoldError(
            "weights_file_missing",
            f"there is no file of weights '{path}' (looked in {path.absolute().parent}): give the path of a "
            ".safetensors, .pth or .pt file, relative to the project's folder",
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise _refused(path, error) from error
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(path) from error
    tensors = _tensors(found)
    if not tensors:
        raise GoldfoldError(
            "weights_file_damaged",
            f"'{path}' holds no tensors by name, only {type(found).__name__}: save model.state_dict() into it",
        )
    return tensors


def load_into(
    model: nn.Module, file: str | Path, heads: Sequence[str] = (), *, anew: Collection[str] = ()
) -> tuple[str, ...]:
    """Load a file's weights into a model in place; returns the names of heads that do not fit and are left as they are.

    heads: names of classifier layers, which may be absent or of another width. A first convolution of three channels
        is adapted as `timm.models.adapt_input_conv` does; position embeddings as timm's filter of the model does.
    anew: those of the heads that are left as they are although the file has them in this shape.

    Raises:
        GoldfoldError: as `read`; `weights_do_not_fit`, with the first weight that differs.
    """
    known = _filtered(model, _unwrapped(read(file), model))
    wanted = model.state_dict()
    _adapt_input(model, known, wanted)
    dropped = _without_heads(known, wanted, heads, anew)
    _check(known, wanted, file, heads)
    model.load_state_dict({name: known.get(name, value) for name, value in wanted.items()})
    return dropped


def _refused(path: Path, error: UnpicklingError) -> GoldfoldError:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # of a file in the old format, or no file of PyTorch at all
        names = []
    if not names and "GLOBAL" not in str(error):
        return _damaged(path)
    told = f" ({', '.join(names[:3])})" if names else ""
    return GoldfoldError(
        "weights_file_has_code",
        f"'{path}' is a pickle that runs code when it is opened{told}, which is refused: save only its tensors, "
        "torch.save(model.state_dict(), ...), in a place where it is trusted",
    )


def _damaged(path: Path) -> GoldfoldError:
    return GoldfoldError(
        "weights_file_damaged",
        f"'{path}' is neither a whole file of safetensors nor one of PyTorch's tensors, and nothing of it was run: "
        "download or save it again",
    )


def _tensors(found: Any) -> dict[str, Tensor]:
    """The tensors by name of what a file held, in the entry of a training program if there is one."""
    if not isinstance(found, Mapping):
        return {}
    inner = next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), found)
    return {str(name): value for name, value in inner.items() if isinstance(value, Tensor)}


def _unwrapped(known: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The weights without the prefix of a wrapper, such as `module.` or `backbone.`; others are left out."""
    first = next(iter(model.state_dict()))
    if first in known:
        return known
    prefix = next((name.removesuffix(first) for name in known if name.endswith(f".{first}")), "")
    return {name.removeprefix(prefix): value for name, value in known.items() if name.startswith(prefix)}


def _filtered(model: nn.Module, known: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights through timm's filter for this family of models: older names, position embeddings of other sizes."""
    own = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        return dict(own(dict(known), model)) if own else dict(known)
    except Exception:  # of weights of another family; `_check` says what differs
        return dict(known)


def _adapt_input(model: nn.Module, known: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Adapt the first convolution to the number of channels."""
    from timm.models import adapt_input_conv

    first = getattr(model, "pretrained_cfg", {}).get("first_conv") or ()
    for layer in (first,) if isinstance(first, str) else first:
        name = f"{layer}.weight"
        have, want = known.get(name), wanted.get(name)
        if have is None or want is None or have.ndim != 4 or have.shape[1] != 3 or want.shape[1] == 3:
            continue
        known[name] = adapt_input_conv(want.shape[1], have)


def _without_heads(
    known: dict[str, Tensor], wanted: Mapping[str, Tensor], heads: Sequence[str], anew: Collection[str]
) -> tuple[str, ...]:
    """Remove weights of heads in `anew` or that the model does not have in this shape; returns their names."""
    dropped = []
    for head in heads:
        own = [name for name in {**known, **wanted} if name.startswith(f"{head}.")]
        same = all(name in known and name in wanted and known[name].shape == wanted[name].shape for name in own)
        if own and (head in anew or not same):
            dropped.append(head)
            for name in own:
                known.pop(name, None)
    return tuple(dropped)


def _check(known: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: str | Path, heads: Sequence[str]) -> None:
    """Refuse weights of another architecture, by the first that is missing, of another shape, or not in the model."""
    expected = {name: value for name, value in wanted.items() if not _in(name, heads) and COUNTERS not in name}
    parts = {name.partition(".")[0] for name in wanted}
    extra = next((name for name in known if name not in wanted and name.partition(".")[0] in parts), None)
    for name, value in expected.items():
        if name not in known:
            raise _other(file, f"the model has '{name}' {tuple(value.shape)}, which the file lacks")
        if known[name].shape != value.shape:
            raise _other(file, f"'{name}' is {tuple(known[name].shape)} there and {tuple(value.shape)} in the model")
    if extra and not _in(extra, heads):
        raise _other(file, f"the file has '{extra}' {tuple(known[extra].shape)}, which the model lacks")


def _in(name: str, heads: Sequence[str]) -> bool:
    return any(name.startswith(f"{head}.") for head in heads)


def _other(file: str | Path, told: str) -> GoldfoldError:
    return GoldfoldError(
        "weights_do_not_fit",
        f"'{file}' holds the weights of another architecture: {told}. Set backbone, and what else sizes "
        "that layer, as it was when they were saved",
    )
