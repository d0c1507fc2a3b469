"""Transport, and no domain: the ASGI server of the data plane, and the pool of connections to a node."""

from miroir.http.asgi import ASGIApp, BodyLimit, ClientDisconnected, Message, Receive, Scope, Send
from miroir.http.limits import ServerLimits
from miroir.http.pool import Exchange, Pool
from miroir.http.response import BadResponse, ConnectFailed, ConnectionLost, ExchangeError, PoolClosed, Response
from miroir.http.server import open_listeners, serve

__all__ = [
    "ASGIApp",
    "BadResponse",
    "BodyLimit",
    "ClientDisconnected",
    "ConnectFailed",
    "ConnectionLost",
    "Exchange",
    "ExchangeError",
    "Message",
    "Pool",
    "PoolClosed",
    "Receive",
    "Response",
    "Scope",
    "Send",
    "ServerLimits",
    "open_listeners",
    "serve",
]
