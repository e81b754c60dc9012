"""What is made of the studies' runs: places on curves, losses against the best rule, cases and shards."""

from __future__ import annotations

import json
import sys
from math import exp, inf
from pathlib import Path

import numpy as np
import pytest

from wpsgd import trace
from wpsgd.data.synthetic import problem
from wpsgd.errors import DataError

sys.path.append(str(Path(__file__).resolve().parent.parent))  # the studies are no part of the package

from experiments import paper
from experiments.overtaking import crossing, forecasts, runs_of
from experiments.paper import Curve, by_seed, facts
from experiments.rules.grid import ALPHA, COMPARED, DEALT, ROUNDS, SPEEDS, Case, cases, dealt
from experiments.rules.tables import losses, table, tables


def fading(rate: float, floor: float = 0.0) -> Curve:
    rows = tuple(float(row) for row in range(100, 1100, 100))
    return Curve(rows, tuple(row / 50.0 for row in rows), tuple(exp(-rate * row) + floor for row in rows))


def test_a_fading_curve_meets_its_target_where_the_exponential_does() -> None:
    curve = fading(0.01)
    assert curve.reaching(exp(-4.37), curve.rows) == pytest.approx(437.0)
    assert curve.reaching(exp(-4.37), curve.seconds) == pytest.approx(437.0 / 50.0)
    assert curve.reaching(1e-9, curve.rows) == inf


def test_twice_the_contraction_takes_half_the_rows_of_the_yardstick() -> None:
    fast, slow = fading(0.01), fading(0.005)
    told = facts({"sequential": slow, "other": fast})
    assert told["other"]["rows / yardstick"] == pytest.approx(0.5)
    assert told["other"]["seconds / yardstick"] == pytest.approx(0.5)
    assert told["sequential"]["rows / yardstick"] == 1.0
    assert facts({"sequential": fast, "other": slow})["other"]["rows / yardstick"] == inf


def test_a_curve_overtakes_where_it_stays_below() -> None:
    low_floor, fast = fading(0.005), fading(0.01, floor=0.05)
    crossing = low_floor.overtakes(fast)
    rows = np.array(low_floor.rows)
    below = np.exp(-0.005 * rows) < np.exp(-0.01 * rows) + 0.05
    assert crossing == rows[np.argmax(below)] / 1000.0
    assert fast.overtakes(low_floor) == inf


def test_the_parts_of_a_seed_are_one_run(tmp_path: Path) -> None:
    parts = {
        "0": {"sequential": 4.0, "wp": 2.0},
        "0-hybrids": {"hybrid": 3.0},
        "1": {"wp": 5.0},
        "2": {"wp": 6.0},
    }
    for part, ends in parts.items():
        (tmp_path / part).mkdir()
        looks = [
            {"kind": "look", "strategy": label, "rows": 10, "seconds": 1.0, "test_objective": end}
            for label, end in ends.items()
        ]
        trace.write(tmp_path / part / "trace.jsonl", looks, {})
        if part != "2":  # which is not over yet
            (tmp_path / part / "results.json").touch()
    found = {
        seed: {label: curve.end for label, curve in run.items()} for seed, run in by_seed(tmp_path).items()
    }
    assert found == {"0": parts["0"] | parts["0-hybrids"], "1": parts["1"]}


def test_two_straight_lines_cross_where_they_meet() -> None:
    def line(start: float, slope: float) -> list[dict[str, float]]:
        return [{"rows": row, "objective": start + slope * row} for row in range(100, 1100, 100)]

    assert crossing(line(9.0, -0.01), line(6.45, -0.005)) == pytest.approx(510.0)
    assert crossing(line(9.0, -0.01), line(0.0, 0.0)) == pytest.approx(900.0)
    assert crossing(line(1.0, 0.0), line(2.0, 0.0)) == 100.0
    assert crossing(line(2.0, 0.0), line(1.0, 0.0)) == inf


def test_a_line_tells_of_how_many_seeds_it_is() -> None:
    runs = [{"one": {"F": 1.0}, "other": {"F": 4.0}}, {"one": {"F": 3.0}}]
    lines = [line.split() for line in paper.table("title", paper.over_seeds(runs)).splitlines()]
    assert lines == [["title"], ["seeds", "F"], ["one", "2", "2", "+-1"], ["other", "1", "4", "+-0"]]


def test_a_run_without_the_fastest_node_alone_is_refused_in_a_line(tmp_path: Path) -> None:
    looks = [{"kind": "look", "strategy": label, "rows": 1, "objective": 1.0} for label in ("uniform", "R3")]
    trace.write(tmp_path / "trace.jsonl", looks, {})
    with pytest.raises(DataError, match=r"looks at uniform, R3; needs some at sequential") as caught:
        forecasts(tmp_path, "four-unequal")
    assert "\n" not in str(caught.value)


def test_seeds_are_found_whatever_their_number_and_none_is_refused_in_a_line(tmp_path: Path) -> None:
    for name in ("0", "0-hybrids", "2", "11"):
        (tmp_path / name).mkdir()
    assert [run.name for run in runs_of(tmp_path)] == ["0", "2", "11"]
    for empty in (tmp_path / "0", tmp_path / "missing"):
        with pytest.raises(DataError, match=r"holds no run: must be one folder a seed"):
            runs_of(empty)


def test_tables_of_nothing_are_refused_in_a_line() -> None:
    with pytest.raises(DataError, match=r"^no records of cases.*--tables$"):
        tables([])


def test_every_case_is_there_once_and_every_node_has_rows_in_each_round() -> None:
    found = cases(("real-sim-twin", "reuters"), 2)
    assert len(set(found)) == len(found) == 2 * 2 * len(SPEEDS) * len(DEALT) * len(ROUNDS) * 8
    for case in found:
        counts = case.counts()
        assert len(counts) == ROUNDS[case.rounds]
        assert min(min(row) for row in counts) >= 1
        if case.schedule == "constant":
            assert sum(max(row) for row in counts) * ALPHA == pytest.approx(case.x, rel=0.05, abs=2e-3)


def test_shards_by_label_are_a_partition_with_classes_apart() -> None:
    rows = problem(4000, 50, 5.0, positive=0.4, noise=0.05, seed=1).rows
    parts = {how: dealt(Case("x", "strong", how, "one shot", "constant", 1.0, 3), rows) for how in DEALT}
    for how in ("at random", "by label"):
        assert np.array_equal(np.sort(np.concatenate(parts[how])), np.arange(len(rows)))
    shares = {how: [float((rows.labels[part] > 0).mean()) for part in parts[how]] for how in DEALT}
    overall = float((rows.labels > 0).mean())
    assert shares["replica"] == [overall] * 8
    assert max(shares["at random"]) - min(shares["at random"]) < 0.2
    # half of a node's rows are of one class, the other half like all
    assert shares["by label"][0] == pytest.approx(overall / 2.0, abs=0.15)
    assert shares["by label"][-1] == pytest.approx(0.5 + overall / 2.0, abs=0.15)


SCORES = {1.0: {"uniform": 0.5, "wp": 0.4}, 3.0: {"uniform": 0.2, "wp": 0.3}}  # of rules, at each x


def records() -> list[dict[str, object]]:
    case = {"data": "d", "speeds": "strong", "dealt": "replica", "rounds": "one shot", "schedule": "constant"}
    return [
        {**case, "seed": 0, "x": x, "rule": rule, "objective": scores.get(rule)}
        for x, scores in SCORES.items()
        for rule in COMPARED
    ]


def test_losses_are_against_the_best_rule_of_the_same_case() -> None:
    found = {(record["x"], record["rule"]): record["loss"] for record in losses(records(), "objective")}
    expected = {(1.0, "uniform"): 0.25, (1.0, "wp"): 0.0, (3.0, "uniform"): 0.0, (3.0, "wp"): 0.5}
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert {loss for key, loss in found.items() if key not in expected} == {9.99}  # rules without a score


def test_tables_begin_with_the_rule_that_loses_least() -> None:
    chosen = losses(records(), "objective")
    lines = table("title", chosen, lambda record: f"{record['x']:g}").splitlines()
    assert lines[1].split() == ["1", "3", "all"]
    assert lines[2].split() == ["uniform", "25.0", "0.0", "12.5"]
    assert lines[3].split() == ["wp", "0.0", "50.0", "25.0"]
    assert len(lines) == 2 + len(COMPARED)


def test_tables_of_several_seeds_end_with_half_the_spread_between_them() -> None:
    losses_of = {
        0: {"uniform": [0.10, 0.30], "wp": [0.00, 0.90]},
        7: {"uniform": [0.50, 0.70], "wp": [0.20, 0.60]},
    }
    chosen = [
        {"seed": seed, "x": x, "rule": rule, "loss": rules.get(rule, (9.0, 9.0))[x]}
        for seed, rules in losses_of.items()
        for rule in COMPARED
        for x in (0, 1)
    ]
    lines = [line.split() for line in table("title", chosen, lambda record: str(record["x"])).splitlines()]
    assert lines[1] == ["0", "1", "all", "+-"]
    assert lines[2:4] == [["uniform", "30.0", "50.0", "40.0", "20.0"], ["wp", "10.0", "75.0", "42.5", "2.5"]]
    assert lines[4][-4:] == ["900.0", "900.0", "900.0", "0.0"]


def test_numbers_of_runs_that_are_not_there_are_kept_and_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"F at 60%": [2.0]}
    (tmp_path / "paper.json").write_text(
        json.dumps({"a x": {"wp": {"F at 60%": [1.0]}}, "b y": {"wp": told}})
    )
    runs = tmp_path / "runs"
    (runs / "a" / "x").mkdir(parents=True)
    monkeypatch.setattr(paper, "by_seed", lambda folder: {"0": {"new": None}})
    monkeypatch.setattr(paper, "facts", lambda found: {"new": {"F at 60%": 2.0}})
    for more, kept in ((["--add"], {"a x": {"wp", "new"}, "b y": {"wp"}}), ([], {"a x": {"new"}})):
        monkeypatch.setattr(
            "sys.argv", ["paper", "--runs", str(runs), "--out", str(tmp_path / "paper"), *more]
        )
        paper.main()
        found = json.loads((tmp_path / "paper.json").read_text())
        assert {name: set(one) for name, one in found.items()} == kept
        text = (tmp_path / "paper.txt").read_text()
        assert ("a on x (wp: not run again since an earlier commit)" in text) == bool(more)
        assert ("b on y (not run again since an earlier commit)" in text) == bool(more)
