"""Errors in Meilisearch's shape: the one vocabulary every room answers with."""

from miroir.errors.api_error import ApiError, ErrorBody
from miroir.errors.catalogue import (
    ERRORS_PATH,
    MIROIR_CODES,
    CodeInfo,
    miroir_error,
    node_error,
)

__all__ = [
    "ERRORS_PATH",
    "MIROIR_CODES",
    "ApiError",
    "CodeInfo",
    "ErrorBody",
    "miroir_error",
    "node_error",
]
