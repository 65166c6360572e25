"""Peak memory of one side of one case: a process of its own, started by run.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from bench_config import load_settings
from cases import SIDES, build_workload
from measure import PeakMemory


def main(name: str, side_name: str, settings: str, device_name: str) -> None:
    """Print {"peak_mb": ...}: the peak of a run beyond what the built workload holds."""
    (side,) = (s for s in SIDES if s == side_name)
    device = torch.device(device_name)
    workload = build_workload(load_settings(Path(settings)).cases[name], side, device)
    assert workload is not None
    memory = PeakMemory(device)
    memory.start()
    workload.run()
    print(json.dumps({"peak_mb": memory.stop()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
