"""A real Slurm of several nodes on this host, for as long as a `with` block lasts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")
SEARCHED = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
STARTS, ENDS = 30.0, 15.0  # seconds
# MPICH names its shared memory after the job: on one /dev/shm, nodes would take each other's for theirs.
OWN_MEMORY = (
    *("unshare", "--mount", "--propagation=private"),
    *("sh", "-c", 'mount -t tmpfs tmpfs /dev/shm && exec "$@"', "-"),
)

# No cgroups, no accounting, no systemd. A requeued job waits until its old credentials have expired.
CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=1000\n"


@dataclass(frozen=True)
class Slurm:
    """A running cluster. conf: its slurm.conf; nodes: their names."""

    conf: Path
    nodes: tuple[str, ...]

    def run(self, *command: object, cwd: Path | None = None, **variables: str) -> str:
        """What a command of Slurm's prints. Raises AssertionError with its complaint where it fails."""
        ended = subprocess.run(
            [str(word) for word in command],
            env=environment(SLURM_CONF=str(self.conf), **variables),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
        return ended.stdout.strip()

    def facts(self, job: int) -> dict[str, str]:
        """What Slurm knows of a job: JobState, ExitCode, Restarts and more."""
        text = self.run("scontrol", "show", "job", job, "--oneliner")
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def finished(self, job: int, timeout: float) -> dict[str, str]:
        """The facts of a job once it has ended for good. Raises TimeoutError."""
        going = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED"}
        wait_until(lambda: self.facts(job)["JobState"] not in going, timeout, f"job {job} to end")
        return self.facts(job)

    def idle(self) -> bool:
        """Whether all nodes have answered and have nothing to do."""
        states = self.run("sinfo", "--noheader", "--Node", "--format=%T").split()
        return states == ["idle"] * len(self.nodes)


def missing() -> str:
    """Why Slurm cannot be started here, or an empty string."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=SEARCHED) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid() != 0:
        return "its daemons need root"
    mounting = subprocess.run(
        [*OWN_MEMORY, "true"], env=environment(), capture_output=True, text=True, check=False
    )
    return f"a node needs a /dev/shm of its own: {mounting.stderr.strip()}" if mounting.returncode else ""


@contextmanager
def slurm(nodes: int) -> Iterator[Slurm]:
    """Starts the cluster and waits until its nodes are idle; at the end nothing of it is left."""
    folder = Path(
        mkdtemp(prefix="wpsgd-slurm-", dir="/tmp")
    )  # short: a socket's path has 107 characters at most
    cluster = Slurm(folder / "slurm.conf", tuple(f"n{number}" for number in range(1, nodes + 1)))
    with ExitStack() as started:
        started.callback(shutil.rmtree, folder, ignore_errors=True)
        started.callback(_kill_strays, cluster.conf)
        _configure(cluster)
        _start_munge(folder, started)
        _start_daemons(cluster, started)
        started.callback(_cancel_jobs, cluster)
        yield cluster


def environment(**variables: str) -> dict[str, str]:
    """This one's environment without what an outer Slurm or MPI left in it."""
    foreign = ("SLURM_", "SBATCH_", "SRUN_", "PMI_", "OMPI_", "WPSGD_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PATH": SEARCHED, **variables}


def wait_until(happened: Callable[[], bool], timeout: float, what: str) -> None:
    """Looks four times a second. Raises TimeoutError that says what was waited for."""
    deadline = time.monotonic() + timeout
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:.0f} s for {what}")
        time.sleep(0.25)


def _configure(cluster: Slurm) -> None:
    folder, host = cluster.conf.parent, socket.gethostname().split(".")[0]
    ports = _free_ports(1 + len(cluster.nodes))
    text = CONF.format(folder=folder, host=host, ports=ports)
    for name, port in zip(cluster.nodes, ports[1:], strict=True):
        text += NODE.format(name=name, host=host, port=port)
        (folder / f"spool.{name}").mkdir()
    (folder / "state").mkdir()
    cluster.conf.write_text(text)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _start_munge(folder: Path, started: ExitStack) -> None:
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    places = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
    # Its socket would have to be in a folder that others may enter; --force takes that for a warning.
    command = ("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *places)
    _start(command, folder / "munged.out", environment(), started)
    wait_until((folder / "munge.socket").exists, STARTS, "munged")


def _start_daemons(cluster: Slurm, started: ExitStack) -> None:
    folder, variables = cluster.conf.parent, environment(SLURM_CONF=str(cluster.conf))
    _start(("slurmctld", "-D"), folder / "slurmctld.out", variables, started)
    for name in cluster.nodes:
        _start((*OWN_MEMORY, "slurmd", "-D", "-N", name), folder / f"slurmd.{name}.out", variables, started)
    try:
        wait_until(lambda: _answers(cluster), STARTS, "all nodes to be idle")
    except TimeoutError as error:
        logs = "".join(f"\n{path.name}: {path.read_text()[-2000:]}" for path in sorted(folder.glob("*.out")))
        raise TimeoutError(f"{error}{logs}") from None


def _answers(cluster: Slurm) -> bool:
    try:
        return cluster.idle()
    except AssertionError:  # slurmctld is not listening yet
        return False


def _start(command: tuple[str, ...], log: Path, variables: Mapping[str, str], started: ExitStack) -> None:
    """Starts a daemon in the foreground, as a child of this process, and registers its end."""
    program = shutil.which(command[0], path=SEARCHED)
    assert program is not None
    with log.open("w") as file:
        process = subprocess.Popen(
            [program, *command[1:]], env=dict(variables), stdout=file, stderr=subprocess.STDOUT
        )
    started.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(ENDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cancel_jobs(cluster: Slurm) -> None:
    # best effort: what does not go is killed after the daemons
    with suppress(AssertionError, TimeoutError, subprocess.TimeoutExpired):
        cluster.run("scancel", "--user=root")
        wait_until(lambda: not cluster.run("squeue", "--noheader"), ENDS, "jobs to be cancelled")


def _kill_strays(conf: Path) -> None:
    """Kills the processes of jobs that outlived their daemons: they carry this cluster's slurm.conf."""
    mark = f"SLURM_CONF={conf}".encode()
    for variables in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in variables.read_bytes().split(b"\0"):
                os.kill(int(variables.parent.name), signal.SIGKILL)
