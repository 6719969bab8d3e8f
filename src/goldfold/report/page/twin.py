"""The HTML page of a Markdown page and the pictures beside it: comparisons, ablations, studies, the ledger."""

from __future__ import annotations

from pathlib import Path

from goldfold.io.files import write_text
from goldfold.report.page import markup
from goldfold.report.page.embedded import embedding
from goldfold.report.page.layout import document


def write(markdown: Path) -> Path:
    """Write the page of a Markdown file beside it, with the pictures of its folder inside; returns its path."""
    path, text = markdown.with_suffix(".html"), markdown.read_text(encoding="utf-8")
    title, before, parts = markup.sections(text)
    picture = embedding(path.parent, [name for _, name in markup.pictures(text)])
    body = [markup.html(before, picture)]
    body += [section(heading, markup.html(part, picture)) for heading, part in parts.items()]
    write_text(path, document(title, "\n".join(body)))
    return path


def section(heading: str, body: str) -> str:
    """A section of a page; its heading is plain text."""
    return f'<section id="{markup.anchor(heading)}">\n<h2>{markup.inline(heading)}</h2>\n{body}\n</section>'
