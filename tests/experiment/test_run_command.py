"""The command run on threads: what it prints, what it writes, what it leaves alone."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from command_line import Answer, call, done, everything, models, settings, spawn, write_rows

from wpsgd import evaluate, trace
from wpsgd.config.reading import settings_of
from wpsgd.data.load import Dataset, load
from wpsgd.data.synthetic import problem
from wpsgd.experiment import plan
from wpsgd.experiment.memory import PROCESS
from wpsgd.export import load_model
from wpsgd.learners.node import make_learner
from wpsgd.runtimes.job import Job
from wpsgd.runtimes.local import Local

QUICK = settings(report__figures="false", report__looks=2)
STRATEGY_KEYS = {
    "name", "seconds", "target_seconds", "objective", "objective_after_line_search", "test_objective",
    "accuracy", "rows", "per_rank", "weights", "effective_nodes", "model",
}  # fmt: skip
RANK_KEYS = {"rank", "host", "rows", "compute", "wait", "communication", "bytes"}


class Run(NamedTuple):
    folder: Path
    answer: Answer


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The shipped study, as a user starts it, in a process of its own."""
    folder = tmp_path_factory.mktemp("run") / "small"
    return Run(folder, spawn("run", "small", "--out", folder))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Answer]:
    """The same with --json, without figures."""
    folder = tmp_path_factory.mktemp("run") / "json"
    answer = done("run", "small", "--json", "--out", folder, *QUICK)
    return folder, json.loads(answer.out), answer


def test_results_go_to_stdout_and_progress_to_stderr(small: Run) -> None:
    assert small.answer.code == 0
    out, err = small.answer.out.splitlines(), small.answer.err.splitlines()
    for name in ("sequential", "simuparallel", "wp", "minibatch"):
        rows = [line for line in out if line.split()[:1] == [name]]
        assert len(rows) == 1
        assert rows[0].split()[3].startswith("0.0")
        assert any(line.startswith(f"{name}: rank ") for line in out)
        assert any(line.startswith(f"{name}: round 10 of 10, ") for line in err)
    assert f"run folder: {small.folder}" in out
    assert not any("round" in line for line in out if not line.startswith("run folder"))


def test_table_stands_before_the_sentences_and_these_before_the_folder(small: Run) -> None:
    out = small.answer.out
    assert (
        out.index("effective") < out.index("minibatch  ") < out.index("minibatch: rank") < out.index("run f")
    )


def test_the_run_folder_holds_all_that_is_promised(small: Run) -> None:
    figures = ("objective_seconds", "objective_rows", "timeline", "weights")
    expected = {
        *("config.toml", "environment.json", "results.json", "scores.json", "trace.jsonl", "logs/rank-0.log"),
        *(f"models/{name}.npz" for name in ("sequential", "simuparallel", "wp", "minibatch")),
        *(f"figures/{name}.{kind}" for name in figures for kind in ("png", "svg")),
    }
    content = everything(small.folder)
    assert content.keys() == expected
    for name in figures:
        assert content[f"figures/{name}.png"].startswith(b"\x89PNG")
        assert b"<svg" in content[f"figures/{name}.svg"]


def test_the_folder_tells_how_to_do_it_again(small: Run) -> None:
    config = tomllib.loads((small.folder / "config.toml").read_text())
    facts = json.loads((small.folder / "environment.json").read_text())
    assert config["data"]["source"] == "breast-cancer"
    assert [entry["name"] for entry in config["strategy"]] == [
        "sequential",
        "simuparallel",
        "wp",
        "minibatch",
    ]
    assert facts["command"] == ["wpsgd", "run", "small", "--out", str(small.folder)]
    assert facts["versions"]["numpy"] == np.__version__
    assert (facts["ranks"], facts["runtime"], facts["seed"]) == (2, "local", 0)
    header, events = trace.read(small.folder / "trace.jsonl")
    assert header["config"] == config
    assert {event["kind"] for event in events} == {"span", "round", "look", "totals"}


def test_the_config_of_a_folder_runs_again_to_the_same_models(small: Run, tmp_path: Path) -> None:
    done("run", small.folder / "config.toml", "--out", tmp_path / "again", *QUICK)
    again, before = models(tmp_path / "again"), models(small.folder)
    for name in ("sequential", "simuparallel", "minibatch"):
        assert again[name] == before[name]


def test_json_is_one_object_with_all_keys(told: tuple[Path, dict[str, Any], Answer]) -> None:
    folder, content, answer = told
    assert answer.out.count("\n") == 1
    assert {"rows", "features", "nonzeros"} <= content["data"].keys()
    assert content["data"]["rows"] + content["data"]["test_rows"] == 569
    assert content["machine"] == {"ranks": 2, "hosts": content["machine"]["hosts"], "runtime": "local"}
    assert content["strategies"] == json.loads((folder / "results.json").read_text())["strategies"]
    for strategy in content["strategies"]:
        assert strategy.keys() >= STRATEGY_KEYS
        assert [rank["rank"] for rank in strategy["per_rank"]] == [0, 1]
        assert all(rank.keys() >= RANK_KEYS for rank in strategy["per_rank"])


def test_json_tells_of_each_model_what_its_file_scores(told: tuple[Path, dict[str, Any], Answer]) -> None:
    data = load("breast-cancer", test=0.2, unit_norm=True)
    assert data.test is not None
    for strategy in told[1]["strategies"]:
        model = load_model(Path(strategy["model"]))
        kind = {"loss": model.loss, "alpha": model.alpha}
        assert strategy["objective"] == evaluate.objective(model.vector, data.train, **kind)
        assert strategy["test_objective"] == evaluate.objective(model.vector, data.test, **kind)
        assert strategy["accuracy"] == evaluate.accuracy(model.vector, data.test)
        assert strategy["objective_after_line_search"] <= strategy["objective"]
        assert sum(strategy["weights"] or [1.0]) == pytest.approx(1.0)


def test_one_seed_gives_the_same_bytes_and_another_does_not(
    told: tuple[Path, dict[str, Any], Answer], tmp_path: Path
) -> None:
    kept = ("--strategies", "sequential,simuparallel,minibatch")
    for seed in (0, 1):
        done("run", "small", "--out", tmp_path / str(seed), *kept, *QUICK, *settings(model__seed=seed))
    first, same, other = models(told[0]), models(tmp_path / "0"), models(tmp_path / "1")
    for name, content in same.items():
        assert content == first[name]
        assert content != other[name]


def test_nothing_is_overwritten_without_force(told: tuple[Path, dict[str, Any], Answer]) -> None:
    before = everything(told[0])
    answer = call("run", "small", "--out", told[0], *QUICK)
    assert answer.code == 2
    assert answer.errors == [
        f"error: {told[0]}: holds a run; --resume goes on with it, --force replaces it,"
        " --out names another folder"
    ]
    assert answer.out == ""
    assert everything(told[0]) == before


def test_force_replaces_the_run_and_nothing_else(tmp_path: Path) -> None:
    short = [*QUICK, *settings(strategy__wp__rounds=1)]
    done("run", "small", "--out", tmp_path / "x", "--strategies", "sequential", *QUICK)
    (tmp_path / "x" / "notes.txt").write_text("mine")
    done("run", "small", "--out", tmp_path / "x", "--strategies", "wp", "--force", *short)
    assert list(models(tmp_path / "x")) == ["wp"]
    assert (tmp_path / "x" / "notes.txt").read_text() == "mine"
    assert json.loads((tmp_path / "x" / "scores.json").read_text()).keys() == {"wp"}


def test_a_folder_that_is_no_run_is_refused_even_with_force(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for flag in ("--force", "--resume"):
        answer = call("run", "small", "--out", tmp_path, flag)
        assert answer.code == 2
        assert answer.errors == [
            f"error: {tmp_path}: holds files that are not of a run; name another folder with --out"
        ]
    assert everything(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a file")
    for out in (tmp_path / "x", tmp_path / "x" / "below"):
        answer = call("run", "small", "--out", out, "--force")
        assert (answer.code, len(answer.errors)) == (2, 1)
        assert "name a" in answer.errors[0]
    assert (tmp_path / "x").read_text() == "a file"


@pytest.mark.parametrize(
    ("model", "more", "pairs"),
    [
        ({}, {"name": "simuparallel"}, True),
        ({}, {"name": "hybrid"}, True),
        ({"learning_rate": "adagrad"}, {"name": "simuparallel"}, False),
        ({}, {"name": "hybrid", "stale_decay": True}, False),
    ],
)
def test_a_plan_counts_pairs_where_a_run_exchanges_them(
    model: dict[str, Any], more: dict[str, Any], pairs: bool
) -> None:
    study = settings_of(
        {
            "data": {"source": "x"},
            "model": {"alpha": 1e-3, "eta0": 0.1, "learning_rate": "constant", "shuffle": False} | model,
            "strategy": [{"period": 5, "rounds": 1} | more],
        },
        "tests",
    )
    dataset = Dataset("x", problem(40, 150_000, 10.0, noise=0.1, seed=1).rows)
    (told,) = plan.make(study, dataset, Local(2))["strategies"]
    assert told["reduced_by_pairs"] is pairs
    # what a run gives to its only sum, beside small gathers
    entry = study.strategies[0]
    parts = [dataset.train[:20], dataset.train[20:]]
    outcome = Local(2).run(
        Job(
            entry.program([20, 20], study, 2),
            lambda rank: make_learner(parts[rank], study.objective(), entry.inside, seed=0, rank=rank),
        )
    )
    sent = next(event["bytes"] for event in outcome.events if event["kind"] == "totals")
    if pairs:
        assert 0 < sent < 1000 + told["bytes_per_reduction"] < 8 * 150_000
    else:
        assert sent >= told["bytes_per_reduction"] == 8 * 150_000


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    answer = done("run", "small", "--dry-run", "--out", tmp_path / "x")
    assert answer.out.startswith("breast-cancer: 455 rows, 30 features, 13,650 non-zeros; 2 ranks\n")
    assert ["simuparallel", "10", "228", "227"] in [line.split()[:4] for line in answer.out.splitlines()]
    shown = json.loads(done("run", "small", "--dry-run", "--json", "--out", tmp_path / "x").out)
    assert [entry["rows_per_rank"] for entry in shown["strategies"]] == [[455, 0], *[[228, 227]] * 3]
    # 30 weights, or the gradient of a mini-batch with its rows and its intercept's part
    assert [entry["bytes_per_reduction"] for entry in shown["strategies"]] == [240, 240, 240, 256]
    assert not any(entry["reduced_by_pairs"] for entry in shown["strategies"])
    sparse = {"strategy__simuparallel__wire": "sparse", "strategy__minibatch__wire": "sparse"}
    asked = settings(**sparse, strategy__wp__rule="diagonal")
    shown = json.loads(done("run", "small", *asked, "--dry-run", "--json", "--out", tmp_path / "x").out)
    # at most 30 pairs of 4 + 8 bytes; two sums of 30 coordinates; 32 pairs of a gradient
    assert [entry["bytes_per_reduction"] for entry in shown["strategies"]] == [240, 360, 480, 384]
    assert [entry["reduced_by_pairs"] for entry in shown["strategies"]] == [False, True, False, True]
    # two ranks on threads are one process; they need more than a model and less than a mebibyte beside it
    (own,) = shown["memory"]["per_rank"]
    assert 0 < own - PROCESS < 1 << 20
    assert max(entry["memory_total"] for entry in shown["strategies"]) == shown["memory"]["total"]
    assert not (tmp_path / "x").exists()


def test_set_strategies_and_data_change_what_is_run(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.svm", 60)
    changes = settings(model__alpha=0.01, strategy__wp__rounds=3, machine__speeds="[]", machine__ranks=3)
    chosen = ("--strategies", "wp, minibatch", "--data", data, "--out", tmp_path / "x")
    content = json.loads(done("run", "small", "--json", *chosen, *changes, *QUICK).out)
    assert [entry["name"] for entry in content["strategies"]] == ["wp", "minibatch"]
    assert [entry["rounds"] for entry in content["strategies"]] == [3, 10]
    assert content["data"] == {"name": str(data), "rows": 48, "test_rows": 12, "features": 6, "nonzeros": 288}
    assert content["machine"]["ranks"] == 3
    assert load_model(tmp_path / "x" / "models" / "wp.npz").alpha == 0.01


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "nosuch: no such file; "),
        (["small", "--strategies", "wpp"], "no strategy 'wpp'; did you mean 'wp'?"),
        (["small", "--set", "model.alpa=1"], "did you mean 'alpha'?"),
        (["small", "--set", "model.alpha=-1"], "[model] alpha = -1: must be a number > 0"),
        (
            ["small", "--set", "model.learning_rate=constant", "--set", "model.eta0=1e6"],
            "eta lambda = 1000 at the first step of 'constant': must not exceed 1; lower eta0 or alpha",
        ),
        (["small", "--set", "machine.speeds=[1.0]"], "1 speeds for ranks = 2: must be one for each rank"),
        (["small", "--set", "machine.runtime=simulated"], "use the command simulate, with --cluster"),
        (["small", "--progress", "lve"], "must be one of auto, live, plain, none; did you mean 'live'?"),
        (["small", "--log-level", "WARN"], "DEBUG, INFO, WARNING, ERROR; did you mean 'WARNING'?"),
        (["small", "--resume", "--force"], "give one of them"),
        (["small", "--max-seconds", "-1"], "see wpsgd run --help"),
        (["small", "--bogus"], "No such option: --bogus"),
        ([], "Missing argument 'config'; see wpsgd run --help"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2_and_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    place = ["--out", tmp_path / "x"] if arguments else []
    answer = call("run", *arguments, *place)
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert said in answer.errors[0]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "command",
    [
        "",
        "run",
        "simulate",
        "score",
        "predict",
        "doctor",
        "data",
        "data list",
        "data info",
        "data fetch",
        "data generate",
    ],
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    answer = done(*command.split(), "--help")
    assert answer.err == ""
    example = answer.out.partition("Example")[2]
    assert f"wpsgd {command}".strip() in example


def test_no_command_is_wrong_usage_and_shows_the_help() -> None:
    for command in ([], ["data"]):
        answer = call(*command)
        assert answer.code == 2
        assert "Usage: wpsgd" in answer.out


def test_the_version_is_told() -> None:
    from importlib.metadata import version

    assert done("--version").out.strip() == version("wpsgd")


def test_one_rank_averages_to_the_bits_of_sequential_sgd(tmp_path: Path) -> None:
    alone = settings(machine__ranks=1, machine__speeds="[]", report__figures="false")
    done("run", "small", "--strategies", "sequential,simuparallel,wp", *alone, "--out", tmp_path / "x")
    trained = models(tmp_path / "x").keys()
    weights = [load_model(tmp_path / "x" / "models" / f"{name}.npz").weights for name in sorted(trained)]
    assert len(weights) == 3
    assert all(np.array_equal(weights[0], other) for other in weights[1:])
