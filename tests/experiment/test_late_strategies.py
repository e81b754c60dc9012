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
        (
            settings(model__loss="log_loss", strategy__hybrid__delay=2),
            "2 steps late comes to rest without oscillating where eta c ||x||^2 <= R^(delay+1) delay^delay /"
            " (delay+1)^(delay+1) = 0.1481, R = 1 - eta lambda, and at all where it is below 2 sin(pi / (2 (2"
            " delay + 1))) = 0.618: the longest row has 0.025 at the first step\n",
        ),
        (
            settings(model__loss="squared_hinge", model__eta0=2.0),
            "1 step late comes to rest without oscillating where eta c ||x||^2 <= R^(delay+1) delay^delay /"
            " (delay+1)^(delay+1) = 0.249, R = 1 - eta lambda, and at all where it is below 2 sin(pi / (2 (2"
            " delay + 1))) = 1: the longest row has 4 at the first step, and its steps are shortened to"
            " 0.25\n",
        ),
    ],
)
def test_what_late_rows_of_smooth_losses_bear_is_reported(
    config: Path, tmp_path: Path, more: list[str], words: str
) -> None:
    assert f"note: hybrid: a row whose own gradients come {words}" in run(config, tmp_path / "x", *more).err


def test_lemma_4_is_reported_beside_range_checks_which_it_presumes(config: Path, tmp_path: Path) -> None:
    more = settings(model__loss="log_loss", strategy__hybrid__range_check="true")
    found = run(config, tmp_path / "x", *more).err
    assert "Lemma 4 of WP-SGD, which presumes range checks, " in found
    assert "holds: 0.0251 <= 0.9999\n" in found


@pytest.mark.parametrize("more", [[], settings(model__loss="log_loss", strategy__hybrid__delay=0)])
def test_late_rows_are_not_mentioned_where_nothing_is_to_be_said(
    config: Path, tmp_path: Path, more: list[str]
) -> None:
    found = run(config, tmp_path / "x", *more).err
    assert "Lemma" not in found
    assert "late" not in found


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
