"""One thread a process: side by side, workers that want all processors lose a factor of ten."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, which is later

# Commands of a shell that is not interactive begin with & and ignore Ctrl-C, and so would all that
# tests start: some of them send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from hypothesis import settings
from reliability import pytest_addoption, pytest_collection_modifyitems, pytest_configure

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_configure"]

# No time limit on an example: a busy machine fails no test.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
