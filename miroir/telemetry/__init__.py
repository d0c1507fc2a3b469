"""What the process says about itself: metrics, log lines, and how close it is to its limits."""

from miroir.telemetry.logs import configure_logging, get_logger, log_request
from miroir.telemetry.metrics import Metrics
from miroir.telemetry.request_ids import request_id

__all__ = ["Metrics", "configure_logging", "get_logger", "log_request", "request_id"]
