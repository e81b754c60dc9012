"""What the documents show, run as it stands there."""

from __future__ import annotations

import re
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wpsgd.config import Settings, load
from wpsgd.config import strategies as config_strategies
from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.learners.node import make_learner
from wpsgd.reducers import RULES
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.job import Job, Runtime
from wpsgd.runtimes.local import Local
from wpsgd.runtimes.simulated import Simulated

ROOT = Path(__file__).parent.parent


def blocks(document: str, language: str) -> list[str]:
    """The code blocks of a document."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), flags=re.DOTALL)


@pytest.fixture
def contributed(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module that the blocks of CONTRIBUTING.md make, its strategy known to configs."""
    module = types.ModuleType("contributed")
    monkeypatch.setitem(sys.modules, "contributed", module)
    for block in blocks("CONTRIBUTING.md", "python"):
        exec(compile(block, "CONTRIBUTING.md", "exec"), module.__dict__)
    kinds = {**config_strategies.KINDS, "fastest": module.FastestSettings}
    monkeypatch.setattr("wpsgd.config.strategies.KINDS", kinds)
    monkeypatch.setattr("wpsgd.config.reading.KINDS", kinds)
    return module


@pytest.fixture
def rows() -> Rows:
    return problem(rows=400, features=60, nonzeros_per_row=8, seed=3).rows


def settings_of(tmp_path: Path) -> Settings:
    config = tmp_path / "fastest.toml"
    config.write_text('[data]\nsource = "x"\n[[strategy]]\nname = "fastest"\nrounds = 3\nperiod = 80\n')
    return load(config)


def train(settings: Settings, rows: Rows, runtime: Runtime) -> tuple[np.ndarray[Any, Any], list[Any]]:
    entry = settings.strategies[0]
    shards = entry.shards(len(rows), runtime.ranks, settings)
    program = entry.program([len(shard) for shard in shards], settings, runtime.ranks)
    objective = settings.objective()
    learners: list[Any] = []

    def learner(rank: int) -> Any:
        learners.append(make_learner(rows.take(shards[rank]), objective, seed=0, rank=rank))
        return learners[-1]

    return runtime.run(Job(program, learner)).model, learners


def test_the_contributed_strategy_has_under_30_lines() -> None:
    strategy = blocks("CONTRIBUTING.md", "python")[0]
    assert len([line for line in strategy.splitlines() if line.strip()]) < 30


def test_the_contributed_strategy_keeps_the_model_of_the_fastest_node(
    contributed: types.ModuleType, rows: Rows, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path)
    slow_second = Simulated(Cluster((RowCost(1.0), RowCost(9.0))), chunk=10)
    model, learners = train(settings, rows, slow_second)
    shards = settings.strategies[0].shards(len(rows), 2, settings)
    alone = make_learner(rows.take(shards[0]), settings.objective(), seed=0, rank=0)
    for _ in range(3):
        alone.advance(80)
        alone.commit(alone.contribution(), alone.steps)
    assert np.array_equal(model, alone.weights)
    assert all(np.array_equal(learner.weights, model) for learner in learners)


def test_the_contributed_strategy_runs_on_threads_as_in_the_simulator(
    contributed: types.ModuleType, rows: Rows, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path)
    simulated, _ = train(settings, rows, Simulated(Cluster((RowCost(1.0),) * 1), chunk=10))
    local, _ = train(settings, rows, Local(1, chunk=10))
    assert np.array_equal(simulated, local)
    racing, learners = train(settings, rows, Local(3, (1.0, 0.5, 0.25), chunk=10))
    assert all(np.array_equal(learner.weights, racing) for learner in learners)
    assert learners[0].steps == 240


def test_the_python_of_the_readme_runs_and_classifies(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("README.md", "python"):
        exec(compile(block, "README.md", "exec"), {})
    accuracies = [float(word) for word in capsys.readouterr().out.split()]
    assert len(accuracies) == 3
    assert min(accuracies) > 0.9


def test_the_config_of_the_readme_is_valid_as_it_stands(tmp_path: Path) -> None:
    config = tmp_path / "study.toml"
    config.write_text(blocks("README.md", "toml")[0])
    settings = load(config)
    assert [entry.label for entry in settings.strategies] == ["wp", "simuparallel"]
    assert settings.machine.speeds == (1.0, 0.5, 0.25, 0.25)


def test_the_commands_of_the_readme_exist() -> None:
    from typer.main import get_command

    from wpsgd.experiment.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    lines = [line for block in blocks("README.md", "sh") for line in block.splitlines()]
    used = {match[1] for line in lines if (match := re.search(r"(?:wpsgd|wpsgd\.experiment) (\w+)", line))}
    assert used == {"run", "simulate", "score", "predict", "export", "combine", "data", "doctor"}
    assert used <= commands.keys()


def test_a_wheel_carries_every_study_and_nothing_else_of_the_experiments() -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = content["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    studies = {f"experiments/{path.name}" for path in (ROOT / "experiments").glob("*.toml")}
    assert shipped.keys() == {"datasets", *studies}
    assert all(shipped[study] == f"wpsgd/shipped/{study}" for study in studies)


def test_every_strategy_has_threads_as_the_readme_says() -> None:
    assert "`threads` is a key of every strategy" in " ".join((ROOT / "README.md").read_text().split())
    assert all("threads" in kind.model_fields for kind in config_strategies.KINDS.values())


def test_no_document_says_a_thing_twice() -> None:
    for document in ("README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        paragraphs = [part for part in (ROOT / document).read_text().split("\n\n") if len(part) > 80]
        assert len(paragraphs) == len(set(paragraphs)), document


def test_the_documents_name_every_rule() -> None:
    for document in ("README.md", "DESIGN.md"):
        text = (ROOT / document).read_text()
        assert [rule for rule in RULES if f"`{rule}`" not in text] == []
