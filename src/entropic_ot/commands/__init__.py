"""One module per command of `entropic-ot`: what a workflow rule runs, and depends on."""
