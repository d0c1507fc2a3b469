"""Log lines: JSON on standard output for machines, colours on a terminal for people.

Every line has `timestamp`, `level`, `message`, `target` (the module that speaks), `pod_id`, and `request_id` where
there is a request. Nothing that a client searches for or stores is ever logged: names of context that could hold a
document, a query, a filter or a key are hidden even if somebody passes them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, cast

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "pretty"]

_HIDDEN: Final = "[hidden]"
_NEVER_LOGGED: Final = frozenset(
    {"api_key", "authorization", "body", "document", "documents", "filter", "key", "master_key", "password"}
    | {"payload", "q", "query", "query_string", "secret", "token", "url"}
)
# Their info lines hold whole URLs, and so queries; hypercorn's access log would repeat ours.
_QUIET: Final = ("httpx", "httpcore", "hpack", "hypercorn.access")
_JSON_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
_LEVELS: Final = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_REQUEST_TARGET: Final = "miroir.requests"


def configure_logging(level: Level, format: Format, *, pod_id: str) -> None:
    """Set up every log line of the process, `logging`'s included. May be called again to change the level.

    `auto` means pretty where standard output is a terminal.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    pretty = format == "pretty" or (format == "auto" and sys.stdout.isatty())
    render: list[Processor] = [_pretty()] if pretty else [_to_json]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _hide,
            _Frame(pod_id),
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_line_logger,
        cache_logger_on_first_use=True,
    )
    for proxy in _loggers.values():
        proxy.__dict__.pop("bind", None)  # bound to the configuration before
    _bridge_logging(number)
    _requests.configure(pod_id, enabled=number <= logging.INFO, pretty=pretty)


def get_logger(target: str) -> FilteringBoundLogger:
    """The logger of a module: `log = get_logger(__name__)`. Context goes in by keyword: `log.info("x", index=uid)`."""
    proxy = _loggers.get(target)
    if proxy is None:
        proxy = _loggers[target] = structlog.get_logger(target)
    return cast(FilteringBoundLogger, proxy)


def log_request(
    request_id: str,
    method: str,
    path_template: str,
    status: int,
    duration_ms: float,
    *,
    index: str | None = None,
    node_count: int | None = None,
    estimated_hits: int | None = None,
    degraded: str | None = None,
) -> None:
    """The one info line of a request. `path_template` is the route's: a path may hold a document's id."""
    if not _requests.enabled:
        return
    line: dict[str, Any] = {
        "timestamp": datetime.now(UTC),
        "level": "info",
        "message": "request",
        "target": _REQUEST_TARGET,
        "request_id": request_id,
        "pod_id": _requests.pod_id,
        "method": method,
        "path_template": path_template,
        "status": status,
        "duration_ms": round(duration_ms, 3),
    }
    if index is not None:
        line["index"] = index
    if node_count is not None:
        line["node_count"] = node_count
    if estimated_hits is not None:
        line["estimated_hits"] = estimated_hits
    if degraded is not None:
        line["degraded"] = degraded
    _requests.write(line)


class _Stdout:
    """Standard output as it is now: whoever replaces `sys.stdout` (a test, a supervisor) gets the lines."""

    def write(self, line: bytes) -> None:
        stream: TextIO = sys.stdout
        buffer = getattr(stream, "buffer", None)
        if buffer is not None:
            buffer.write(line)
        else:
            stream.write(line.decode())

    def flush(self) -> None:
        sys.stdout.flush()

    def write_now(self, line: bytes) -> None:
        """Both, in one call to the stream's innermost layer where that holds nothing back."""
        buffer = getattr(sys.stdout, "buffer", None)
        if buffer is None:
            self.write(line)
            self.flush()
        else:
            buffer.write(line)
            buffer.flush()


class _LineLogger:
    """The last stage of structlog: takes a rendered line and writes it in one piece. Knows which module speaks."""

    __slots__ = ("target",)

    def __init__(self, target: str) -> None:
        self.target = target

    def msg(self, line: bytes | str) -> None:
        _stdout.write(line if isinstance(line, bytes) else f"{line}\n".encode())
        _stdout.flush()

    log = debug = info = warning = warn = error = critical = fatal = exception = failure = msg


class _Requests:
    """What `log_request` needs to know, without going through structlog's chain."""

    def __init__(self) -> None:
        self.pod_id = ""
        self.enabled = True
        self._pretty: Callable[[WrappedLogger, str, MutableMapping[str, Any]], str] | None = None

    def configure(self, pod_id: str, *, enabled: bool, pretty: bool) -> None:
        self.pod_id = pod_id
        self.enabled = enabled
        self._pretty = _pretty() if pretty else None

    def write(self, line: dict[str, Any]) -> None:
        if self._pretty is not None:
            line["timestamp"] = _stamp(line["timestamp"])
            _line.msg(self._pretty(_line, "info", line))
            return
        _stdout.write_now(orjson.dumps(line, option=_JSON_OPTIONS))


class _Frame:
    """Puts the fields every line has in front of its context."""

    def __init__(self, pod_id: str) -> None:
        self._pod_id = pod_id

    def __call__(
        self, logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        framed: dict[str, Any] = {
            "timestamp": _stamp(datetime.now(UTC)),
            "level": event.pop("level"),
            "message": str(event.pop("event")),
            "target": event.pop("target", logger.target),
        }
        request_id = event.pop("request_id", None)
        if request_id is not None:
            framed["request_id"] = request_id
        framed["pod_id"] = self._pod_id
        framed.update((name, value) for name, value in event.items() if name not in framed)
        return framed


class _Bridge(logging.Handler):
    """Lines of libraries that use `logging`, in our shape."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            log = get_logger("miroir").bind(target=record.name)
            level = max(known for known in _LEVELS if known <= max(record.levelno, logging.DEBUG))
            context = {"exc_info": record.exc_info} if record.exc_info else {}
            log.log(level, record.getMessage(), **context)
        except Exception:  # noqa: BLE001 - a handler must not fail its caller; `handleError` reports to stderr
            self.handleError(record)


def _bridge_logging(level: int) -> None:
    root = logging.getLogger()
    for handler in [known for known in root.handlers if isinstance(known, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _hide(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if not _NEVER_LOGGED.isdisjoint(event):
        for name in _NEVER_LOGGED.intersection(event):
            event[name] = _HIDDEN
    return event


def _to_json(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> bytes:
    return orjson.dumps(event, default=str, option=_JSON_OPTIONS)


def _pretty() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(event_key="message", colors=sys.stdout.isatty())


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def _line_logger(*arguments: Any) -> _LineLogger:
    # `structlog.get_logger(__name__)` passes the name here.
    return _LineLogger(str(arguments[0])) if arguments else _line


_stdout: Final = _Stdout()
_line: Final = _LineLogger("miroir")
_requests: Final = _Requests()
_loggers: Final[dict[str, Any]] = {}  # structlog's lazy proxies
