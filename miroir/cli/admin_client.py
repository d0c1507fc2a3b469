"""Calls of `miroir-ctl` to the admin API: JSON in, JSON out, every failure one readable sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import httpx

_TIMEOUT_S: Final = 30.0
_UPLOAD_READ_S: Final = 300.0
_PIECE: Final = 1 << 18


class AdminCallFailed(Exception):
    """The server was not reached, or said no."""


def call(
    method: str,
    url: str,
    path: str,
    *,
    admin_key: str,
    params: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Any:
    """The JSON that the server at `url` answers; `AdminCallFailed` says why there is none."""
    try:
        response = httpx.request(
            method,
            url.rstrip("/") + path,
            params=params,
            json=body,
            headers={"authorization": f"Bearer {admin_key}"},
            timeout=_TIMEOUT_S,
        )
    except httpx.InvalidURL:
        raise AdminCallFailed("--url is not a valid URL") from None
    except httpx.HTTPError as error:
        raise AdminCallFailed(f"cannot reach {url}: {str(error) or type(error).__name__}") from None
    return _said(response, url)


def upload(
    url: str, path: str, *, admin_key: str, params: Mapping[str, str], file: BinaryIO, sent: Callable[[int], None]
) -> Any:
    """Send a file as the body of a POST, piece by piece; `sent` is told the size of each. Else as `call`."""

    def pieces() -> Iterator[bytes]:
        while piece := file.read(_PIECE):
            yield piece
            sent(len(piece))

    headers = {"authorization": f"Bearer {admin_key}", "content-type": "application/octet-stream"}
    try:
        # An answer comes when all is on the disk of the server, which takes what it takes.
        timeout = httpx.Timeout(_TIMEOUT_S, read=_UPLOAD_READ_S)
        response = httpx.post(url.rstrip("/") + path, params=params, content=pieces(), headers=headers, timeout=timeout)
    except httpx.InvalidURL:
        raise AdminCallFailed("--url is not a valid URL") from None
    except httpx.HTTPError as error:
        raise AdminCallFailed(f"cannot reach {url}: {str(error) or type(error).__name__}") from None
    return _said(response, url)


def _said(response: httpx.Response, url: str) -> Any:
    """The JSON of a success; `AdminCallFailed` for anything else."""
    try:
        body = response.json()
    except ValueError:
        raise AdminCallFailed(f"{url} answered {response.status_code} without JSON: is it Miroir?") from None
    if response.is_success:
        return body
    if isinstance(body, dict) and "message" in body:
        raise AdminCallFailed(f"{body['message']} ({body.get('code', response.status_code)})")
    raise AdminCallFailed(f"{url} answered {response.status_code}")
