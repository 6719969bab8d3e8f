"""Encoders of transformers for training: from a folder, from a package, or from the hub if it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from goldfold.errors import GoldfoldError
from goldfold.nn import text_towers
from goldfold.nn.pretrained import text_packages, tower_folders
from goldfold.nn.pretrained.model_sources import HUB, reachable

FAMILIES = (
    *("bert", "distilbert", "mpnet", "roberta", "xlm-roberta", "camembert"),
    *("deberta", "deberta-v2", "electra", "albert", "modernbert"),
)
COUNTED = (*text_towers.COUNTED, "camembert")  # number positions from the id of the padding token + 1
UNUSED = ("pooler.",)
NEEDED = ["*.json", "*.safetensors", "*.txt", "*.model"]  # of a repository of the hub
SOURCES = "give minilm, the folder of an encoder, or hf-hub:OWNER/NAME"


class LoadedEncoder(NamedTuple):
    """A model of transformers with its tokenizer; longest: number of tokens that it reads."""

    model: Any
    tokenizer: Any
    longest: int


def folder_of(encoder: str) -> Path:
    """The folder of an encoder: `minilm`, a folder in the layout of transformers, or `hf-hub:OWNER/NAME`.

    Raises:
        GoldfoldError: `tower_not_found`; `package_missing`; `encoder_not_downloaded`.
    """
    if encoder == text_packages.MINILM:
        return text_packages.minilm_folder()
    if encoder.startswith(HUB):
        return _of_hub(encoder.removeprefix(HUB))
    if encoder == text_packages.WORDLLAMA:
        raise GoldfoldError(
            "encoder_not_trainable",
            f"encoder={encoder} is a table of token vectors, which is not fine-tuned: {SOURCES}, or use the recipe of "
            "frozen features",
        )
    if not Path(encoder).is_dir():
        raise GoldfoldError("tower_not_found", f"there is no folder '{encoder}' of a text encoder: {SOURCES}")
    return Path(encoder)


def load(encoder: str) -> LoadedEncoder:
    """Load an encoder in float32 on the CPU, without the pooler that its pretraining used.

    Raises:
        GoldfoldError: as `folder_of`; the folder is refused: `unknown_tower_family`, `tower_weights_missing`,
            `tokenizer_missing`, `tower_not_loaded`.
    """
    folder = tower_folders.open_folder(folder_of(encoder), FAMILIES)
    tokenizer: Any = tower_folders.load_tokenizer(folder)
    model = tower_folders.load_model(folder, UNUSED)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # its weights would get no gradient
    positions = model.config.max_position_embeddings
    if folder.family in COUNTED:
        positions -= model.config.pad_token_id + 1
    if len(tokenizer) > model.config.vocab_size:
        what = (
            f"knows {model.config.vocab_size:,} tokens, but its tokenizer {len(tokenizer):,}: take both from one model"
        )
        raise folder.error("tower_not_loaded", what)
    return LoadedEncoder(model, tokenizer, positions)


def _of_hub(name: str) -> Path:
    """The folder of a repository, on this machine or downloaded; the network is tried before its client retries."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=NEEDED, local_files_only=True))
    except HFValidationError as error:
        raise _not_downloaded(name, "is no name of a repository") from error
    except LocalEntryNotFoundError as error:
        if constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT):
            raise _not_downloaded(name, "is not on this machine, and the hub does not answer") from error
    try:
        return Path(snapshot_download(name, allow_patterns=NEEDED))
    except (HfHubHTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:90]
        raise _not_downloaded(name, f"cannot be downloaded ({reason})") from error


def _not_downloaded(name: str, why: str) -> GoldfoldError:
    return GoldfoldError(
        "encoder_not_downloaded",
        f"encoder={HUB}{name} {why}: download it on a machine with internet, copy its folder here and name that folder",
    )
