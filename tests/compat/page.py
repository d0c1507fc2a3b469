"""`python -m tests.compat.page`: writes what `docs/compatibility.md` shows of tables in the code."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from miroir.api.refused import REFUSED

PAGE: Final = Path(__file__).parents[2] / "docs" / "compatibility.md"

_MARK: Final = "<!-- {}: {} -->"
_ROUTES: Final = "refused routes, from the table in miroir/api/refused.py"


def refused_routes() -> str:
    """The routes that answer 501, as Markdown."""
    rows = ["| route | why not | what to do instead |", "| --- | --- | --- |"]
    for refused in REFUSED:
        rows.append(f"| `{', '.join(refused.methods)} {refused.template}` | {refused.why} | {refused.instead} |")
    return "\n".join(rows)


def with_section(text: str, name: str, section: str) -> str:
    """`text` with another section between the marks of that name. `ValueError` where there are none."""
    begin, end = _MARK.format("begin", name), _MARK.format("end", name)
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no marks for {name!r}")
    return f"{before}{begin}\n\n{section}\n\n{end}{after}"


def page(text: str) -> str:
    """The page with its tables made anew."""
    return with_section(text, _ROUTES, refused_routes())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
