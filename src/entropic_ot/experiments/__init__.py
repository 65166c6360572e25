"""From params.yaml to trained runs, samples, metrics and tables."""
