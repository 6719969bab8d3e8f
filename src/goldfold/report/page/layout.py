"""The frame of every HTML page: head, style for light and dark screens, title; nothing is loaded from elsewhere."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

HERE = Path(__file__).parent
STYLE, REPORT = HERE / "style.css", HERE / "report.css"


def document(title: str, body: str, style: Path = REPORT) -> str:
    """The text of a page. title: plain text. body: HTML. style: a file of CSS beside that of every page."""
    css = "\n".join(path.read_text(encoding="utf-8").strip() for path in (STYLE, style))
    frame = Template((HERE / "page.html").read_text(encoding="utf-8"))
    return frame.substitute(title=escape(title), style=css, body=body)
