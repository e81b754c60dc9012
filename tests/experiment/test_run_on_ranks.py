"""The command line on 2 MPI ranks: the models of threads, one voice, and nobody left behind."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from command_line import (
    Answer,
    begun,
    done,
    ended,
    everything,
    lines_of,
    models,
    settings,
    spawn,
    start,
    wait_until,
)

from wpsgd import trace

pytestmark = pytest.mark.mpi

# the races of wp are decided by the clock, rows are not
SMALL = ["small", *settings(report__figures="false", report__looks=4, strategy__wp__ending="rows")]
LONG = ["small", "--strategies", "simuparallel,minibatch", *settings(
    report__figures="false", report__looks=40, strategy__simuparallel__rounds=2000,
    strategy__simuparallel__period=20, machine__chunk=10, machine__speeds="[1.0,1.0]",
)]  # fmt: skip


class Ranks:
    """What a run on 2 ranks left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answer = spawn("run", *SMALL, "--json", "--out", folder, ranks=2)

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.answer.out)
        return content


@pytest.fixture(scope="module")
def on_ranks(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    return Ranks(tmp_path_factory.mktemp("mpi") / "small")


@pytest.fixture(scope="module")
def on_threads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local") / "small"
    done("run", *SMALL, "--json", "--out", folder)
    return folder


@pytest.fixture(scope="module")
def long_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The long study without a stop, on threads."""
    folder = tmp_path_factory.mktemp("local") / "long"
    done("run", *LONG, "--out", folder)
    return models(folder)


def test_ranks_and_threads_give_the_same_bytes_of_model(on_ranks: Ranks, on_threads: Path) -> None:
    assert on_ranks.answer.code == 0, on_ranks.answer
    assert len(models(on_threads)) == 4
    assert models(on_ranks.folder) == models(on_threads)


def test_json_of_ranks_has_the_keys_of_threads(on_ranks: Ranks, on_threads: Path) -> None:
    content, local = on_ranks.content, json.loads((on_threads / "results.json").read_text())
    assert content["machine"]["runtime"] == "mpi"
    assert content["data"] == local["data"]
    for strategy, other in zip(content["strategies"], local["strategies"], strict=True):
        assert strategy.keys() == other.keys()
        assert [rank.keys() for rank in strategy["per_rank"]] == [rank.keys() for rank in other["per_rank"]]
        for key in ("objective", "test_objective", "accuracy", "rows", "weights", "rounds", "fingerprint"):
            assert strategy[key] == other[key]


def test_one_rank_speaks_for_all(on_ranks: Ranks) -> None:
    assert on_ranks.answer.out.count("\n") == 1
    final = [line for line in on_ranks.answer.err.splitlines() if " round 10 of 10, " in line]
    assert [line.split(":")[0] for line in final] == ["sequential", "simuparallel", "wp", "minibatch"]


def test_each_rank_writes_its_log(on_ranks: Ranks) -> None:
    for rank in (0, 1):
        log = lines_of(on_ranks.folder / "logs" / f"rank-{rank}.log")
        assert re.search(rf"rank {rank} of 2 on \S+, process \d+, runtime mpi$", log[0])
        assert log[-1].endswith("minibatch: 10 of 10 rounds complete")


def started(folder: Path) -> Any:
    """A long run on 2 ranks that is on its way."""
    process = start("run", *LONG, "--out", folder, ranks=2)
    wait_until(lambda: all(begun(folder, "simuparallel", rank) for rank in (0, 1)), process)
    return process


def process_of(folder: Path, rank: int) -> int:
    found = re.search(r"process (\d+)", lines_of(folder / "logs" / f"rank-{rank}.log")[0])
    assert found
    return int(found[1])


def check_stopped(answer: Answer, name: str, folder: Path) -> None:
    assert answer.code != 0
    assert answer.errors == [f"error: {name}: stopped between two rounds; --resume --out {folder} goes on"]
    assert "Traceback" not in answer.err
    assert list((folder / "checkpoints" / "simuparallel").glob("round-*[0-9]"))
    assert models(folder).keys() == {"simuparallel"}  # and the next strategy was not begun


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1], ids=lambda n: n.name)
def test_a_signal_to_all_ranks_ends_the_run_at_a_boundary(
    number: signal.Signals, long_models: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "x"
    process = started(folder)
    for rank in (0, 1):
        os.kill(process_of(folder, rank), number)
    check_stopped(ended(process), number.name, folder)
    done("run", *LONG, "--out", folder, "--resume")  # what ranks began, threads complete
    assert models(folder) == long_models


def test_a_signal_to_one_rank_ends_all_and_ranks_resume(
    long_models: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "x"
    process = started(folder)
    os.kill(process_of(folder, 1), signal.SIGUSR1)
    check_stopped(ended(process), "SIGUSR1", folder)
    again = spawn("run", *LONG, "--out", folder, "--resume", ranks=2)
    assert again.code == 0, again
    assert again.err.count("simuparallel: resumed after round ") == 1
    assert models(folder) == long_models
    _, both = trace.read(folder / "trace.jsonl")
    events = [event for event in both if event["strategy"] == "simuparallel"]
    assert [e["round"] for e in events if e["kind"] == "look"] == [50.0 * n for n in range(1, 41)]
    assert [e["rows"] for e in events if e["kind"] == "totals"] == [2000 * 20] * 2


def test_ctrl_c_at_the_launcher_reaches_the_ranks(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    process = started(folder)
    process.send_signal(signal.SIGINT)
    check_stopped(ended(process), "SIGINT", folder)


def test_a_rank_that_raises_ends_all_with_one_traceback(tmp_path: Path) -> None:
    note = tmp_path / "failed"
    answer = spawn("run", *LONG, "--out", tmp_path / "x", ranks=2, script="failing_rank.py", FAILED=str(note))
    assert note.exists()
    assert answer.code != 0
    assert answer.err.count("Traceback (most recent call last)") == 1
    assert answer.err.count("RuntimeError: the second rank has had enough") == 1
    assert answer.errors == []
    assert "the second rank has had enough" in "".join(lines_of(tmp_path / "x" / "logs" / "rank-1.log"))


def test_divergence_on_ranks_is_told_once(tmp_path: Path) -> None:
    steps = settings(model__loss="squared_hinge", model__learning_rate="constant", model__eta0=100)
    far = [*steps, *settings(model__w0=1.7e308, report__looks=0)]
    answer = spawn("run", *SMALL, *far, "--strategies", "simuparallel", "--out", tmp_path / "x", ranks=2)
    assert answer.code != 0
    assert len(answer.errors) == 1
    assert re.match(r"error: diverged at step \d+ on rank \d: .*lower eta0 \(now 100", answer.errors[0])
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["run", *SMALL, *settings(machine__ranks=3, machine__speeds="[]")],
            "but 2 were started: start that many (mpiexec -n 3)",
        ),
        (["run", *SMALL, *settings(machine__runtime='"local"')], "start it without mpiexec or srun"),
        (["simulate", "small", "--cluster", "cluster-four-unequal"], "simulate runs in one process: "),
    ],
    ids=["ranks", "local", "simulate"],
)  # fmt: skip
def test_wrong_usage_on_ranks_is_told_once(arguments: list[str], said: str, tmp_path: Path) -> None:
    answer = spawn(*arguments, "--out", tmp_path / "x", ranks=2)
    assert (answer.code, answer.out, len(answer.errors)) == (2, "", 1)
    assert said in answer.errors[0]
    assert not (tmp_path / "x").exists()


def test_an_occupied_folder_is_refused_once_and_kept(on_ranks: Ranks) -> None:
    before = everything(on_ranks.folder)
    answer = spawn("run", *SMALL, "--out", on_ranks.folder, ranks=2)
    assert (answer.code, len(answer.errors)) == (2, 1)
    assert "holds a run" in answer.errors[0]
    assert everything(on_ranks.folder) == before


def test_ranks_that_do_not_see_one_another_are_told_the_fix(tmp_path: Path) -> None:
    answers = [
        spawn("run", *SMALL, "--out", tmp_path / "x", PMI_SIZE="4", PMI_RANK=str(rank)) for rank in (0, 1)
    ]
    assert [answer.code for answer in answers] == [2, 2]
    assert "PMI_SIZE says 4 ranks" in answers[0].errors[0]
    assert "start with the mpiexec of the same installation" in answers[0].errors[0]
    assert answers[1].err == ""
    assert not (tmp_path / "x").exists()


def test_doctor_on_ranks_speaks_once() -> None:
    answer = spawn("doctor", "--json", ranks=2)
    assert answer.code == 0, answer
    findings = json.loads(answer.out)["findings"]
    assert "ranks: 2, as many as were started" in [finding["what"] for finding in findings]
