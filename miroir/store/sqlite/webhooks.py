"""Webhooks: who is told of tasks that end."""

from __future__ import annotations

import sqlite3

import orjson

from miroir.store.rows import WebhookRow
from miroir.store.sqlite.encoding import json_text
from miroir.store.sqlite.writer import Tx


def list_webhooks(db: sqlite3.Connection) -> list[WebhookRow]:
    """`Store.list_webhooks`."""
    rows = db.execute("SELECT uuid, url, headers FROM webhooks ORDER BY uuid")
    return [WebhookRow(uuid, url, orjson.loads(headers)) for uuid, url, headers in rows]


def put_webhook(tx: Tx, row: WebhookRow) -> None:
    """`Store.put_webhook`."""
    tx.db.execute(
        "INSERT OR REPLACE INTO webhooks (uuid, url, headers) VALUES (?, ?, ?)",
        (row.uuid, row.url, json_text(row.headers)),
    )


def delete_webhook(tx: Tx, uuid: str) -> None:
    """`Store.delete_webhook`."""
    tx.db.execute("DELETE FROM webhooks WHERE uuid = ?", (uuid,))
