"""Faults on schedule, and the invariants that must hold whatever happens (`docs/chaos.md`)."""
