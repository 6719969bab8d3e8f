"""Folders of pretrained towers in the layout of transformers: config.json, safetensors and tokenizer files.

Nothing is downloaded, and no code of a folder is run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from goldfold.errors import GoldfoldError

TWO_TOWERS = ("clip", "siglip", "siglip2")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
INSTALL = "pip install transformers sentencepiece"
LAYOUT = (
    "it needs config.json (a ResNet of CLIP: open_clip_config.json), *.safetensors and, for text, the tokenizer's files"
)


class TowerFolder(NamedTuple):
    """A folder whose architecture is known; family: the `model_type` of its config.json."""

    path: Path
    family: str

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file of the folder; {} if there is none."""
        return _read_json(self.path / name) if (self.path / name).exists() else {}

    def error(self, code: str, what: str) -> GoldfoldError:
        """The error for this folder; it names family and folder."""
        return GoldfoldError(code, f"the {self.family} tower in '{self.path}' {what}")


def open_folder(path: str | Path, families: Sequence[str]) -> TowerFolder:
    """Return the folder after a look at its config.json and the names of its weights.

    Raises:
        GoldfoldError: `tower_not_found`, there is no such folder or it has no readable config.json;
            `unknown_tower_family`, its architecture is not among `families`; `tower_weights_missing`, it has no
            safetensors.
    """
    path = Path(path)
    if not (path / "config.json").is_file():
        what = "has no config.json" if path.is_dir() else "does not exist"
        raise GoldfoldError("tower_not_found", f"the tower's folder '{path}' {what}: {LAYOUT}")
    found = str(_read_json(path / "config.json").get("model_type"))
    if found not in families:
        raise GoldfoldError(
            "unknown_tower_family",
            f"the tower in '{path}' has model_type '{found}', which is none of {', '.join(families)}: choose a folder "
            "of one of these",
        )
    folder = TowerFolder(path, found)
    if not any(path.glob("*.safetensors")):
        others = [file.name for file in sorted(path.glob("*.bin"))[:1]]
        instead = f", only {others[0]}, which can run code when it is opened" if others else ""
        raise folder.error(
            "tower_weights_missing", f"has no *.safetensors{instead}: download the safetensors of the model too"
        )
    return folder


def load_model(folder: TowerFolder, unused: tuple[str, ...]) -> Any:
    """Load the model of a folder in float32, in evaluation mode.

    unused: prefixes of the weights that the folder may lack, since nobody will use them.

    Raises:
        GoldfoldError: `package_missing`, transformers is not installed; `tower_not_loaded`, the files cannot be read or
            lack weights, which would be random, or have weights of another architecture.
    """
    transformers = _transformers(folder)
    with refusing(folder), _quiet(transformers), torch.random.fork_rng():
        model, told = transformers.AutoModel.from_pretrained(
            folder.path,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
        )
    other = sorted(str(each[0]) for each in told["mismatched_keys"] if not each[0].startswith(unused))
    if other:
        raise folder.error(
            "tower_not_loaded",
            f"has {len(other)} weights of another shape than its config.json says, such as {other[0]}: take both from "
            "one model",
        )
    lacking = sorted(name for name in told["missing_keys"] if not name.startswith(unused))
    if lacking:
        raise folder.error(
            "tower_not_loaded",
            f"lacks {len(lacking)} of its weights, such as {lacking[0]}: download the folder again",
        )
    return model.float().eval()


def load_tokenizer(folder: TowerFolder) -> Callable[..., Any]:
    """Load the tokenizer of a folder; it pads and truncates at the right.

    Raises:
        GoldfoldError: `package_missing`; `tokenizer_missing`, no file of a tokenizer is there; `tower_not_loaded`, the
            tokenizer cannot be read or cannot pad.
    """
    if not any((folder.path / name).exists() for name in TOKENIZERS):
        raise folder.error("tokenizer_missing", f"has no tokenizer, none of {', '.join(TOKENIZERS)}: download it too")
    transformers = _transformers(folder)
    with refusing(folder), _quiet(transformers):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder.path, local_files_only=True, trust_remote_code=False
        )
        tokenizer.padding_side = tokenizer.truncation_side = "right"  # some families' class pads at the left
        tokenizer(["a", "b c"], padding=True)
    return tokenizer


def small_files_hash(folder: TowerFolder) -> str:
    """Hash all files of a folder that are neither weights nor prose, the tokenizer above all (BLAKE2b)."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(folder.path.iterdir()):
        if file.suffix in (".json", ".txt", ".model"):
            digest.update(f"{file.name} {file.stat().st_size} ".encode() + file.read_bytes())
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError) as error:
        raise GoldfoldError("tower_not_found", f"'{path}' cannot be read ({error}): download it again") from error
    return found


def _transformers(folder: TowerFolder) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise folder.error("package_missing", f"needs the package transformers ({error}): {INSTALL}") from error
    return transformers


@contextmanager
def refusing(folder: TowerFolder) -> Iterator[None]:
    """Raise what goes wrong as one sentence about the folder: `package_missing` or `tower_not_loaded`."""
    try:
        yield
    except ImportError as error:  # such as sentencepiece, which the tokenizer of SigLIP needs
        reason = " ".join(str(error).split())[:90]
        raise folder.error("package_missing", f"needs another package ({reason}): {INSTALL}") from error
    except Exception as error:  # each architecture, tokenizer and file format raises its own
        reason = " ".join(str(error).split())[:300]
        raise folder.error("tower_not_loaded", f"cannot be loaded ({reason}): download the folder again") from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the progress bar and the report of weights that a tower does not use."""
    logging = transformers.utils.logging
    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()
