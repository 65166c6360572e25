"""The workflow used from another folder, as a module of another Snakefile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SAID = "this is the code of the tag"


def usage() -> str:
    """The Snakefile that config/README.md shows."""
    text = (ROOT / "config" / "README.md").read_text()
    return text.split("```python\n")[1].split("```")[0]


def dry_run(folder: Path, *words: str) -> tuple[int, str]:
    return snakemake(folder, "--dry-run", *words)


def snakemake(folder: Path, *words: str) -> tuple[int, str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "EOT_", "PYTHONPATH"))}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *words]
    done = subprocess.run(
        command, cwd=folder, env=ours, capture_output=True, text=True, timeout=1200, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name a shell would take apart, with its own params.yaml and raw file."""
    folder = tmp_path / "my project; touch 'oops'"
    folder.mkdir()
    data = yaml.safe_load((ROOT / "params.yaml").read_text())
    data["generators"]["afhq_dogs"]["pickle"] = "a network; touch oops.pkl"
    (folder / "a network; touch oops.pkl").write_bytes(b"")
    (folder / "params.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    return folder


@pytest.mark.slow
def test_it_works_from_another_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "Snakefile").write_text(usage().replace("../entropic-ot", str(ROOT)))
    generator = "results/smoke/generators/afhq_dogs/generator.safetensors"
    words = ["--printshellcmds", "--config", "scale=smoke", "--", "all", generator]
    status, text = dry_run(folder, *words)
    assert status == 0, text
    assert "toy_8gaussians" in text and "comparison" in text
    assert f"python {ROOT}/workflow/scripts/run_notebook.py" in text  # quoted only where needed
    assert "--pickle 'a network; touch oops.pkl' --out" in text
    assert (folder / "results/smoke/config/toy_8gaussians/evaluation.json").exists()
    assert not list(tmp_path.rglob("oops"))


@pytest.mark.slow
def test_an_odd_target_is_no_part_of_a_shell_command(folder: Path) -> None:
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    (folder / "Snakefile").write_text(usage().replace("../entropic-ot", str(ROOT)))
    target = "data/raw/msci/full_cite_pcas_50 --out x; touch oops #_day_2.npy"
    status, text = dry_run(folder, "--config", "scale=smoke", "--", target)
    assert status == 1
    assert "MissingRuleException" in text or "No rule to produce" in text, text


@pytest.fixture
def hosted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """This tree as the tag v1 of a repository where git, not asking the network, finds GitHub's.

    Its command line says `SAID`. Returns the commit.
    """
    repository = tmp_path / "github/someone/entropic-ot"
    listed = subprocess.check_output(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), cwd=ROOT, text=True
    )
    for name in listed.split("\0"):
        if (ROOT / name).is_file() and not name.startswith("published/"):
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, repository / name)
    with (repository / "src/entropic_ot/cli.py").open("a") as file:
        file.write(f"print({SAID!r})\n")
    settings = tmp_path / "gitconfig"
    lines = [f'[url "{tmp_path}/github/"]', "insteadOf = https://github.com/"]
    lines += ["[user]", "name = test", "email = test@example.invalid"]
    settings.write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # Snakemake's clones
    git = ("git", "-C", str(repository))
    for words in (
        ["init", "--quiet"],
        ["add", "."],
        ["commit", "--quiet", "-m", "1"],
        ["tag", "v1"],
    ):
        subprocess.run([*git, *words], check=True)
    return subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()


@pytest.mark.slow
def test_what_snakedeploy_writes_runs_as_it_is(hosted: str, tmp_path: Path) -> None:
    """The module by github(), config/ copied, no params.yaml; the code that runs is the tag's."""
    folder = tmp_path / "deployed"
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    (folder / "workflow").mkdir()
    text = usage().replace('"params.yaml"', '"config/config.yaml"')
    address = 'github("someone/entropic-ot", path="Snakefile", tag="v1")'
    (folder / "workflow/Snakefile").write_text(text.replace('"../entropic-ot/Snakefile"', address))
    status, output = dry_run(folder)
    assert status == 0, output
    assert "params.yaml: copied from" in output and "writing the pages of results" in output
    assert (folder / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
    made = folder / "results/smoke/runs/gaussian-d16/sinkhorn-eps1-seed0/provenance.json"
    status, output = snakemake(folder, "--", str(made.relative_to(folder)))
    assert status == 0, output
    assert made.exists() and SAID in output
    assert [path.name for path in (folder / ".snakemake/checkouts").iterdir()] == [hosted]


def test_the_catalog_finds_what_it_looks_for() -> None:
    usage_keys = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage_keys) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage_keys["mandatory-flags"]) == {"desc", "flags"}
    assert (ROOT / "config" / "README.md").exists() and (ROOT / "Snakefile").exists()
