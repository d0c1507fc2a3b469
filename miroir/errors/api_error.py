"""The shape of an error: `message`, `code`, `type` and `link`, as Meilisearch answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict


class ErrorBody(TypedDict):
    """The four members of Meilisearch's error object."""

    message: str
    code: str
    type: str
    link: str


class ApiError(Exception):
    """An answer that is an error, with everything the client will see of it.

    Raised anywhere below a door (`api`, `admin`) and turned into a response there. The same object, as `body()`, is
    what a failed task carries in its `error` member.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        type: str,
        link: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.type = type
        self.link = link
        self.headers: Mapping[str, str] = headers or {}

    def body(self) -> ErrorBody:
        """The JSON object sent to the client."""
        return {"message": self.message, "code": self.code, "type": self.type, "link": self.link}

    def __str__(self) -> str:
        return f"{self.code} ({self.status}): {self.message}"
