"""Where a run takes place: under the launcher that started it, or on threads of this process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wpsgd.errors import ConfigError
from wpsgd.launcher import launched
from wpsgd.processors import processors
from wpsgd.runtimes.costs import Cluster
from wpsgd.runtimes.job import Runtime
from wpsgd.runtimes.local import Local

if TYPE_CHECKING:
    from wpsgd.config import MachineSettings, Settings


def launched_runtime() -> Runtime:
    """The ranks as they were started, to agree on what to do: MPI's under a launcher, else this process."""
    if not launched():
        return Local(1)
    from wpsgd.runtimes.mpi import MPI

    return MPI()


def refuse_launcher(command: str) -> None:
    """Raises ConfigError under mpiexec with several ranks, for commands of one process."""
    if launched():
        error = ConfigError(f"{command} runs in one process: start it without mpiexec or srun")
        error.agreed = True  # as all ranks say it
        raise error


def on_cluster(settings: Settings, cluster: Cluster) -> tuple[Settings, tuple[str, ...]]:
    """The settings with the cluster's nodes in place of [machine]'s ranks, and what to tell of it."""
    machine, nodes = settings.machine, cluster.nodes
    fastest = min(node.seconds for node in nodes)
    speeds = tuple(fastest / node.seconds for node in nodes)
    asked = machine.known_ranks
    note = f"the cluster has {len(nodes)} nodes, which take the place of [machine]'s {asked} ranks"
    described = machine.model_copy(update={"ranks": len(nodes), "speeds": speeds})
    return replace(settings, machine=described), (note,) if asked not in (None, len(nodes)) else ()


def choose_runtime(machine: MachineSettings) -> Runtime:
    """The runtime of a config's [machine].

    Raises ConfigError where the ranks that were started are not the ranks asked for.
    """
    speeds = machine.speeds or None
    if machine.runtime == "mpi" or (machine.runtime == "auto" and launched()):
        from wpsgd.runtimes.mpi import MPI

        runtime = MPI(speeds=speeds, chunk=machine.chunk)
        if machine.ranks is not None and machine.ranks != runtime.ranks:
            raise ConfigError(
                f"[machine] ranks = {machine.ranks}, but {runtime.ranks} were started: start that many"
                f" (mpiexec -n {machine.ranks}) or leave ranks out"
            )
        return runtime
    if machine.runtime == "simulated":
        raise ConfigError('[machine] runtime = "simulated": use the command simulate, with --cluster')
    if launched():
        raise ConfigError(
            '[machine] runtime = "local" runs in one process: start it without mpiexec or srun,'
            ' or leave runtime at "auto"'
        )
    ranks = machine.ranks or len(machine.speeds) or processors()
    return Local(ranks, None if speeds is None else tuple(speeds), machine.chunk)
