"""HTML of the Markdown that the reports write: headings, tables, lists, code, folded code, pictures, bold and links.

Everything is escaped, so no text of a user becomes a tag, and a sign after a backslash means nothing. What Markdown
knows beyond that is left as it is written: the reports write nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from html import escape

Picture = Callable[[str, str], str]  # (caption, file name) -> HTML

IMAGE = re.compile(r"!\[(?P<caption>.*)\]\((?P<name>[\w.-]+\.png)\)")
FENCED = re.compile(r"(?P<fence>`{3,})[^\n]*\n(?P<code>.*)(?P=fence)", re.DOTALL)
FOLDED = re.compile(r"<summary>(?P<title>.*)</summary>")
RIGHT = re.compile(r":?-+:")  # the rule of a column whose cells are aligned right
LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\(((?:https://|[\w.#-])[\w./#?=%-]*)\)")
PARTS = re.compile(r"`(?P<code>[^`]+)`|\\(?P<sign>[!-/:-@\[-`{-~])|[^`\\]+|.", re.DOTALL)
LEVEL = re.compile(r"\*\*(error|warning|note)\*\*")
LONG = 40  # characters of a cell from which it is broken into lines


def html(text: str, picture: Picture) -> str:
    """Convert Markdown; picture: makes the HTML of a picture, which is empty if there is none."""
    return "\n".join(_block(block, picture) for block in _blocks(text))


def sections(text: str) -> tuple[str, str, dict[str, str]]:
    """Split a page: its title, what stands before the first section, and heading -> text of each section.

    >>> sections("# digits\\n\\nA run.\\n\\n## Folds\\n\\nFive.\\n")
    ('digits', 'A run.', {'Folds': 'Five.'})
    """
    title, parts = "", {"": ""}
    heading = ""
    for block in _blocks(text):
        if block.startswith("# ") and not title:
            title = block.removeprefix("# ")
        elif block.startswith("## "):
            heading = block.removeprefix("## ")
            parts[heading] = ""
        else:
            parts[heading] += f"\n\n{block}" if parts[heading] else block
    return title, parts.pop(""), parts


def pictures(text: str) -> list[tuple[str, str]]:
    """Caption and file name of each picture of a page."""
    found = (IMAGE.fullmatch(block) for block in _blocks(text))
    return [(image["caption"], image["name"]) for image in found if image]


def anchor(heading: str) -> str:
    """The address of a section within its page.

    >>> anchor("How to reproduce")
    'how-to-reproduce'
    """
    return "-".join(re.findall(r"\w+", heading.lower()))


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, tables, lists and headings as they are separated by empty lines; code keeps its empty lines."""
    lines: list[str] = []
    fence = ""
    for line in text.splitlines():
        if mark := re.match("`{3,}", line) if not fence or line == fence else None:
            fence = "" if fence else mark[0]
        heading = line.startswith("#") and not fence
        if lines and not fence and (not line.strip() or heading) and not _open(lines):
            yield "\n".join(lines)
            lines = []
        if line.strip() or fence or lines:
            lines.append(line)
    if lines:
        yield "\n".join(lines)


def _open(lines: Sequence[str]) -> bool:
    """Whether the lines began something folded that has not ended."""
    return lines[0] == "<details>" and lines[-1] != "</details>"


def _block(block: str, picture: Picture) -> str:
    first = block.split("\n", 1)[0]
    if heading := re.match(r"(#+) (.*)", block):
        level = min(len(heading[1]), 3)
        return f"<h{level}>{inline(heading[2])}</h{level}>"
    if first.startswith("```"):
        return f"<pre><code>{_code(block)}</code></pre>"
    if folded := FOLDED.search(block) if first == "<details>" else None:
        title = inline(folded["title"])
        return f"<details><summary>{title}</summary><pre><code>{_code(block)}</code></pre></details>"
    if image := IMAGE.fullmatch(block):
        return picture(image["caption"], image["name"])
    if first.startswith("|"):
        return _table(block.splitlines())
    if first.startswith("- "):
        return f"<ul>{''.join(_item(item) for item in re.split(r'^- ', block, flags=re.MULTILINE)[1:])}</ul>"
    return f"<p>{inline(block)}</p>"


def _code(block: str) -> str:
    """The lines between the fences of a block of code, escaped."""
    found = FENCED.search(block)
    return escape(found["code"].rstrip("\n")) if found else ""


def _item(text: str) -> str:
    level = LEVEL.match(text)
    mark = f' class="{level[1]}"' if level else ""
    return f"<li{mark}>{inline(text.strip())}</li>"


def _table(lines: Sequence[str]) -> str:
    header, rule, *rows = ([cell.strip() for cell in _cells(line)] for line in lines)
    sides = ["right" if RIGHT.fullmatch(each) else "left" for each in rule]
    return table(header, rows, sides)


def _cells(line: str) -> list[str]:
    return [cell.replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|"))[:-1]]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], sides: Sequence[str]) -> str:
    """A table in a box of its own that scrolls; sides: `left` or `right`, the alignment of each column."""
    head = _row("th", header, sides)
    body = "\n".join(_row("td", row, sides) for row in rows)
    return f'<div class="wide" tabindex="0"><table><thead>{head}</thead><tbody>\n{body}\n</tbody></table></div>'


def _row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    kinds = [f"text {side}" if len(cell) > LONG else side for cell, side in zip(cells, sides, strict=True)]
    made = (f'<{tag} class="{kind}">{inline(cell)}</{tag}>' for cell, kind in zip(cells, kinds, strict=True))
    return f"<tr>{''.join(made)}</tr>"


def inline(text: str) -> str:
    r"""Escape a text; then code, bold and links to files beside the page, to its sections or to https become tags.

    >>> inline("**0.91** of `a<b`, see [log](log.html) and [x](javascript:y)")
    '<strong>0.91</strong> of <code>a&lt;b</code>, see <a href="log.html">log</a> and [x](javascript:y)'
    >>> inline(r"a \*name\* of [a]\(b)")
    'a &#42;name&#42; of [a]&#40;b)'
    """
    text = PARTS.sub(_part, text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text, flags=re.DOTALL)
    return LINK.sub(r'<a href="\2">\1</a>', text)


def _part(found: re.Match[str]) -> str:
    """Code, a sign that is escaped and means nothing, or any other text."""
    if found["code"]:
        return f"<code>{_literal(escape(found['code']))}</code>"
    return f"&#{ord(found['sign'])};" if found["sign"] else escape(found[0])


def _literal(code: str) -> str:
    """Code in which nothing is bold and nothing a link."""
    return code.replace("*", "&#42;").replace("[", "&#91;")
