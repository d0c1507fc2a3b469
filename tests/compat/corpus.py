"""A generated corpus that is hard to merge: ties in plenty, mixed types, several languages, odd spellings of facets.

The same count and seed give the same documents in the same order on every machine. Keys are shuffled, so insertion
order is no order of keys. The first documents have every member, so that nodes return members in one order everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

Document = dict[str, Any]

DIMENSIONS: Final = 6
WHOLE: Final = 96
"""So many documents from the beginning on have every member."""

NOUNS: Final = [
    "shoe",
    "shirt",
    "jacket",
    "lamp",
    "table",
    "chair",
    "bottle",
    "basket",
    "kettle",
    "bicycle",
    "keyboard",
    "monitor",
    "headset",
    "camera",
    "tripod",
    "notebook",
    "notepad",
    "backpack",
    "umbrella",
    "sunflower",
    "raincoat",
    "bookshelf",
    "teapot",
    "football",
    "pancake",
    "moonlight",
]
ADJECTIVES: Final = [
    "red",
    "green",
    "blue",
    "light",
    "lighter",
    "heavy",
    "warm",
    "winter",
    "summer",
    "running",
    "leather",
    "cotton",
    "wooden",
    "quiet",
    "sturdy",
    "simple",
    "wireless",
    "vintage",
    "portable",
    "waterproof",
    "elegant",
    "practical",
]
FILLERS: Final = [
    "the",
    "for",
    "and",
    "with",
    "of",
    "in",
    "a",
    "to",
    "made",
    "best",
    "good",
    "from",
    "your",
    "every",
    "home",
    "new",
]
FRENCH: Final = [
    "élégant",
    "été",
    "forêt",
    "chaussure",
    "rouge",
    "lumière",
    "cœur",
    "naïve",
    "garçon",
    "où",
    "crème",
    "brûlée",
]
GERMAN: Final = [
    "schön",
    "größe",
    "straße",
    "tisch",
    "stuhl",
    "übung",
    "wärme",
    "läufer",
    "schreibtischlampe",
    "mädchen",
]
JAPANESE: Final = ("赤い靴", "東京の机", "静かなランプ", "冬の上着", "青い自転車", "カメラ", "ノート")
CHINESE: Final = ("红色鞋子", "安静的灯", "木桌", "冬天的夹克", "蓝色自行车", "相机", "笔记本电脑")
KOREAN: Final = ("빨간 신발", "조용한 램프", "나무 책상", "겨울 재킷")
ARABIC: Final = ("حذاء أحمر", "مصباح هادئ", "طاولة خشبية", "سترة شتوية", "كِتَابٌ جديد")
HEBREW: Final = ("נעל אדומה", "מנורה שקטה", "שולחן עץ")
THAI: Final = ("รองเท้าสีแดง", "โคมไฟเงียบ", "โต๊ะไม้")
CYRILLIC: Final = ("красный ботинок", "тихая лампа", "деревянный стол")
LANGUAGES: Final = ("ja", "zh", "ko", "ar", "he", "th", "ru")
_TEXTS: Final = (JAPANESE, CHINESE, KOREAN, ARABIC, HEBREW, THAI, CYRILLIC)

BRANDS: Final = ("Acme", "Globex", "Initech", "Umbrella", "Hooli", "Stark", "Wayne")
SPELLINGS: Final = (
    "Acme", "acme", "ACME ", " Acme", "Café", "Cafe\u0301", "CAFÉ", "ﬁne", "fine", "Straße", "10", "١٠", "½",
    "İstanbul", "e\u0301tude", "Étude", "tab\there", "two  blanks", "", " ", "true", "null", "-3", "1e3", "007",
)  # fmt: skip
"""Values of a facet that are one bucket to a node in more than one spelling, and texts that look like other things."""
MIXED: Final[tuple[Any, ...]] = (
    1, 2, 2.5, 10, 10.0, -3, 0, "1", "10", "2", "two", "Two", "Three", True, False, "true", None, ["x", 7], [3, 1, "a"],
    [], {}, "", {"deep": 5}, [None], ["10", 10],
)  # fmt: skip
COLORS: Final = ("red", "green", "blue", "Red ", "schwarz", "黒")
SIZES: Final = ("S", "M", "L", "XL", 42, "42")


def corpus(count: int, seed: int) -> list[Document]:
    """The documents in insertion order."""
    chance = random.Random(seed)
    keys = list(range(count))
    chance.shuffle(keys)
    centres = [[chance.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(8)]
    return [_document(chance, key, place, centres) for place, key in enumerate(keys)]


def _document(chance: random.Random, key: int, place: int, centres: Sequence[Sequence[float]]) -> Document:
    noun = chance.choice(NOUNS)
    document: Document = {
        "id": key,
        "sku": f"{chance.choice('ABC')}-{key:05d}",
        "title": _title(chance, noun),
        "description": _description(chance, noun),
        "foreign": {language: chance.choice(texts) for language, texts in zip(LANGUAGES, _TEXTS, strict=True)},
        "french": " ".join(chance.choice(FRENCH) for _ in range(3)),
        "german": " ".join(chance.choice(GERMAN) for _ in range(3)),
        "brand": chance.choice(BRANDS),
        "spelling": chance.choice(SPELLINGS),
        "price": chance.choice((5, 9.5, 10, 10.0, 19.99, 100, 250.25, 1e3, 0.1, -1, 0, 12345678901)),
        "rating": chance.randint(1, 5),
        "mixed": chance.choice(MIXED),
        "tags": [chance.choice(("new", "New", "sale", "old", "best", "10", 10)) for _ in range(chance.randint(0, 3))],
        "specs": {
            "weight": chance.choice((1, 2, 3, 4, 5, "heavy", "light", 2.5)),
            "color": chance.choice(COLORS),
            "size": {"w": chance.randint(1, 4), "h": chance.randint(1, 4)},
            "a.b": chance.choice(("dotted", "plain")),
        },
        "variants": [
            {"size": chance.choice(SIZES), "stock": chance.randint(0, 3), "colors": chance.sample(COLORS, 2)}
            for _ in range(chance.randint(1, 3))
        ],
        "group": f"g{chance.randint(0, 90)}",
        "year": chance.randint(1990, 2026),
        "flag": chance.random() < 0.5,
        "maybe": chance.choice((None, "", [], {}, "here", [None], 0)),
        "_geo": _geo(chance),
        "_vectors": {"manual": _vector(chance, centres)},
    }
    if place < WHOLE:
        return document
    for name in ("price", "rating", "mixed", "specs", "group", "brand", "maybe", "description", "foreign"):
        if chance.random() < 0.08:
            del document[name]
    if chance.random() < 0.12:
        del document["_geo"]
    elif chance.random() < 0.05:
        document["_geo"] = None
    if chance.random() < 0.1:
        document["_vectors"] = {"manual": None}
    return document


def _title(chance: random.Random, noun: str) -> str:
    words = [chance.choice(ADJECTIVES) for _ in range(chance.randint(0, 2))]
    text = " ".join([*words, noun])
    style = chance.random()
    if style < 0.1:
        return text.upper()
    if style < 0.2:
        return f"{text} {chance.choice(FRENCH)}"
    if style < 0.3:
        return f"{text} {chance.choice(GERMAN)}"
    if style < 0.35:
        return f"{chance.choice(JAPANESE)} {text}"
    if style < 0.4:
        return f"{text}, {chance.randint(1, 30)} pcs"
    if style < 0.45:
        return "-".join(text.split())
    return text


def _description(chance: random.Random, noun: str) -> str:
    words = [chance.choice((*ADJECTIVES, *FILLERS, *FILLERS)) for _ in range(chance.randint(4, 24))]
    words.insert(chance.randrange(len(words)), noun)
    if chance.random() < 0.3:
        words.append(chance.choice(NOUNS))
    return " ".join(words) + chance.choice((".", "!", "; <b>bold</b> & more", ""))


def _geo(chance: random.Random) -> Document:
    lat, lng = round(chance.uniform(40, 50), 2), round(chance.uniform(-5, 15), 2)
    style = chance.random()
    if style < 0.1:
        return {"lat": str(lat), "lng": str(lng)}
    if style < 0.2:
        return {"lat": 45, "lng": 5}
    if style < 0.3:
        return {"lat": round(lat), "lng": chance.choice((179.5, -179.5, 180))}
    return {"lat": lat, "lng": lng}


def _vector(chance: random.Random, centres: Sequence[Sequence[float]]) -> list[float]:
    return [round(part + chance.gauss(0, 0.4), 4) for part in chance.choice(centres)]
