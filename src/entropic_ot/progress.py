"""Progress lines for long work: a bar on a terminal, plain lines every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping

from entropic_ot.stopping import check_asked_to_stop

BAR_SECONDS = 0.2
LINE_SECONDS = (5.0, 30.0)
"""Between two plain lines: at first, and at most when much time has passed (a line per 5 %)."""
NUM_MARKS = 8
"""The speed is that since so many lines ago."""


class Progress:
    """Counts up to `total` and says speed, remaining time and current values on stderr.

    The speed is that since a few lines ago, so that neither a slow start (the first step loads and
    compiles) nor a machine that others use too makes the remaining time wrong for long.
    """

    def __init__(
        self, label: str, total: int, *, start: int = 0, show: Callable[[str], None] | None = None
    ) -> None:
        self.label, self.total, self.start = label, total, start
        self.show = show or self._print
        self.terminal = sys.stderr.isatty() and show is None
        self.began = self.last = time.perf_counter()
        self._marks: deque[tuple[float, int]] = deque(maxlen=NUM_MARKS)

    def update(self, done: int, values: Mapping[str, float] | None = None) -> None:
        """`done` of `total` are done; prints when it is time to, and at the end.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM came before, and its exception was lost.
        """
        check_asked_to_stop()
        now = time.perf_counter()
        if not self._marks:
            self._marks.append((now, done))
        if now - self.last < self._interval(now) and done < self.total:
            return
        self.last = now
        shown = " ".join(f"{k}={v:.4g}" for k, v in (values or {}).items())
        percent = 100 * done // self.total
        timing = self._timing(now, done)
        parts = [f"{self.label}: {done}/{self.total} ({percent}%)", timing, shown]
        self.show(" ".join(filter(None, parts)))
        if now >= self._marks[-1][0] + LINE_SECONDS[0]:
            self._marks.append((now, done))

    def _interval(self, now: float) -> float:
        if self.terminal:
            return BAR_SECONDS
        shortest, longest = LINE_SECONDS
        return min(max(shortest, (now - self.began) / 20), longest)

    def _timing(self, now: float, done: int) -> str:
        """Speed and remaining or whole time; empty while only the first step is known."""
        if done >= self.total:
            elapsed = max(now - self.began, 1e-9)
            return f"{(done - self.start) / elapsed:.3g} steps/s, done in {clock_text(elapsed)}"
        since, done_then = self._marks[0]
        if done <= done_then or now <= since:
            return ""
        speed = (done - done_then) / (now - since)
        return f"{speed:.3g} steps/s, {clock_text((self.total - done) / speed)} left"

    def _print(self, line: str) -> None:
        end = "\n"
        if self.terminal:
            line, end = f"\r\x1b[K{line}", "" if f"/{self.total} (100%)" not in line else "\n"
        print(line, end=end, file=sys.stderr, flush=True)


def clock_text(seconds: float) -> str:
    """ "12s", "3m05s", "2h09m"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
