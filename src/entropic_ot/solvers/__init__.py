"""ENOT, EgNOT and the baselines Sinkhorn and LightSB: no files, plots or arguments."""
