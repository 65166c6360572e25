"""Obtaining and preparing the data sets: one module a data set, and ``fetch`` for all of them.

Nothing in this package imports PyTorch: it turns public files, or the user's own, into
memory-mappable ``.npy`` files, and the experiments read those.
"""
