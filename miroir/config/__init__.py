"""Configuration: every knob as an immutable typed value, loaded in layers, refused as a whole or not at all."""

from miroir.config.fleet import NodeEntry
from miroir.config.load import load_config
from miroir.config.model import Config
from miroir.config.problems import ConfigError, Problem
from miroir.config.refusals import settle_may_be_skipped
from miroir.config.secrets import Secrets, load_secrets, parse_admin_keys, secret_names
from miroir.config.startup import cautions, not_servable

__all__ = [
    "Config",
    "ConfigError",
    "NodeEntry",
    "Problem",
    "Secrets",
    "cautions",
    "load_config",
    "load_secrets",
    "not_servable",
    "parse_admin_keys",
    "secret_names",
    "settle_may_be_skipped",
]
