"""What a node answered, and how an exchange with it can fail."""

from __future__ import annotations

import msgspec


class Response(msgspec.Struct):
    """A complete answer. Header names are lower-cased; `body` is decoded from its framing, nothing else."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-cased name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class ExchangeError(Exception):
    """No answer came. `sent` is False only when certainly not one byte of the request left this process."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class ConnectFailed(ExchangeError):
    """No connection could be opened (name, refusal, TLS handshake)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=False)


class ConnectionLost(ExchangeError):
    """The connection ended before the answer did."""


class BadResponse(ExchangeError):
    """What came back is not an HTTP answer, or more of it than we take."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class PoolClosed(ExchangeError):
    """The pool was closed before the request could be sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=False)


class Unwitnessed(ExchangeError):
    """A request was to go out only to the process we know, and who is there now is not certain."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=False)
