"""dvc.yaml is what the Snakefile and params.yaml say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_dvc_yaml_is_up_to_date() -> None:
    command = [sys.executable, "workflow/scripts/snake2dvc.py", "--check"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
