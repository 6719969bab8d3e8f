"""Write the generated parts of recipes.md, metrics.md and findings.md: parameters, docstrings of metrics, codes.

    PYTHONPATH=src python docs/generate.py

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`. tests/test_docs_reference.py fails where
a page differs from the sources.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import to_markdown

if TYPE_CHECKING:
    from goldfold.trust.audits import FindingKind

PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
COMPARED = {"Ge": "≥ ", "Gt": "> ", "Le": "≤ ", "Lt": "< "}
PAGES = ("recipes.md", "metrics.md", "findings.md", "teachers.md")
TOPICS = ("Leakage", "Folds and test rows", "Data and rules", "Training", "Scores", "Comparisons and blends")
LABELS = ("Range", "Chance", "Ties", "Empty classes", "Predictions", "Source")


def page(text: str) -> str:
    """A page with its generated parts written anew."""
    return PART.sub(lambda found: f"{found[1]}\n{_generated(found[2])}\n\n{found[3]}", text)


def models() -> dict[str, type[BaseModel]]:
    """Recipe module, or a part of every config -> its parameters."""
    from goldfold.experiment.fits import Protocol
    from goldfold.experiment.fits.lessons import Distillation, PseudoLabels
    from goldfold.recipes.boosting import BoostingParams
    from goldfold.recipes.classification.text_parameters import FrozenTextParams, TextClassifierParams
    from goldfold.recipes.frozen_backbone import FrozenBackboneParams
    from goldfold.recipes.image_classifier import ImageClassifierParams
    from goldfold.recipes.parameters.audio_classifier import AudioClassifierParams
    from goldfold.recipes.parameters.autoencoder import AutoencoderParams
    from goldfold.recipes.parameters.fusion import FusionParams
    from goldfold.recipes.patches.params import PatchLibraryParams
    from goldfold.recipes.segmenter import SegmenterParams
    from goldfold.recipes.sequence_network import SequenceNetworkParams
    from goldfold.recipes.statistics_pooling import StatisticsPoolingParams
    from goldfold.recipes.tabular import TabularParams
    from goldfold.recipes.tabular_network import TabularNetworkParams
    from goldfold.recipes.targets.one_label import ClassLossParams
    from goldfold.recipes.targets.ordered_label import OrderedLossParams
    from goldfold.recipes.targets.several_labels import LabelLossParams
    from goldfold.recipes.targets.values import ValueLossParams
    from goldfold.retrieval.parameters import EmbedderParams
    from goldfold.retrieval.prompts.parameters import PromptedEmbedderParams
    from goldfold.training.settings import LoopOptions

    return {
        "protocol": Protocol,
        "pseudo_labels": PseudoLabels,
        "distill": Distillation,
        "loop": LoopOptions,
        "audio_classifier": AudioClassifierParams,
        "image_classifier": ImageClassifierParams,
        "frozen_backbone": FrozenBackboneParams,
        "one_label": ClassLossParams,
        "several_labels": LabelLossParams,
        "ordered_label": OrderedLossParams,
        "values": ValueLossParams,
        "text_classifier": TextClassifierParams,
        "frozen_text": FrozenTextParams,
        "fusion": FusionParams,
        "segmenter": SegmenterParams,
        "statistics_pooling": StatisticsPoolingParams,
        "sequence_network": SequenceNetworkParams,
        "autoencoder": AutoencoderParams,
        "patch_library": PatchLibraryParams,
        "embedder": EmbedderParams,
        "prompted_embedder": PromptedEmbedderParams,
        "tabular": TabularParams,
        "boosting": BoostingParams,
        "tabular_network": TabularNetworkParams,
    }


def _generated(name: str) -> str:
    kind, _, what = name.partition(":")
    if kind == "params":
        return params_table(models()[what])
    if kind == "findings":
        return findings()
    from goldfold import metrics

    return metrics_summary(metrics) if what == "summary" else metric_section(what, getattr(metrics, what))


def params_table(model: type[BaseModel]) -> str:
    """A row per parameter: key, type and range, default, meaning."""
    lines = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for key, field in model.model_fields.items():
        meaning = (field.description or key.replace("_", " ")).replace("|", "\\|")
        lines.append(f"| `{key}` | {_values(field)} | {_default(field.default)} | {meaning} |")
    return "\n".join(lines)


def _values(field: FieldInfo) -> str:
    limits = [
        f"{sign}{value}" for name, sign in COMPARED.items() if (value := _limit(field.metadata, name)) is not None
    ]
    if (multiple := _limit(field.metadata, "MultipleOf")) is not None:
        limits.append(f"a multiple of {multiple}")
    return ", ".join([_type(field.annotation), *limits])


def _limit(metadata: list[Any], name: str) -> Any:
    attribute = {"MultipleOf": "multiple_of"}.get(name, name.lower())
    return next((getattr(each, attribute) for each in metadata if type(each).__name__ == name), None)


def _type(annotation: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each) for each in inner)
    if origin is tuple:
        return "list" if not inner or inner[0] is Any else f"list of {_type(inner[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "block"
    if origin is dict:
        return "names with values"
    if origin is not None and hasattr(annotation, "__metadata__"):
        return _type(inner[0])
    return {type(None): "none", str: "text", bool: "`true`, `false`"}.get(annotation, annotation.__name__)


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "none" if value is None else "required"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def kinds() -> list[FindingKind]:
    """What every code of a finding means, wherever in goldfold.trust it is said, by topic and module."""
    from goldfold import trust
    from goldfold.trust.audits import FindingKind

    names = sorted(module.name for module in pkgutil.walk_packages(trust.__path__, "goldfold.trust."))
    found = {
        value.code: value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, FindingKind)
    }
    return sorted(found.values(), key=lambda kind: TOPICS.index(kind.topic))


def findings() -> str:
    """A table of all codes, then a section for each."""
    lines = ["## All codes", "", "| code | level | found |", "|---|---|---|"]
    lines += [f"| [`{each.code}`](#{each.code}) | {', '.join(each.levels)} | {each.found} |" for each in kinds()]
    topic = ""
    for kind in kinds():
        lines += ["", f"## {kind.topic}"] if kind.topic != topic else []
        topic = kind.topic
        level = f"{kind.levels[0].capitalize()}. " if len(kind.levels) == 1 else ""
        shown = f"{' or '.join(kind.levels)}  {kind.code}  ...: {kind.example}"
        lines += ["", f"### {kind.code}", "", f"{level}{kind.seen}", "", f"```text\n{shown}\n```", ""]
        lines += [f"**Why it misleads.** {kind.misleads}", "", f"**Cure.** {kind.cure}"]
    return "\n".join(lines)


def metrics_summary(metrics: Any) -> str:
    """A row per metric: its definition in one line, range, chance level."""
    lines = ["| metric | definition | range | chance level |", "|---|---|---|---|"]
    for name in metrics.__all__:
        parts = _labeled(inspect.getdoc(getattr(metrics, name)) or "")
        if "Range" not in parts:
            continue  # a function that a metric is made of
        summary = next(iter(parts[""].split("\n\n")))
        cells = (
            " ".join(text.split()).replace("|", "\\|") for text in (summary, _value(parts, "Range"), _chance(parts))
        )
        lines.append(f"| [`{name}`](#{name}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _value(parts: Mapping[str, str], label: str) -> str:
    return parts.get(label, "").rstrip(".")


def _chance(parts: Mapping[str, str]) -> str:
    """The first sentence of the chance level."""
    return re.split(r"\.\s", " ".join(_value(parts, "Chance").split()))[0]


def metric_section(name: str, factory: Any) -> str:
    """Signature and docstring of a metric."""
    signature = inspect.signature(factory)
    shown = ", ".join(_parameter(each) for each in signature.parameters.values())
    text = inspect.getdoc(factory) or ""
    for label in LABELS:
        text = re.sub(rf"(?:^|(?<=\. )|(?<=\n)){label}: ", f"\n\n**{label}:** ", text)
    text = re.sub(r"(?m)^(Ties and empty classes)", r"\n\1", text)
    body = to_markdown(text, list(signature.parameters))
    paragraphs = [part if part.startswith(("-", "```")) else " ".join(part.split()) for part in body.split("\n\n")]
    return f"### {name}\n\n`metrics.{name}({shown})`\n\n" + "\n\n".join(filter(None, paragraphs)).replace("|", "\\|")


def _labeled(text: str) -> dict[str, str]:
    """Label -> what stands behind it; "" -> the text before the first."""
    pieces = re.split(rf"(?:^|(?<=\. )|(?<=\n))({'|'.join(LABELS)}): ", text)
    labels = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    return {"": pieces[0].strip(), **{label: value.split("\n\n")[0].strip() for label, value in labels.items()}}


def _parameter(parameter: inspect.Parameter) -> str:
    default = "" if parameter.default is inspect.Parameter.empty else f"={parameter.default!r}"
    return f"{parameter.name}{default}"


if __name__ == "__main__":
    for name in PAGES:
        path = Path(__file__).parent / name
        path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
