"""What a refusal must say, and how many examples a property test may take."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

LONGEST = 1500
"""Characters of a message: a user reads it in a terminal."""
EXPECTATION = re.compile(
    r"expected|Known keys|unknown|stands twice|would share|not found|not valid|damaged|did you mean"
)


def check_message(text: str, *, names: str) -> None:
    """The message names the file, says what is wrong with what, and can be read."""
    assert names in text, f"does not name {names}: {text}"
    assert EXPECTATION.search(text), f"does not say what was expected: {text}"
    assert len(text) < LONGEST, f"{len(text)} characters: {text[:300]} ..."
    assert "Traceback" not in text


def few_examples(count: int) -> Callable[[Any], Any]:
    """Always the same `count` examples."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
