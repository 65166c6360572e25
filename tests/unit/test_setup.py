"""scripts/setup.sh, as far as it goes without packages to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = "workflow/plugins/snakemake_logger_plugin_resourcefix"


def test_an_active_environment_that_is_out_of_date_is_rebuilt_by_the_python_behind_it(
    tmp_path: Path,
) -> None:
    shutil.copytree(ROOT / PLUGIN, tmp_path / PLUGIN)
    for name in ("scripts/setup.sh", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "requirements.lock").write_text("nothing @ file:///nowhere\n")
    environment = tmp_path / ".venv"
    venv.create(environment, symlinks=True)
    (environment / "entropic-ot.stamp").write_text("of another lock file\n")
    (environment / "left").touch()

    done = subprocess.run(
        ["bash", "scripts/setup.sh"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip

    assert "out of date: rebuilding it" in done.stderr
    assert "pip could not install the lock file" in done.stderr, done.stderr
    assert not (environment / "left").exists()
    ask = [f"{environment}/bin/python", "-c", "import sys; print(sys.base_prefix)"]
    behind = subprocess.run(ask, capture_output=True, text=True, check=True)
    assert behind.stdout.strip() == sys.base_prefix
