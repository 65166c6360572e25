"""A signal whose exception is lost in a callback still ends the work, at its next step."""

from __future__ import annotations

import contextlib
import signal
import weakref

import pytest

from entropic_ot.progress import Progress
from entropic_ot.stopping import Terminated, stop_signals


class Thing:
    """What a weak reference can point at."""


def lose(sent: signal.Signals) -> None:
    """The signal comes while a weak reference calls back: Python drops what its handler raises."""
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(sent))
    del thing
    assert reference() is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("sent", "expected"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_lost_signal_ends_the_work_at_the_next_step(
    sent: signal.Signals, expected: type[BaseException]
) -> None:
    progress = Progress("work", 10, show=lambda _: None)
    with stop_signals():
        progress.update(1)
        lose(sent)  # the process goes on
        with pytest.raises(expected) as raised:
            progress.update(2)
    assert type(raised.value) is expected
    progress.update(3)  # outside, and in the next command of the same process, it is forgotten


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with contextlib.suppress(KeyboardInterrupt), stop_signals():
        signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does behind `command &`
    try:
        with stop_signals():
            signal.raise_signal(signal.SIGINT)
            Progress("work", 10, show=lambda _: None).update(1)
    finally:
        signal.signal(signal.SIGINT, before)
