"""Rebalance: bringing copies back, and comparing those nobody can vouch for."""

from miroir.rebalance.intents import IntentExpiry
from miroir.rebalance.repair import Repairer, RepairOptions

__all__ = ["IntentExpiry", "RepairOptions", "Repairer"]
