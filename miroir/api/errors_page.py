"""`docs/errors.md` as a page for a browser: what the `link` of an error of ours points at."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

_PLACES: Final = (Path(__file__).with_name("errors.md"), Path(__file__).parents[2] / "docs" / "errors.md")
"""Where it is in an installed package (`pyproject.toml` puts it there), and in a copy of the repository."""

_HEADING: Final = re.compile(r"<h2><code>(\w+)</code></h2>")
_REFERENCE: Final = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_HEAD: Final = (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Errors of Miroir</title>\n'
    "<style>:root{color-scheme:light dark}body{max-width:44rem;margin:2rem auto;padding:0 1rem;"
    "font:1rem/1.5 sans-serif}:target{background:#fc08}</style></head><body>\n"
)


@lru_cache(maxsize=1)
def errors_page() -> bytes:
    """The page as HTML; a code's section has the code for its id. Reads a file and imports a parser the first time."""
    from markdown_it import MarkdownIt  # whoever never asks for the page need not load it

    text = next(place for place in _PLACES if place.exists()).read_text(encoding="utf-8")
    text = _REFERENCE.sub(r"\1", text)  # other pages are not served
    body = _HEADING.sub(r'<h2 id="\1"><code>\1</code></h2>', MarkdownIt("commonmark").render(text))
    return f"{_HEAD}{body}</body></html>\n".encode()
