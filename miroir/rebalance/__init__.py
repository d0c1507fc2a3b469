"""Rebalance: bringing copies back, and comparing those nobody can vouch for."""

from miroir.rebalance.allocation import Allocated, StaleAllocation
from miroir.rebalance.intents import IntentExpiry
from miroir.rebalance.node_copy import NodeCopies
from miroir.rebalance.repair import Repairer

__all__ = ["Allocated", "IntentExpiry", "NodeCopies", "Repairer", "StaleAllocation"]
