"""Rules of a config, from its keys to models: on threads, under virtual clocks, stopped and resumed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from command_line import done, models, settings

from wpsgd import trace
from wpsgd.experiment.signals import Stop

STUDY = """
[data]
source = "breast-cancer"

[model]
alpha = 1e-2

[[strategy]]
name = "simuparallel"
label = "tail"
rule = "tail"

[[strategy]]
name = "simuparallel"
label = "diagonal"
rule = "diagonal"

[[strategy]]
name = "simuparallel"
label = "moments"
rule = "inverse_variance"
outer_momentum = 0.4

[[strategy]]
name = "wp"
label = "validated"
ending = "given"
rounds = 4
counts = [[30, 9], [9, 30], [1, 40], [20, 20]]
contraction = "validated"
line_search = true

[machine]
ranks = 2
"""
LABELS = {"tail", "diagonal", "moments", "validated"}
QUICK = settings(report__figures="false", report__looks=2, **{"strategy__*__rounds": 4})
CLUSTER = "[[node]]\ncount = 2\nseconds_per_row = 1e-6\n"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(STUDY)
    return path


def test_a_study_of_rules_gives_one_model_on_threads_and_under_virtual_clocks(
    study: Path, tmp_path: Path
) -> None:
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(CLUSTER)
    done("run", study, "--out", tmp_path / "run", *QUICK)
    done("simulate", study, "--cluster", cluster, "--out", tmp_path / "simulated", *QUICK)
    found = models(tmp_path / "run")
    assert found.keys() == LABELS
    assert found == models(tmp_path / "simulated")
    assert len({*found.values()}) == len(LABELS)
    _, events = trace.read(tmp_path / "run" / "trace.jsonl")
    rounds = [event for event in events if event["kind"] == "round"]
    validated = [event for event in rounds if event["strategy"] == "validated"]
    assert len(rounds) == 4 * len(LABELS)
    assert all(0.0 <= event["contraction_power"] <= 1e9 for event in validated)
    assert all(event["line_search_factor"] > 0.0 for event in validated)
    looks = [event for event in events if event["kind"] == "look"]
    assert all(event["relative_deviation"] > 0.0 for event in looks)


def test_a_study_tells_what_other_rules_would_have_given(study: Path, tmp_path: Path) -> None:
    told, silent = tmp_path / "told", tmp_path / "silent"
    asking = settings(report__counterfactual="true", report__figures="true")
    shown = done("run", study, "--out", told, *QUICK, *asking).out
    done("run", study, "--out", silent, *QUICK)
    assert models(told) == models(silent)
    assert "would have made of the same models" in shown
    assert "needs averages of each node's iterates" in shown
    assert (told / "figures" / "counterfactual.png").stat().st_size > 0
    answer = json.loads((told / "results.json").read_text())
    for strategy in answer["strategies"]:
        asked = strategy["counterfactual"]
        assert asked["as run"]["objective"] == pytest.approx(strategy["objective"], rel=1e-9)
        best = asked["as run"]["objective_after_line_search"]
        assert best == pytest.approx(strategy["objective_after_line_search"], rel=1e-6)
        assert asked["wp"].keys() == asked["as run"].keys()
        for rule in ("tail", "diagonal"):  # what their learners keep has its price under a real clock
            own = strategy["name"] == rule
            assert asked[rule].keys() == (asked["as run"].keys() if own else {"round", "left_out"})
    assert not any(
        "counterfactual" in each for each in json.loads((silent / "results.json").read_text())["strategies"]
    )


def test_under_virtual_clocks_all_rules_are_asked(study: Path, tmp_path: Path) -> None:
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(CLUSTER)
    asking = settings(report__counterfactual="true")
    content = json.loads(
        done("simulate", study, "--cluster", cluster, "--json", "--out", tmp_path / "x", *QUICK, *asking).out
    )
    for strategy in content["strategies"]:
        out = {rule for rule, told in strategy["counterfactual"].items() if "left_out" in told}
        assert out == ({"inverse_variance"} if strategy["name"] == "tail" else set())


def test_a_study_of_rules_that_was_stopped_goes_on_to_the_same_models(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("run", study, "--out", tmp_path / "whole", *QUICK)
    asked = itertools.count(1)
    monkeypatch.setattr(Stop, "out_of_time", property(lambda stop: next(asked) % 3 == 0))
    parts = ("run", study, "--out", tmp_path / "parts", "--max-seconds", "900", *QUICK)
    answers = [done(*parts)]
    while "goes on" in answers[-1].err and len(answers) < 40:
        answers.append(done(*parts, "--resume"))
    resumed = {label for label in LABELS for answer in answers if f"{label}: resumed after" in answer.err}
    assert resumed == LABELS
    assert models(tmp_path / "parts") == models(tmp_path / "whole")
