"""The answers the server itself gives in Meilisearch's words."""

from __future__ import annotations

from decimal import Decimal

from miroir.errors import ApiError, node_error

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")
_DECIMAL = ("B", "KB", "MB", "GB", "TB")


def payload_too_large(limit_bytes: int) -> ApiError:
    """413 for a body over `limit_bytes`."""
    size = format_size(limit_bytes)
    text = f"The provided payload reached the size limit. The maximum accepted payload size is {size}."
    return node_error(413, "payload_too_large", text)


def broken_payload(reason: str) -> ApiError:
    """400 for a body whose framing breaks."""
    return node_error(400, "bad_request", f"Error that occur during reading payload: {reason}")


def internal_error() -> ApiError:
    """500 for an app that failed; what failed is in the log, not in the answer."""
    return node_error(500, "internal", "An internal error has occurred.", type="internal")


def format_size(size: int) -> str:
    """A size as Meilisearch prints it: binary units for whole KiB (`1.5 MiB`), else decimal ones (`1.536 KB`)."""
    base, units = (1024, _BINARY) if size % 1024 == 0 and size else (1000, _DECIMAL)
    exponent = 0
    while exponent < len(units) - 1 and size >= base ** (exponent + 1):
        exponent += 1
    text = format(Decimal(size) / base**exponent, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {units[exponent]}"
