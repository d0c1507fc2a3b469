"""Miroir: a fleet of Meilisearch Community Edition nodes that looks like one Meilisearch."""

__version__ = "0.1.0"
