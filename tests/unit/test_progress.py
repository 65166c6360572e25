"""Progress lines: when they are printed, and that speed and remaining time are those of now."""

from __future__ import annotations

import re

import pytest

from entropic_ot import progress
from entropic_ot.progress import Progress


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def run(clock: Clock, steps: int, seconds_of: dict[int, float], seconds: float) -> list[str]:
    """The lines of `steps` steps that take `seconds` each, or what `seconds_of` says."""
    lines: list[str] = []
    shown = Progress("train", steps, show=lines.append)
    for step in range(1, steps + 1):
        clock.now += seconds_of.get(step, seconds)
        shown.update(step, {"loss": 0.5})
    return lines


def test_a_slow_first_step_is_not_taken_for_the_speed(clock: Clock) -> None:
    lines = run(clock, 200, {1: 60.0}, 0.1)
    assert lines[0] == "train: 1/200 (0%) loss=0.5"  # nothing is known yet
    assert "10 steps/s, 15s left" in lines[1]
    assert "2.5 steps/s, done in 1m20s" in lines[-1]  # the average: 200 steps in 79.9 s


def test_the_speed_is_that_of_the_last_lines(clock: Clock) -> None:
    """A machine that becomes ten times slower: soon the remaining time is right again."""
    slow = {step: 1.0 for step in range(501, 2001)}
    lines = run(clock, 2000, slow, 0.1)
    late = [line for line in lines if 700 < int(re.findall(r"(\d+)/", line)[0]) < 2000]
    assert late
    assert all("1 steps/s" in line for line in late)


def test_lines_become_rarer(clock: Clock) -> None:
    """Two hours of work are some 250 lines, not the 1440 of a line every 5 seconds."""
    lines = run(clock, 7200, {}, 1.0)
    assert 200 < len(lines) < 280
    assert "1h59m left" in " ".join(lines[:3])
    assert "done in 2h00m" in lines[-1]


def test_the_last_step_is_always_told(clock: Clock) -> None:
    assert run(clock, 1, {}, 0.001) == ["train: 1/1 (100%) 1e+03 steps/s, done in 0s loss=0.5"]
