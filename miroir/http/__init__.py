"""Transport, and no domain: the ASGI server of the data plane, and the pool of connections to a node."""

from miroir.http.asgi import ASGIApp, BodyLimit, ClientDisconnected, Message, Receive, Scope, Send
from miroir.http.limits import ServerLimits
from miroir.http.listeners import inherited_sockets, listeners_from, open_listeners
from miroir.http.pool import Exchange, Pool
from miroir.http.response import (
    BadResponse,
    ConnectFailed,
    ConnectionLost,
    ExchangeError,
    PoolClosed,
    Response,
    Unwitnessed,
)
from miroir.http.server import Listener, serve
from miroir.http.tls import HTTP_1, HTTP_2, BadCertificate, server_tls

__all__ = [
    "HTTP_1",
    "HTTP_2",
    "ASGIApp",
    "BadCertificate",
    "BadResponse",
    "BodyLimit",
    "ClientDisconnected",
    "ConnectFailed",
    "ConnectionLost",
    "Exchange",
    "ExchangeError",
    "Listener",
    "Message",
    "Pool",
    "PoolClosed",
    "Receive",
    "Response",
    "Scope",
    "Send",
    "ServerLimits",
    "Unwitnessed",
    "inherited_sockets",
    "listeners_from",
    "open_listeners",
    "serve",
    "server_tls",
]
