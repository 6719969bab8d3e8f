"""All fits of a run as one ONNX graph with one input, or the same as a model of OpenVINO."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError

PACKAGES = {  # format -> the extra that it needs, and the packages of that
    "onnx": ("export", ("onnx", "onnxscript", "onnxruntime")),
    "openvino": ("openvino", ("onnx", "onnxscript", "onnxruntime", "openvino")),
}


class Ensemble(nn.Module):
    """The input (n, ...) of all fits -> their predictions combined.

    shared: is applied once, before the fits. combine: (fits, n, ...) -> (n, ...). own_inputs: whether the input is
    (n, fits, ...), each fit's own.
    """

    def __init__(
        self,
        fits: Sequence[nn.Module],
        combine: Callable[[Tensor], Tensor],
        shared: nn.Module | None = None,
        own_inputs: bool = False,
    ) -> None:
        super().__init__()
        self.fits, self.shared = nn.ModuleList(fits), shared or nn.Identity()
        self.combine, self.own_inputs = combine, own_inputs

    def forward(self, inputs: Tensor) -> Tensor:
        known = self.shared(inputs)
        found = [fit(known[:, place] if self.own_inputs else known) for place, fit in enumerate(self.fits)]
        return self.combine(torch.stack(found))


def check_packages(format_: str) -> None:
    """Refuse an unknown format, or one whose packages are not installed.

    Raises:
        GoldfoldError: `unknown_format`; `export_package_missing`.
    """
    if format_ not in PACKAGES:
        raise GoldfoldError(
            "unknown_format", f"there is no export format '{format_}': write FORMAT=onnx or FORMAT=openvino"
        )
    extra, packages = PACKAGES[format_]
    for name in packages:
        if find_spec(name) is None:
            raise GoldfoldError(
                "export_package_missing",
                f"FORMAT={format_} needs the extra `{extra}`, and {name} is not installed: pip install "
                f'"goldfold[{extra}]"',
            )


def write(model: nn.Module, example: np.ndarray, folder: Path, format_: str) -> list[Path]:
    """Write the graph of a model for any number of rows into a folder; returns its files.

    example: an input of two rows or more.

    Raises:
        GoldfoldError: `operator_unsupported`, ONNX has no form of an operator of the model; `not_traceable`, its path
            depends on the values of its input.
    """
    path = folder / "model.onnx"
    _program(model, torch.from_numpy(example)).save(str(path))
    if format_ == "onnx":
        return [path]
    import openvino

    openvino.save_model(openvino.convert_model(path), folder / "model.xml", compress_to_fp16=False)
    path.unlink()
    return [folder / "model.xml", folder / "model.bin"]


def _program(model: nn.Module, example: Tensor) -> torch.onnx.ONNXProgram:
    logger, level = logging.getLogger("torch.onnx"), logging.getLogger("torch.onnx").level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=["inputs"],
                output_names=["predictions"],
                dynamic_shapes=({0: torch.export.Dim("rows")},),
                verbose=False,
            )
    except Exception as error:  # torch raises its own classes, and whatever the traced code does
        raise _refused(error) from error
    finally:
        logger.setLevel(level)
    assert program is not None, "the exporter of today returns a program"
    if isinstance(program.model.graph.inputs[0].shape[0], int):
        raise GoldfoldError(
            "not_traceable",
            f"the model was traced for {len(example)} rows alone: take numbers of rows in it from `shape[0]`, not from "
            "`len`, or predict with torch (make notebook)",
        )
    return program


def _refused(error: BaseException) -> GoldfoldError:
    """Name the operator that ONNX does not have, or else why the model cannot be traced."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(f"{cause}")
        cause = cause.__cause__ or cause.__context__
    told = "\n".join(texts)
    if found := re.search(r"No (?:ONNX function|decompositions?)[^\n]*?op='([\w.:]+)'", told):
        return GoldfoldError(
            "operator_unsupported",
            f"the model uses the operator {found[1]}, which the ONNX exporter cannot write: write that part of the "
            "network with other operators, or predict with torch (make notebook)",
        )
    reason = next((line.strip() for line in texts[-1].splitlines() if line.strip()), type(error).__name__)
    return GoldfoldError(
        "not_traceable",
        f"the model cannot be traced into a graph ({reason[:200]}): its path must not depend on the values of its "
        "input; predict with torch (make notebook)",
    )
