"""slurm/train.sbatch on a real Slurm: one run over several nodes, stopped, resumed, refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cluster
import numpy as np
import pytest

from wpsgd.data.load import load
from wpsgd.evaluate import accuracy
from wpsgd.export import Model, load_model

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]
pytest.importorskip("mpi4py", reason="mpi4py is not installed")

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "experiments" / "small.toml"
# Real speeds and four ranks, wherever they are; averaging by rows gives the same bits on any runtime.
FOUR = ("--set", "machine.ranks=4", "--set", "machine.speeds=[]", "--set", "report.figures=false")
EQUAL_ROWS = (*FOUR, "--strategies", "simuparallel")


@dataclass(frozen=True)
class Submitted:
    """A job of train.sbatch. folder: where it was submitted."""

    slurm: cluster.Slurm
    job: int
    folder: Path

    @property
    def run(self) -> Path:
        """Where it puts its results unless told otherwise."""
        return self.folder / "runs" / f"small-{self.job}"

    def output(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("slurm-*.out")))

    def finished(self, timeout: float = 60.0) -> dict[str, str]:
        try:
            return self.slurm.finished(self.job, timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; its output:\n{self.output()[-3000:]}") from None


def submit(
    slurm: cluster.Slurm, folder: Path, *options: str, sbatch: tuple[str, ...] = (), **variables: str
) -> Submitted:
    """Submits the small study from an empty folder, with this python."""
    variables = {"WPSGD_PYTHON": sys.executable, "PYTHONPATH": str(ROOT), **variables}
    script = ROOT / "slurm" / "train.sbatch"
    answer = slurm.run("sbatch", "--parsable", *sbatch, script, CONFIG, *options, cwd=folder, **variables)
    return Submitted(slurm, int(answer.split(";")[0]), folder)


def on_threads(folder: Path, *options: str) -> Model:
    """The model of the same study on threads of one process, in which no MPI and no Slurm has a part."""
    command = [sys.executable, "-m", "wpsgd.experiment", "run", str(CONFIG), "--out", str(folder), *options]
    variables = {**cluster.environment(), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=variables, capture_output=True, check=True, timeout=100)
    return load_model(folder / "models" / "simuparallel.npz")


def results(submitted: Submitted) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((submitted.run / "results.json").read_text())
    return found


@pytest.mark.parametrize("launcher", ["", "pmi2"], ids=["the wheel's mpiexec", "srun --mpi=pmi2"])
def test_a_job_on_four_nodes_is_one_run_with_a_good_model(
    slurm: cluster.Slurm, tmp_path: Path, launcher: str
) -> None:
    submitted = submit(slurm, tmp_path, *FOUR, sbatch=("--nodes=4",), WPSGD_MPI=launcher)
    facts = submitted.finished()
    assert (facts["JobState"], facts["NumNodes"]) == ("COMPLETED", "4"), submitted.output()
    answer = results(submitted)
    assert (answer["machine"]["ranks"], answer["machine"]["runtime"]) == (4, "mpi")
    test = load("breast-cancer", test=0.2, seed=0).test
    assert test is not None
    for strategy in answer["strategies"]:
        assert [rank["rank"] for rank in strategy["per_rank"]] == [0, 1, 2, 3]
        model = load_model(submitted.run / "models" / f"{strategy['name']}.npz")
        assert accuracy(model.vector, test) == strategy["accuracy"] > 0.9


def test_ranks_under_slurm_train_the_model_that_threads_train(slurm: cluster.Slurm, tmp_path: Path) -> None:
    submitted = submit(slurm, tmp_path, *EQUAL_ROWS, "--out", "chosen")
    assert submitted.finished()["JobState"] == "COMPLETED", submitted.output()
    assert not submitted.run.exists()
    model = load_model(tmp_path / "chosen" / "models" / "simuparallel.npz")
    np.testing.assert_array_equal(model.weights, on_threads(tmp_path / "threads", *EQUAL_ROWS).weights)


def test_a_signalled_job_queues_again_and_ends_in_the_model_of_an_unbroken_run(
    slurm: cluster.Slurm, tmp_path: Path
) -> None:
    options = (*EQUAL_ROWS, "--set", "strategy.simuparallel.rounds=600", "--set", "report.looks=300")
    submitted = submit(slurm, tmp_path, *options)
    cluster.wait_until(lambda: "simuparallel: round" in submitted.output(), 60.0, "the training to begin")
    slurm.run("scancel", "--signal=USR1", "--batch", submitted.job)
    facts = submitted.finished(timeout=120.0)
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1"), submitted.output()
    assert "stopped between two rounds" in submitted.output()
    assert "simuparallel: resumed after round" in submitted.output()
    model = load_model(submitted.run / "models" / "simuparallel.npz")
    assert model.facts["rounds"] == 600
    np.testing.assert_array_equal(model.weights, on_threads(tmp_path / "threads", *options).weights)


def test_ranks_that_do_not_find_each_other_are_refused_with_the_fix(
    slurm: cluster.Slurm, tmp_path: Path
) -> None:
    submitted = submit(slurm, tmp_path, *FOUR, WPSGD_MPI="none")
    facts = submitted.finished()
    assert (facts["JobState"], facts["Restarts"]) == ("FAILED", "0"), submitted.output()
    assert facts["ExitCode"] != "0:0"
    assert submitted.output().count("each rank would train alone") == 1  # not once a rank
    assert "--mpi=pmi2 for MPICH" in submitted.output()
    assert not submitted.run.exists()
