"""Knobs of the process itself: the server, its connections, the task store, logs and traces."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from miroir.config.base import Count, HttpUrl, Network, Port, Positive, Section, Share, StoreUrl, Text


class TaskStore(Section):
    """Where everything that must outlive a process is kept."""

    backend: Literal["sqlite", "redis"] = Field("sqlite", description="`sqlite` for one pod, `redis` for several")
    path: Text = Field("data/miroir.db", description="the SQLite file; never on a network file system")
    url: StoreUrl = Field("", repr=False, description="`redis://host:port/0`; required for `redis`")


class Admin(Section):
    """The admin API below `/_miroir`."""

    enabled: bool = Field(True, description="offer the admin API")


class Tls(Section):
    """TLS of the server's own port; both or neither."""

    cert: str = Field("", description="PEM file with the certificate chain")
    key: str = Field("", description="PEM file with its key")


class Server(Section):
    """The HTTP server."""

    bind: Text = Field("0.0.0.0", description="address to listen on")  # noqa: S104 - a server in a container
    port: Port = Field(7700, description="port of the Meilisearch API; 0: a free one")
    metrics_port: Port = Field(9090, description="port of the metrics; 0: a free one")
    workers: Positive = Field(1, description="processes of this pod")
    engine: Literal["native", "hypercorn"] = Field("native", description="our own server, or Hypercorn for HTTP/2")
    max_body_bytes: Positive = Field(104_857_600, description="largest request body")
    max_concurrent_requests: Positive = Field(500, description="requests served at the same time; more wait shortly")
    request_timeout_ms: Positive = Field(30_000, description="a request not answered by then fails")
    shutdown_grace_s: Count = Field(30, description="time running requests get when the server stops")
    trusted_proxies: tuple[Network, ...] = Field((), description="networks whose `X-Forwarded-For` is believed")
    tls: Tls = Tls()


class ConnectionPool(Section):
    """Connections to one node."""

    max_idle: Count = Field(32, description="connections kept open without work")
    max_total: Positive = Field(128, description="connections open at all")
    idle_timeout_s: Positive = Field(60, description="an idle connection is closed after this time")


class TaskRegistry(Section):
    """The tasks that clients see."""

    cache_size: Positive = Field(10_000, description="tasks kept in memory")
    redis_pool_max: Positive = Field(50, description="connections to Redis")
    ttl_seconds: Positive = Field(604_800, description="how long a finished task can be asked for")
    prune_interval_s: Positive = Field(300, description="time between two cleanings")


class Tracing(Section):
    """OpenTelemetry traces."""

    enabled: bool = Field(False, description="send traces")
    endpoint: HttpUrl = Field("http://localhost:4317", description="OTLP collector")
    service_name: Text = Field("miroir", description="name shown in the traces")
    sample_rate: Share = Field(0.1, description="share of requests traced")


class Logging(Section):
    """Log lines on standard output."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level written")
    format: Literal["auto", "json", "pretty"] = Field("auto", description="`auto`: pretty on a terminal, else JSON")
