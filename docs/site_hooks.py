"""Hooks of the website: pages from files outside docs/, and links that work both in the repository and on the site.

ARCHITECTURE.md, CONTRIBUTING.md, CHANGELOG.md and competitions/*/README.md become pages. Links in all pages are those
of the repository, so that they work when a page is read there. On the site they lead to the page made of the file;
links to files without a page (sources, configs) keep their text only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PROJECT = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(?<!\!)\[([^\]]+)\]\(([^)\s:]+\.\w+|[^)\s:#]+/)(#[\w-]+)?\)")


def included() -> dict[str, str]:
    """File of the repository -> its page, for files outside docs/."""
    pages = {name: name.lower() for name in PROJECT if (ROOT / name).exists()}
    folders = sorted(path.parent.name for path in ROOT.glob("competitions/*/README.md"))
    return pages | {f"competitions/{name}/README.md": f"competitions/{name}.md" for name in folders}


def on_config(config: Any) -> Any:
    """Add the included pages to the navigation."""
    pages = included()
    config.nav.append({"Project": [page for page in pages.values() if "/" not in page]})
    tasks = next(part["Tasks"] for part in config.nav if isinstance(part, dict) and "Tasks" in part)
    tasks.append({"Each competition": [page for page in pages.values() if "/" in page]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the included pages."""
    for source, page in included().items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Replace links of the repository by links of the site."""
    own = page.file.src_uri
    pages = included()
    source = next((source for source, name in pages.items() if name == own), f"docs/{own}")

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        at = os.path.normpath(PurePosixPath(source).parent / target)
        name = pages.get(at) or (at.removeprefix("docs/") if at.startswith("docs/") else None)
        if name is None:
            return text
        return f"[{text}]({os.path.relpath(name, PurePosixPath(own).parent)}{anchor})"

    return LINK.sub(link, markdown)
