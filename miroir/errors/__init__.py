"""Errors in Meilisearch's shape: the one vocabulary every room answers with."""

from miroir.errors.api_error import ApiError, ErrorBody
from miroir.errors.catalogue import (
    ERRORS_PATH,
    MIROIR_CODES,
    CodeInfo,
    miroir_error,
    node_error,
)
from miroir.errors.page import errors_page

__all__ = [
    "ERRORS_PATH",
    "MIROIR_CODES",
    "ApiError",
    "CodeInfo",
    "ErrorBody",
    "errors_page",
    "miroir_error",
    "node_error",
]
