"""Metrics on plans and samples: pure functions of arrays."""
