"""What Meilisearch 1.21 shows for settings nobody changed. All of it was read from a running node."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "displayedAttributes": ["*"],
        "searchableAttributes": ["*"],
        "filterableAttributes": [],
        "sortableAttributes": [],
        "rankingRules": ["words", "typo", "proximity", "attribute", "sort", "exactness"],
        "stopWords": [],
        "nonSeparatorTokens": [],
        "separatorTokens": [],
        "dictionary": [],
        "synonyms": {},
        "distinctAttribute": None,
        "proximityPrecision": "byWord",
        "typoTolerance": {
            "enabled": True,
            "minWordSizeForTypos": {"oneTypo": 5, "twoTypos": 9},
            "disableOnWords": [],
            "disableOnAttributes": [],
            "disableOnNumbers": False,
        },
        "faceting": {"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha"}},
        "pagination": {"maxTotalHits": 1000},
        "embedders": {},
        "searchCutoffMs": None,
        "localizedAttributes": None,
        "facetSearch": True,
        "prefixSearch": "indexingTime",
    }
)
"""The settings of a new index, members in the order in which a node shows them. Never to be changed in place."""

DOCUMENT_TEMPLATE: Final = (
    "{% for field in fields %}{% if field.is_searchable and field.value != nil %}"
    "{{ field.name }}: {{ field.value }}\n{% endif %}{% endfor %}"
)
"""The text that stands for a document where nobody wrote another: every searchable field."""

DOCUMENT_TEMPLATE_MAX_BYTES: Final = 400

CHAT_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "description": "",
        "documentTemplate": DOCUMENT_TEMPLATE,
        "documentTemplateMaxBytes": DOCUMENT_TEMPLATE_MAX_BYTES,
        "searchParameters": {},
    }
)
"""The `chat` setting of a new index; a node shows and takes it only while its experimental feature is on."""

CHAT_SEARCH_PARAMETERS: Final = (
    "hybrid",
    "limit",
    "sort",
    "distinct",
    "matchingStrategy",
    "attributesToSearchOn",
    "rankingScoreThreshold",
)
"""What `chat.searchParameters` may hold, in a node's order."""

EXPERIMENTAL: Final = ("chat", "vectorStore")
"""Settings behind experimental features, in the order in which a node shows them, last of all."""

FEATURE_OF: Final[Mapping[str, str]] = MappingProxyType(
    {"chat": "chatCompletions", "vectorStore": "vectorStoreSetting"}
)
"""The experimental feature with which a node shows such a setting among all of an index."""

SETTINGS: Final = (*DEFAULTS, *EXPERIMENTAL)
"""Every setting of 1.21; a node refuses any other name."""

_TWO_LETTERS: Final = (
    "af:afr ak:aka am:amh ar:ara az:aze be:bel bn:ben bg:bul ca:cat cs:ces da:dan de:deu el:ell en:eng eo:epo et:est "
    "fi:fin fr:fra gu:guj he:heb hi:hin hr:hrv hu:hun hy:hye id:ind it:ita jv:jav ja:jpn kn:kan ka:kat km:khm ko:kor "
    "la:lat lv:lav lt:lit ml:mal mr:mar mk:mkd my:mya ne:nep nl:nld nb:nob or:ori pa:pan fa:pes pl:pol pt:por ro:ron "
    "ru:rus si:sin sk:slk sl:slv sn:sna es:spa sr:srp sv:swe ta:tam te:tel tl:tgl th:tha tk:tuk tr:tur uk:ukr ur:urd "
    "uz:uzb vi:vie yi:yid zh:zho zu:zul"
)
LOCALES: Final[Mapping[str, str]] = MappingProxyType({pair[:2]: pair[3:] for pair in _TWO_LETTERS.split()})
"""A node stores locales in three letters (ISO 639-3), whatever the client wrote."""
