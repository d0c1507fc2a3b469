"""How a node spells the words of two settings when it gives them back.

It normalises them as it does text that it indexes. What stands here agrees with it for Latin and Greek letters, for
compatibility forms (`ﬁ`, `①`, `２`), Hangul, Cyrillic and kana; it has more rules, for Arabic and for variants of
Chinese characters, that only its own dictionaries know. So words go to nodes as the client wrote them, and these
spellings serve to be shown and compared.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_RECOMPOSED: Final = {unicodedata.normalize("NFD", letter): letter for letter in "ÅÄÖåäö"}
_LETTERS: Final = str.maketrans({"ı": "i", "œ": "oe", "æ": "ae", "đ": "d", "ð": "d", "ς": "σ"})
_VOICED_KANA: Final = "\u3099\u309a"
_KATAKANA: Final = range(0x30A1, 0x30F7)
_TO_HIRAGANA: Final = 0x60
_SPELLED_ALIKE: Final = ("LATIN", "GREEK", "CYRILLIC", "HANGUL", "HIRAGANA", "KATAKANA", "COMBINING")


def stop_word(word: str) -> str:
    """A stop word: decomposed, but for the letters that Swedish counts as its own."""
    spelled = unicodedata.normalize("NFKD", word)
    for decomposed, letter in _RECOMPOSED.items():
        spelled = spelled.replace(decomposed, letter)
    return spelled


def exact_word(word: str) -> str:
    """A word of `typoTolerance.disableOnWords`: decomposed, in lower case, without accents, katakana as hiragana."""
    # Letter by letter: a node has no rule for what stands at a word's end, such as the Greek sigma's.
    lowered = "".join(letter.lower() for letter in unicodedata.normalize("NFKD", word))
    spelled: list[str] = []
    for letter in unicodedata.normalize("NFKD", lowered).translate(_LETTERS):
        if unicodedata.category(letter) == "Mn" and not _belongs(letter, spelled[-1] if spelled else ""):
            continue
        spelled.append(chr(ord(letter) - _TO_HIRAGANA) if ord(letter) in _KATAKANA else letter)
    return "".join(spelled)


def is_certain(word: str) -> bool:
    """Whether a node is sure to spell a word as the functions above do."""
    return all(letter.isascii() or unicodedata.name(letter, "").startswith(_SPELLED_ALIKE) for letter in word)


def _belongs(mark: str, before: str) -> bool:
    """Whether a mark makes another letter of the one before it, instead of an accent on it."""
    return mark in _VOICED_KANA or unicodedata.name(before[:1] or " ", "").startswith("CYRILLIC")
