"""The command simulate: virtual seconds that repeat, on the nodes of a cluster file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command_line import call, done, models, settings

from wpsgd.config.files import shipped

CLUSTER = ("--cluster", "cluster-four-unequal")
QUICK = settings(report__figures="false")


def simulated(folder: Path, *arguments: object) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        done("simulate", "small", *CLUSTER, "--json", "--out", folder, *QUICK, *arguments).out
    )
    return content


def without_paths(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**strategy, "model": None} for strategy in content["strategies"]]


def test_virtual_seconds_and_models_repeat_to_the_bit(tmp_path: Path) -> None:
    one, other = simulated(tmp_path / "1"), simulated(tmp_path / "2")
    assert without_paths(one) == without_paths(other)
    assert all(strategy["seconds"] > 0.0 for strategy in one["strategies"])
    assert models(tmp_path / "1") == models(tmp_path / "2")
    assert len(models(tmp_path / "1")) == 4


def test_nodes_take_the_time_that_the_cluster_file_says(tmp_path: Path) -> None:
    nodes = tomllib.loads(shipped(clusters=True)[CLUSTER[1]].read_text())["node"]
    expected = [node["seconds_per_row"] for node in nodes for _ in range(node.get("count", 1))]
    content = simulated(tmp_path / "x", "--strategies", "simuparallel")
    ranks = content["strategies"][0]["per_rank"]
    assert content["machine"] == {**content["machine"], "ranks": len(expected), "runtime": "simulated"}
    for rank, seconds in zip(ranks, expected, strict=True):
        assert rank["compute"] / rank["rows"] == pytest.approx(seconds, rel=0.02)


def test_the_cluster_takes_the_place_of_ranks_and_speeds_and_says_so(tmp_path: Path) -> None:
    answer = done(
        "simulate", "small", *CLUSTER, "--dry-run", "--json", *settings(data__sharding="proportional")
    )
    assert answer.err == "note: the cluster has 4 nodes, which take the place of [machine]'s 2 ranks\n"
    rows = json.loads(answer.out)["strategies"][1]["rows_per_rank"]
    assert [round(8 * count / sum(rows)) for count in rows] == [4, 2, 1, 1]  # as 1, 1/2, 1/4, 1/4
    quiet = done(
        "simulate", "small", *CLUSTER, "--dry-run", *settings(machine__ranks=4, machine__speeds="[]")
    )
    assert quiet.err == ""


def test_entries_for_another_number_of_ranks_are_refused(tmp_path: Path) -> None:
    wrong = settings(strategy__minibatch__batch="[1,2]")
    answer = call("simulate", "small", *CLUSTER, "--out", tmp_path / "x", *wrong)
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "minibatch" in answer.errors[0]
    assert "4 ranks" in answer.errors[0]


def test_another_cluster_cannot_go_on_with_a_run(tmp_path: Path) -> None:
    simulated(tmp_path / "x")
    other = tmp_path / "one.toml"
    other.write_text("[[node]]\ncount = 4\nseconds_per_row = 1e-6\n")
    answer = call("simulate", "small", "--cluster", other, "--resume", "--out", tmp_path / "x", *QUICK)
    assert answer.code == 1
    assert "cannot go on: cluster was " in answer.errors[0]


def test_the_folder_is_named_after_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.v2.toml").write_text('[data]\nsource = "breast-cancer"\n[[strategy]]\nname = "wp"\n')
    done("simulate", "study.v2.toml", *CLUSTER, *QUICK)
    assert (tmp_path / "runs" / "study.v2-simulated" / "models" / "wp.npz").exists()


def test_a_cluster_file_that_is_not_there_is_wrong_usage() -> None:
    answer = call("simulate", "small", "--cluster", "cluster-four-unequl")
    assert answer.code == 2
    assert "did you mean 'cluster-four-unequal'?" in answer.errors[0]


SHARDS = """
[data]
source = "breast-cancer"
[model]
alpha = 1e-2
intercept = "column"
solver = "{solver}"
[[strategy]]
name = "cocoa"
rounds = 60
[[strategy]]
name = "admm"
rounds = 60
{more}"""


def test_cocoa_and_admm_come_to_the_objective_of_the_dual_solver_whatever_the_solver(tmp_path: Path) -> None:
    found = {}
    for solver, more in (("sgd", ""), ("dual", '[[strategy]]\nname = "sequential"\nrounds = 60\n')):
        config, folder = tmp_path / f"{solver}.toml", tmp_path / solver
        config.write_text(SHARDS.format(solver=solver, more=more))
        answer = done("simulate", config, *CLUSTER, "--json", "--out", folder)
        found |= {
            (solver, strategy["name"]): strategy["objective"]
            for strategy in json.loads(answer.out)["strategies"]
        }
        assert (folder / "figures" / "objective_seconds.png").exists()
        # no weights of models: there are none to draw
        assert not (folder / "figures" / "weights.png").exists()
    best = found.pop(("dual", "sequential"))
    assert all(best * 0.9999 <= objective <= 1.005 * best for objective in found.values()), (best, found)
    assert found["sgd", "cocoa"] == found["dual", "cocoa"]
    assert found["sgd", "admm"] == found["dual", "admm"]


def test_a_tolerance_of_cocoa_ends_it_beside_strategies_that_have_none(tmp_path: Path) -> None:
    config = tmp_path / "x.toml"
    config.write_text(
        SHARDS.format(solver="sgd", more='[[strategy]]\nname = "wp"\nrounds = 3\n').replace(
            'name = "cocoa"\n', 'name = "cocoa"\ntol = 0.05\n'
        )
    )
    answer = done("simulate", config, *CLUSTER, "--json", "--out", tmp_path / "x")
    cocoa, _, wp = json.loads(answer.out)["strategies"]
    assert cocoa["certificate"]["converged"]
    assert 0.0 <= cocoa["certificate"]["gap"] <= 0.05
    assert cocoa["rounds"] < 60
    assert (wp["rounds"], wp.get("certificate")) == (3, None)
