"""Late gradients and threads from the command line: on every runtime, resumed, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Answer, done, models, settings, spawn

from wpsgd import trace

HYBRID = """
[data]
source = "breast-cancer"
test = 0.2
[model]
alpha = 1e-3
learning_rate = "constant"
eta0 = 0.1
[[strategy]]
name = "hybrid"
rounds = 6
period = 50
[machine]
ranks = 2
chunk = 7
[report]
looks = 3
figures = false
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "hybrid.toml"
    path.write_text(HYBRID)
    return path


def run(config: Path, folder: Path, *more: str, ranks: int = 0) -> Answer:
    arguments = ("run", config, "--out", folder, "--json", *more)
    return spawn(*arguments, ranks=ranks) if ranks else done(*arguments)


@pytest.mark.mpi
def test_the_hybrid_gives_the_same_bytes_on_threads_and_on_ranks(config: Path, tmp_path: Path) -> None:
    by_rows = settings(strategy__hybrid__ending="rows", strategy__hybrid__delay=3)
    run(config, tmp_path / "local", *by_rows)
    answer = run(config, tmp_path / "mpi", *by_rows, ranks=2)
    assert answer.code == 0, answer
    assert models(tmp_path / "mpi") == models(tmp_path / "local")


def test_abandoned_rows_are_in_the_results_and_the_trace(config: Path, tmp_path: Path) -> None:
    answer = run(config, tmp_path / "x", *settings(strategy__hybrid__range_check="true", model__eta0=1.0))
    (strategy,) = json.loads(answer.out)["strategies"]
    _, events = trace.read(tmp_path / "x" / "trace.jsonl")
    last = [event for event in events if event["kind"] == "round"][-1]
    assert strategy["abandoned"] == sum(last["abandoned"]) > 0
    assert len(last["abandoned"]) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (settings(model__loss="log_loss"), "holds: 0.0251 <= 0.9998 at the first step"),
        (
            settings(model__loss="squared_hinge", model__eta0=2.0),
            "does not hold, and its contraction is not assured: 4.002 > 0.996 at the first step",
        ),
    ],
)
def test_lemma_4_is_reported_for_smooth_losses(
    config: Path, tmp_path: Path, more: list[str], words: str
) -> None:
    line = "note: hybrid: Lemma 4 of WP-SGD, eta lambda + eta max||x||^2 c <= (1 - eta lambda)^delay, "
    assert f"{line}{words}" in run(config, tmp_path / "x", *more).err


@pytest.mark.parametrize("more", [[], settings(model__loss="log_loss", strategy__hybrid__delay=0)])
def test_lemma_4_is_not_mentioned_where_it_says_nothing(
    config: Path, tmp_path: Path, more: list[str]
) -> None:
    assert "Lemma" not in run(config, tmp_path / "x", *more).err


def test_threads_train_from_the_command_line(config: Path, tmp_path: Path) -> None:
    answer = run(
        config, tmp_path / "x", *settings(strategy__hybrid__threads=2, strategy__hybrid__ending="rows")
    )
    (strategy,) = json.loads(answer.out)["strategies"]
    assert strategy["rows"] == 300
    assert strategy["accuracy"] > 0.8
    assert "abandoned" not in strategy


def test_memory_planned_for_late_decay_has_its_vectors(config: Path, tmp_path: Path) -> None:
    def planned(*more: str) -> int:
        answer = done("run", config, "--out", tmp_path / "x", "--dry-run", "--json", *settings(**dict(more)))
        return int(json.loads(answer.out)["strategies"][0]["memory_per_rank"])

    plain, late = (
        planned(),
        planned(("strategy__hybrid__stale_decay", "true"), ("strategy__hybrid__delay", "9")),
    )
    nodes = 2  # in one process
    assert late - plain == nodes * 10 * 30 * np.dtype(np.float64).itemsize
