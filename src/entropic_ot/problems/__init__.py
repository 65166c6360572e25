"""Distributions, entropic OT problems and closed-form plans."""
