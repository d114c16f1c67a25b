"""The code blocks of the documentation, and what it says in code spans."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]

_FENCE = re.compile(r"```(?P<language>\w*)\s*")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+?) -->")
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: File name of its page.
        line: Line on which it begins.
        language: What is written after the fence.
        text: What is in it.
        reason: Why it is not run, as a comment on the line above says; None where it is.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found, begun, above = [], None, ""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.fullmatch(line)
        if begun is None and fence:
            reason = _NOT_RUN.fullmatch(above.strip())
            begun = number, fence["language"], reason["reason"] if reason else None
        elif begun is not None and line == "```":
            start, language, why = begun
            found.append(Block(path.name, start, language, "\n".join(lines[start : number - 1]) + "\n", why))
            begun = None
        above = line
    assert begun is None, f"{path.name}: the block of line {begun[0]} has no end"
    return found


def all_blocks(language: str | None = None) -> list[Block]:
    """The blocks of all pages, of one language if one is named."""
    return [block for path in PAGES for block in blocks(path) if language in {None, block.language}]


def spans(path: Path) -> list[str]:
    """The code spans of a page outside of its blocks."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return _SPAN.findall(text)
