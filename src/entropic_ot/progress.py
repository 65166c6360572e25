"""Progress lines for long work: a bar on a terminal, plain lines every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

LINE_SECONDS = 5.0


class Progress:
    """Counts up to `total` and says speed, remaining time and current values on stderr."""

    def __init__(
        self, label: str, total: int, *, start: int = 0, show: Callable[[str], None] | None = None
    ) -> None:
        self.label, self.total, self.start = label, total, start
        self.show = show or self._print
        self.terminal = sys.stderr.isatty() and show is None
        self.began = self.last = time.perf_counter()

    def update(self, done: int, values: Mapping[str, float] | None = None) -> None:
        """`done` of `total` are done; prints when it is time to, and at the end."""
        now = time.perf_counter()
        interval = 0.2 if self.terminal else LINE_SECONDS
        if now - self.last < interval and done < self.total:
            return
        self.last = now
        elapsed = max(now - self.began, 1e-9)
        speed = (done - self.start) / elapsed
        left = (self.total - done) / speed if speed > 0 else float("inf")
        shown = " ".join(f"{k}={v:.4g}" for k, v in (values or {}).items())
        timing = (
            f"{speed:.3g} steps/s, {_clock(left)} left"
            if done < self.total
            else (f"{speed:.3g} steps/s, done in {_clock(elapsed)}")
        )
        percent = 100 * done // self.total
        self.show(f"{self.label}: {done}/{self.total} ({percent}%) {timing} {shown}".rstrip())

    def _print(self, line: str) -> None:
        end = "\n"
        if self.terminal:
            line, end = f"\r\x1b[K{line}", "" if f"/{self.total} (100%)" not in line else "\n"
        print(line, end=end, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
