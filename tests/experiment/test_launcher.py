"""What the environment tells of launchers: one rank is none."""

from __future__ import annotations

import pytest
from command_line import done

from wpsgd.launcher import launched, launched_rank, launched_ranks

PMIX = {"PMIX_NAMESPACE": "slurm.pmix.1.0", "PMIX_SERVER_URI41": "slurm.pmix.1.0;tcp4://127.0.0.1:1"}
SHELLS = {  # of one rank: what interactive shells, notebooks and launches of one process leave behind
    "nothing": {},
    "srun --pty, pmi2": {"PMI_RANK": "0", "PMI_SIZE": "1", "PMI_FD": "12", "SLURM_STEP_NUM_TASKS": "1"},
    "srun --pty, pmix": {"PMIX_RANK": "0", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", **PMIX},
    "a notebook of it": {"PMIX_RANK": "0", "PMIX_NAMESPACE": "slurm.pmix.1.0"},
    "mpirun -n 1": {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1", "PMIX_RANK": "0", **PMIX},
    "srun -n 1": {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
    "a job's script": {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
    "empty": {"PMI_RANK": "", "PMI_SIZE": "", "SLURM_STEP_NUM_TASKS": ""},
}
LAUNCHES = {  # the environment of a rank, which it is, and of how many
    "MPICH": ({"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "2"}, 2, (4, 2)),
    "the first of MPICH": ({"PMI_RANK": "0", "PMI_SIZE": "4", "PMI_FD": "9"}, 0, (4, 4)),
    "Open MPI": ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3", "PMIX_RANK": "1"}, 1, (3, 3)),
    "srun without MPI": ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4"}, 3, (4, 4)),
    "mpiexec in such a shell": ({**SHELLS["srun --pty, pmix"], "PMI_RANK": "3", "PMI_SIZE": "4"}, 3, (4, 4)),
    "mpirun in such a shell": (
        {**SHELLS["srun --pty, pmi2"], "OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"},
        2,
        (4, 4),
    ),
    "prterun, which names no size": ({"PMIX_RANK": "1", **PMIX}, 1, (1, 1)),
    "its first": ({"PMIX_RANK": "0", **PMIX}, 0, (1, 1)),
    "a part of a heterogeneous job": (
        {"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_HET_SIZE": "2", **PMIX},
        0,
        (1, 1),
    ),
}


@pytest.mark.parametrize("name", SHELLS)
def test_one_rank_is_no_launch(name: str) -> None:
    assert not launched(SHELLS[name])
    assert launched_rank(SHELLS[name]) == 0
    assert launched_ranks(SHELLS[name]) == (1, 1)


@pytest.mark.parametrize("name", LAUNCHES)
def test_ranks_of_several_know_their_numbers(name: str) -> None:
    environment, rank, ranks = LAUNCHES[name]
    assert launched(environment)
    assert launched_rank(environment) == rank
    assert launched_ranks(environment) == ranks


@pytest.mark.parametrize("name", ["srun --pty, pmi2", "a notebook of it", "srun -n 1"])
def test_commands_in_an_interactive_shell_of_slurm_do_what_they_do_elsewhere(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    commands = (
        ["simulate", "small", "--cluster", "cluster-four-unequal", "--dry-run"],
        ["run", "small", "--dry-run"],
    )
    elsewhere = [done(*command) for command in commands]
    for key, value in SHELLS[name].items():
        monkeypatch.setenv(key, value)
    assert [done(*command) for command in commands] == elsewhere
