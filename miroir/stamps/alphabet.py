"""The silent alphabet: numbers as text that filters can compare and no search can find.

A number in a document is searchable text for Meilisearch, so a stamp that is one would answer the query `3`. These 32
letters are separators to its tokenizer (charabia), under every locale and setting tried: a text made only of them is
never a word. They stand in code-point order, so texts of one width compare as their numbers do, and filters such as
`>=` are exact on them.
"""

from __future__ import annotations

from typing import Final

ALPHABET: Final = "⁖⁘⁙⁚⁛⁜⁝⁞⸀⸁⸆⸇⸈⸋⸎⸏⸐⸑⸒⸓⸔⸕⸖⸘⸙⸛⸞⸟⸪⸫⸬⸭"
"""The letters for 0 to 31. Each takes three bytes of UTF-8."""

_VALUES: Final = {letter: value for value, letter in enumerate(ALPHABET)}
_PAIRS: Final = [high + low for high in ALPHABET for low in ALPHABET]


def encode(value: int, width: int) -> str:
    """`value` in exactly `width` letters of 5 bits each; `OverflowError` if it is negative or does not fit."""
    if value < 0 or value >> (5 * width):
        raise OverflowError(f"{value} does not fit into {width} letters")
    pairs = []
    for _ in range(width >> 1):
        pairs.append(_PAIRS[value & 1023])
        value >>= 10
    if width & 1:
        pairs.append(ALPHABET[value])
    pairs.reverse()
    return "".join(pairs)


def decode(text: str) -> int:
    """The number that `encode` wrote; `ValueError` if a letter is not of the alphabet."""
    value = 0
    for letter in text:
        try:
            value = value << 5 | _VALUES[letter]
        except KeyError:
            raise ValueError(f"not a stamp: {text!r}") from None
    return value


def is_silent(text: str) -> bool:
    """Whether `text` contains a letter of the alphabet; a client that makes one a word would make stamps searchable."""
    return any(letter in _VALUES for letter in text)
