"""Asking a node as somebody else: what it says to a credential that is not ours.

A pool's connections carry our own key with every request, so this takes a connection of its own. It is for what is
rare.
"""

from __future__ import annotations

from miroir.http import Pool, Response
from miroir.nodes.client import JSON, NodeCall


async def ask_as(credential: bytes, address: str, call: NodeCall) -> Response:
    """The node's answer to this call with `credential` as its bearer. `ExchangeError` when there is none."""
    headers = ((b"authorization", b"Bearer " + credential),)
    pool = Pool(address, max_idle=0, max_total=1, default_headers=headers)
    try:
        return await pool.request(call.method, call.target, headers=(JSON,), body=call.body, idempotent=True)
    finally:
        await pool.aclose()
