"""Edit functions: a client's Rhai text wrapped so that our fields outlive it, and its errors unwrapped again.

A function may drop any field, replace the document, or end early. So it runs on a copy without our fields, in a block
of its own, and what it leaves is given them back behind it. If it leaves the block by some other door (`exit`), the
document is as it was: no document is ever stored without its stamps.

Three forms, for what Rhai allows where:

- plain: the text stands in the block as it is. Positions in error texts are a line off. A lone name at its end, which
  does nothing, is not looked up.
- with `return`: the text is the body of a closure, which `return` leaves. A closure cannot be made over a variable that
  does not exist, so a name that is never reached must exist here; and `eval` in it does not see `doc`.
- with `fn`: functions must stand at the top level, so they are moved there, each on the line it had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from miroir.stamps import PLACED_FIELD, SEQ_FIELD, SEQ_LETTERS, SHARD_FIELD, UPDATED_FIELD, stamp_text, strip

# In this order: what looks like code inside the first ones is none.
_TOKEN: Final = re.compile(
    r"""//[^\n]*                                  # a comment
    |   /\*                                       # a comment that may hold others
    |   (?P<hashes>\#+)".*?"(?P=hashes)           # a raw text
    |   "(?:\\.|[^"\\])*"
    |   '(?:\\[^']+|\\'|[^'\\])'
    |   [A-Za-z_][A-Za-z0-9_]*
    |   [`{}]
    |   \$\{
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_TEMPLATE_EDGE: Final = re.compile(r"``|`|\$\{")
_CALLED: Final = re.compile(r"\s*\(")
_POSITION: Final = re.compile(r"\(line (\d+), position (\d+)\)")
_CLOSURE_CALL: Final = re.compile(r"\nin closure call \(line (\d+), position \d+\)")


@dataclass(frozen=True, slots=True)
class Script:
    """What of a function matters for wrapping it."""

    text: str
    functions: tuple[tuple[int, int], ...]
    """Where `fn` definitions stand, `private` included."""
    returns: bool
    """`return` occurs outside of them."""
    exits: bool
    """`exit(...)` is called somewhere."""

    @property
    def moved_lines(self) -> int:
        """Lines in front of the wrapped text's own first one; 0 where no function had to be moved."""
        return self.text.count("\n") + 1 if self.functions else 0


def read_script(text: str) -> Script:
    """Look at a text that a node has compiled. Of one that is no Rhai nothing is promised but an answer."""
    functions: list[tuple[int, int]] = []
    returns = exits = False
    depth = 0
    begun: int | None = None  # where a definition began whose end is not reached
    private: int | None = None
    for start, end in _tokens(text):
        word = text[start:end]
        if word == "{":
            depth += 1
        elif word == "}":
            depth = max(depth - 1, 0)
            if depth == 0 and begun is not None:
                functions.append((begun, end))
                begun = None
        elif word == "fn" and depth == 0 and begun is None:
            begun = start if private is None else private
        elif word == "return" and begun is None:
            returns = True
        elif word == "exit" and _CALLED.match(text, end):
            exits = True
        private = start if word == "private" else None
    return Script(text, tuple(functions), returns, exits)


def _tokens(text: str) -> Iterator[tuple[int, int]]:
    """Words and braces with their places; texts and comments are passed over, code inside of texts is not."""
    open_templates: list[int] = []  # at which depth of braces the code inside a text began
    depth = at = 0
    while (match := _TOKEN.search(text, at)) is not None:
        word, at = match.group(), match.end()
        if word == "/*":
            at = _comment_end(text, at)
        elif word == "`":
            at, code = _template_end(text, at)
            if code:
                open_templates.append(depth)
        elif word == "}" and open_templates and open_templates[-1] == depth:
            at, code = _template_end(text, at)
            if not code:
                open_templates.pop()
        elif word in ("{", "${"):
            depth += 1
            yield at - 1, at
        elif word == "}":
            depth -= 1
            yield match.span()
        elif word[0].isalpha() or word[0] == "_":
            yield match.span()


def _comment_end(text: str, at: int) -> int:
    depth = 1
    while depth and (match := _COMMENT_EDGE.search(text, at)) is not None:
        depth += 1 if match.group() == "/*" else -1
        at = match.end()
    return len(text) if depth else at


def _template_end(text: str, at: int) -> tuple[int, bool]:
    """Behind the end of a `...` text, or behind the `${` where code begins in it."""
    while (match := _TEMPLATE_EDGE.search(text, at)) is not None:
        at = match.end()
        if match.group() != "``":
            return at, match.group() == "${"
    return len(text), False


def wrap(script: Script, stamp: int, *, updated: bool) -> str:
    """The text a node runs. Documents keep their shard and their place in the order, and get the edit's stamp.

    The place (`_miroir_seq`) is as it was, for an edit moves no document on a node; the edit's stamp behind it makes it
    another version to compare by. `updated`: anti-entropy is on, documents carry `_miroir_updated_at`.
    """
    doc, fields = _unused(script.text, "miroir_doc"), _unused(script.text, "miroir_fields")
    renewed = stamp_text(stamp)
    names = (SHARD_FIELD, SEQ_FIELD, *((UPDATED_FIELD,) if updated else ()), PLACED_FIELD)
    saved = ", ".join(f'{name}: {doc}.remove("{name}")' for name in names)
    changes = f'{fields}.{SEQ_FIELD} = {fields}.{SEQ_FIELD}.sub_string(0, {SEQ_LETTERS}) + "{renewed}";'
    if updated:
        changes += f' {fields}.{UPDATED_FIELD} = "{renewed}";'
    before, body = _without(script)
    opening, closing = ("(|| {", "\n}).call();") if script.returns else ("", "\n;")
    return (
        f"{before}let {doc} = doc; let {fields} = #{{{saved}}}; {changes} {{ let doc = {doc}; {opening}\n"
        f"{body}{closing} {doc} = doc; }} "
        f'if type_of({doc}) == "map" {{ {doc}.mixin({fields}); }} let doc = {doc};'
    )


def _without(script: Script) -> tuple[str, str]:
    """The functions alone, with a line end, and the text without them; both keep every line where it was."""
    if not script.functions:
        return "", script.text
    functions, body, at = "", "", 0
    for start, end in script.functions:
        functions += _blank(script.text[at:start]) + script.text[start:end]
        body += script.text[at:start] + _blank(script.text[start:end])
        at = end
    return functions + _blank(script.text[at:]) + "\n", body + script.text[at:]


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _unused(text: str, name: str) -> str:
    number = 0
    while f"{name}{number}" in text:
        number += 1
    return f"{name}{number}"


def unwrap_error(message: str, moved_lines: int) -> str:
    """A node's text about a wrapped function, as about the client's own: its lines, and no field or call of ours."""

    def own_line(line: str) -> int | None:
        """The line in the client's text; None for one that is ours."""
        number = int(line)
        if number <= moved_lines:
            return number
        number -= moved_lines + 1
        return number if number > 0 else None

    last = _CLOSURE_CALL.search(message)
    while last is not None and (following := _CLOSURE_CALL.search(message, last.end())) is not None:
        last = following
    if last is not None and last.end() == len(message):  # the call of the closure we put around the text
        message = message[: last.start()]

    def shown(match: re.Match[str]) -> str:
        line = own_line(match[1])
        return match.group() if line is None else f"(line {line}, position {match[2]})"

    return strip(_POSITION.sub(shown, message).encode()).decode()
