"""Knobs of writes, settings, aliases, and what follows from a write: events, expiry, rolling indexes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from miroir.config.base import (
    Count,
    IndexUid,
    JsonObject,
    NatsUrl,
    OptionalEnvName,
    Positive,
    SecretHttpUrl,
    Section,
    Text,
)


class Write(Section):
    """How documents are taken in."""

    missing_primary_key: Literal["reject", "task"] = Field(
        "reject", description="no primary key to be found: 400 at once, or 202 and a failed task as Meilisearch"
    )


class SettingsBroadcast(Section):
    """A change of settings on all nodes."""

    strategy: Literal["two_phase", "sequential"] = Field("two_phase", description="all at once and checked, or in turn")
    verify_timeout_s: Positive = Field(60, description="time the nodes get to agree")
    max_repair_retries: Count = Field(3, description="attempts to bring a node into line")
    freeze_writes_on_unrepairable: bool = Field(True, description="then stop writes to the index")


class SettingsDriftCheck(Section):
    """Looking for nodes whose settings differ."""

    interval_s: Positive = Field(300, description="time between two checks")
    auto_repair: bool = Field(True, description="repair what differs; off: only report it")


class Aliases(Section):
    """Names for indexes."""

    enabled: bool = Field(True, description="offer aliases")
    history_retention: Count = Field(10, description="flips remembered")
    require_target_exists: bool = Field(True, description="refuse an alias to an index that is not there")


class Dumps(Section):
    """Dumps, as `POST /dumps` makes them."""

    path: Text = Field("data/dumps", description="folder of finished dumps; imports wait in `import` below it")


class DumpImport(Section):
    """Import of Meilisearch dumps."""

    mode: Literal["streaming", "broadcast"] = Field("streaming", description="route documents, or send all to all")
    batch_size: Positive = Field(1000, description="most documents in one request")
    parallel_target_writes: Positive = Field(8, description="requests that the nodes have and have not done yet")
    memory_buffer_bytes: Positive = Field(134_217_728, description="most memory held")
    chunk_size_bytes: Positive = Field(268_435_456, description="size of a piece of work")
    max_bytes: Count = Field(0, description="largest dump taken, packed and unpacked; 0: no limit")


class Idempotency(Section):
    """`Idempotency-Key` on writes."""

    enabled: bool = Field(True, description="honour the header")
    ttl_seconds: Positive = Field(86_400, description="how long a key is remembered")
    max_cached_keys: Positive = Field(1_000_000, description="keys remembered")


class WebhookSink(Section):
    """Events sent by HTTP POST."""

    type: Literal["webhook"] = Field(description="`webhook`")
    name: Text = Field(description="name of the sink, for its cursor and metrics")
    url: SecretHttpUrl = Field(repr=False, description="where events are sent")
    include_body: bool = Field(False, description="send the documents too")
    batch_size: Positive = Field(100, description="most events in one request")
    batch_flush_ms: Count = Field(1000, description="longest wait for a full batch")
    timeout_s: Positive = Field(10, description="deadline of one request")
    retry_max_s: Positive = Field(3600, description="longest pause between two attempts")
    hmac_secret_env: OptionalEnvName = Field("", description="environment variable with the signing secret")


class NatsSink(Section):
    """Events sent to NATS, through JetStream where there is one."""

    type: Literal["nats"] = Field(description="`nats`")
    name: Text = Field(description="name of the sink, for its cursor and metrics")
    url: NatsUrl = Field(repr=False, description="`nats://host:port`")
    subject_prefix: Text = Field("miroir.cdc", description="the subject is this and the index")
    include_body: bool = Field(False, description="send the documents too")


class KafkaSink(Section):
    """Events sent to Kafka; the message key is the primary key."""

    type: Literal["kafka"] = Field(description="`kafka`")
    name: Text = Field(description="name of the sink, for its cursor and metrics")
    bootstrap_servers: tuple[Text, ...] = Field(min_length=1, description="brokers, `host:port`")
    topic: Text = Field("miroir.cdc", description="topic written to")
    include_body: bool = Field(False, description="send the documents too")


class InternalSink(Section):
    """The feed at `GET /_miroir/changes`."""

    type: Literal["internal"] = Field(description="`internal`")
    name: Text = Field("internal", description="name of the sink, for its cursor and metrics")
    include_body: bool = Field(False, description="keep the documents too")


CdcSink = Annotated[WebhookSink | NatsSink | KafkaSink | InternalSink, Field(discriminator="type")]


class CdcBuffer(Section):
    """What holds events until a sink has taken them."""

    primary: Literal["memory"] = Field("memory", description="first buffer")
    memory_bytes: Positive = Field(67_108_864, description="its size")
    overflow: Literal["redis", "disk", "drop"] = Field("redis", description="where events go when it is full")
    redis_bytes: Positive = Field(1_073_741_824, description="most bytes kept in Redis")
    path: Text = Field("data/cdc", description="directory of the `disk` overflow")


class Cdc(Section):
    """Change data capture."""

    enabled: bool = Field(False, description="publish an event for each client write")
    sinks: tuple[CdcSink, ...] = Field((), description="where events go")
    buffer: CdcBuffer = CdcBuffer()
    emit_ttl_deletes: bool = Field(False, description="publish deletions by expiry")
    emit_internal_writes: bool = Field(False, description="publish repairs, reshards and rollovers")


class TtlOverride(Section):
    """Expiry of one index; what is not named follows `ttl`."""

    enabled: bool = Field(True, description="delete its expired documents")
    sweep_interval_s: Positive | None = Field(None, description="time between two sweeps")
    max_deletes_per_sweep: Positive | None = Field(None, description="most deletions in one sweep")


class Ttl(Section):
    """Deletion of expired documents."""

    enabled: bool = Field(True, description="honour `_miroir_expires_at`")
    sweep_interval_s: Positive = Field(300, description="time between two sweeps")
    max_deletes_per_sweep: Positive = Field(10_000, description="most deletions in one sweep")
    per_index_overrides: dict[IndexUid, TtlOverride] = Field({}, description="index: its own values")


class RolloverTriggers(Section):
    """When an index is rolled over; the first that holds is enough."""

    max_docs: Positive | None = Field(None, description="documents in the index")
    max_age: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}[smhd]$")] | None = Field(
        None, description="age, such as `7d`"
    )
    max_size_gb: Positive | None = Field(None, description="size of the index")


class RolloverRetention(Section):
    """What is kept."""

    keep_indexes: Positive = Field(30, description="indexes kept behind the read alias")


class RolloverTemplate(Section):
    """What a new index gets."""

    primary_key: Text | None = Field(None, description="its primary key")
    settings: JsonObject = Field({}, description="its Meilisearch settings")


class RolloverPolicy(Section):
    """A family of rolling indexes."""

    name: Text = Field(description="name of the policy")
    write_alias: IndexUid = Field(description="alias of the newest index")
    read_alias: IndexUid = Field(description="alias of all kept indexes")
    pattern: Text = Field(description="name of a new index, such as `logs-{YYYY-MM-DD}`")
    triggers: RolloverTriggers = RolloverTriggers()
    retention: RolloverRetention = RolloverRetention()
    template: RolloverTemplate = RolloverTemplate()


class Ilm(Section):
    """Rolling indexes."""

    enabled: bool = Field(True, description="apply policies")
    check_interval_s: Positive = Field(3600, description="time between two checks")
    safety_lock_older_than_days: Count = Field(7, description="an index younger than this is never deleted")
    max_rollovers_per_check: Positive = Field(10, description="most rollovers in one check")
    policies: tuple[RolloverPolicy, ...] = Field((), description="the policies known from the start")
