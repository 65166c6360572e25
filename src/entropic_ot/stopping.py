"""Ctrl-C and SIGTERM: both end long work in good order, and neither is ever lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled as Ctrl-C is."""


_asked: type[KeyboardInterrupt] | None = None
"""How it was asked to stop."""


@contextmanager
def stop_signals() -> Iterator[None]:
    """Asked to stop by a user, a scheduler or `timeout`: temporary files are removed.

    Python drops an exception that a signal raises inside a callback (of a weak reference, of a
    library in C): the process would go on, and hold its folder. So it is remembered as well, and
    `check_asked_to_stop` raises it again at the next step.
    """

    def stop(number: int, _frame: object) -> None:
        global _asked
        _asked = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        raise _asked

    global _asked
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a handler
        return
    handled = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        handled.append(signal.SIGINT)
    before = [(number, signal.signal(number, stop)) for number in handled]
    try:
        yield
    finally:
        _asked = None
        for number, handler in before:
            signal.signal(number, handler)


def check_asked_to_stop() -> None:
    """Raise what a signal raised earlier, if that was lost on its way."""
    if _asked is not None:
        raise _asked
