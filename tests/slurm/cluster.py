"""A Slurm of one node, by scripts/slurm/start.sh in a network namespace without internet."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tiny_project import REPOSITORY, Project, wait_until

SCRIPTS = REPOSITORY / "scripts/slurm"
# An address that is not of the loopback range: without one, no host name is resolved at all.
WITHOUT_INTERNET = "ip link set lo up && ip address add 10.255.0.1/32 dev lo && exec sleep infinity"
PACKAGES = "slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge iproute2"


def missing() -> str:
    """What these tests lack on this machine, and how to get it; empty: nothing."""
    search = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    programs = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "ip", "unshare", "nsenter")
    lacking = [name for name in programs if shutil.which(name, path=search) is None]
    if lacking:
        return f"no {', '.join(lacking)}: apt-get install --no-install-recommends {PACKAGES}"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "no Slurm plugin of Snakemake: pip install -e .[slurm]"
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
        return "no right to make a network namespace: run as root"
    return ""


@dataclass(frozen=True)
class Cluster:
    """The running Slurm.

    Attributes:
        folder: where it lies.
        namespace: path of the network namespace that it and its users are in.
    """

    folder: Path
    namespace: str

    def inside(self, *command: str) -> tuple[str, ...]:
        """`command` as a user of the cluster runs it."""
        words = [
            "nsenter",
            f"--net={self.namespace}",
            "env",
            f"SLURM_CONF={self.folder}/slurm.conf",
        ]
        path = '. "$0"/environment && exec "$@"'
        return (*words, "bash", "-c", path, str(self.folder), *command)

    def run(self, *command: str) -> str:
        """Output of a command of Slurm."""
        done = subprocess.run(
            self.inside(*command), capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def jobs(self, states: str = "all") -> dict[str, str]:
        """Job -> its partition, state, processors and comment, by squeue."""
        lines = self.run("squeue", "--noheader", f"--states={states}", "--format=%i %P %T %C %k")
        return dict(line.split(" ", 1) for line in lines.splitlines())

    def requested(self, job: str) -> str:
        """All that Slurm knows of a job."""
        return self.run("scontrol", "show", "job", job)


@contextmanager
def offline_namespace() -> Iterator[str]:
    """The path of a new network namespace that reaches nothing but itself."""
    keeper = subprocess.Popen(["unshare", "--net", "bash", "-c", WITHOUT_INTERNET])
    try:
        path = f"/proc/{keeper.pid}/ns/net"
        show = ("nsenter", f"--net={path}", "ip", "-brief", "address")
        wait_until(
            lambda: b"10.255.0.1" in subprocess.run(show, capture_output=True).stdout, seconds=10
        )
        yield path
    finally:
        keeper.kill()
        keeper.wait()


@contextmanager
def running_cluster(**settings: str) -> Iterator[Cluster]:
    """A Slurm with these variables of start.sh; it has ended at the end."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # pytest's paths are too long for a socket
    try:
        with offline_namespace() as namespace:
            cluster = Cluster(folder, namespace)
            start = ("nsenter", f"--net={namespace}", str(SCRIPTS / "start.sh"), str(folder))
            subprocess.run(start, check=True, env=os.environ | settings, timeout=60)
            try:
                yield cluster
            finally:
                stop = ("nsenter", f"--net={namespace}", str(SCRIPTS / "stop.sh"), str(folder))
                subprocess.run(stop, check=True, timeout=60)
    finally:
        shutil.rmtree(folder)


def snakemake(cluster: Cluster, project: Project, *words: str) -> str:
    """Output of a command of docs/cluster.md."""
    return project.run(*cluster.inside(*snakemake_words(*words)))


def snakemake_words(*words: str) -> tuple[str, ...]:
    quick = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5")
    return ("snakemake", "--profile", "profiles/slurm", *quick, *words)
