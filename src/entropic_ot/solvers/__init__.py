"""ENOT, EgNOT and the Sinkhorn baseline: no files, plots or arguments."""
