"""The grammar of filters as far as tests need it: a parser of its own, letter by letter, as Meilisearch's is."""

from __future__ import annotations

from typing import Any

_KEYWORDS = frozenset(
    {"AND", "OR", "IN", "NOT", "TO", "EXISTS", "IS", "NULL", "EMPTY", "CONTAINS", "STARTS", "WITH", "_geoRadius"}
)
_BLANKS = " \t\r\n"


class NoFilter(Exception):
    """What was read is none."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def blanks(self, blanks: str | None = _BLANKS) -> None:
        while self.at < len(self.text) and (
            self.text[self.at].isspace() if blanks is None else self.text[self.at] in blanks
        ):
            self.at += 1

    def takes(self, text: str) -> bool:
        if self.text.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def word(self) -> str:
        start = self.at
        while self.at < len(self.text) and (self.text[self.at].isalnum() or self.text[self.at] in "_-."):
            self.at += 1
        return self.text[start : self.at]

    def takes_word(self, word: str) -> bool:
        start = self.at
        self.blanks()
        if self.word() == word:
            self.blanks()
            return True
        self.at = start
        return False

    def value(self) -> str:
        self.blanks(None)
        for quote in "'\"":
            if self.takes(quote):
                start = self.at
                while self.at < len(self.text) and self.text[self.at] != quote:
                    self.at += 2 if self.text[self.at] == "\\" else 1
                if not self.text.startswith(quote, self.at):
                    raise NoFilter
                self.at += 1
                self.blanks()
                return self.text[start : self.text.rindex(quote, start, self.at)]
        word = self.word()
        if not word or word in _KEYWORDS:
            raise NoFilter
        self.blanks()
        return word

    def either(self) -> Any:
        found = [self.all()]
        while self.takes_word("OR"):
            found.append(self.all())
        return ("OR", *found) if len(found) > 1 else found[0]

    def all(self) -> Any:
        found = [self.perhaps_not()]
        while self.takes_word("AND"):
            found.append(self.perhaps_not())
        return ("AND", *found) if len(found) > 1 else found[0]

    def perhaps_not(self) -> Any:
        return _negated(self.perhaps_not()) if self.takes_word("NOT") else self.primary()

    def primary(self) -> Any:
        start = self.at
        self.blanks()
        if self.takes("("):
            self.blanks()
            inner = self.either()
            self.blanks()
            if not self.takes(")"):
                raise NoFilter
            self.blanks()
            return inner
        if self.takes("_geoRadius("):
            inside = self.text.find(")", self.at)
            numbers = self.text[self.at : inside].split(",") if inside >= 0 else []
            if len(numbers) != 3 or not all(number.strip().isdigit() for number in numbers):
                raise NoFilter
            self.at = inside + 1
            return ("_geoRadius", *map(int, numbers))
        self.at = start
        name = self.value()
        for sign in ("<=", ">=", "!=", "<", ">", "="):
            if self.takes(sign):
                value = self.value()
                return _negated(("=", name, value)) if sign == "!=" else (sign, name, value)
        negated = self.takes_word("NOT")
        if self.takes_word("EXISTS"):
            found: Any = ("EXISTS", name)
        elif self.takes_word("IN"):
            values = self.listed()
            found = ("=", name, *values) if len(values) == 1 else ("IN", name, *values)
        else:
            raise NoFilter
        return _negated(found) if negated else found

    def listed(self) -> list[str]:
        if not self.takes("["):
            raise NoFilter
        values: list[str] = []
        self.blanks(None)
        while not self.takes("]"):
            if values and not self.takes(","):
                raise NoFilter
            self.blanks(None)
            if values and self.takes("]"):
                break
            values.append(self.value())
        self.blanks()
        return values


def _negated(found: Any) -> Any:
    return found[1] if found[0] == "NOT" else ("NOT", found)


def read(text: str) -> Any:
    """What a filter says, `a != v` as `NOT a = v` and `a IN [v]` as `a = v`; `NoFilter` for what is none."""
    reader = _Reader(text)
    found = reader.either()
    reader.blanks()
    if reader.at < len(text):
        raise NoFilter
    return found
