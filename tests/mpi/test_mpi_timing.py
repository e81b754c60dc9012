"""Real seconds on real ranks of unequal speed: what accounts say of any run and, in a soak, what ratios are.

How long anything lasts on a machine that does much else nobody can say: `make test` asks for what holds
whatever clocks show, and for seconds under virtual ones (test_simulated.py, test_ties_and_looks.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import pytest
import soak
import support

pytestmark = pytest.mark.mpi
Events: TypeAlias = list[dict[str, Any]]
Runs: TypeAlias = dict[str, Events]
WP = ("wp first", "wp last")
ROUNDS = 2  # of timing_ranks.py
PERIOD = soak.repetitions(200_000, 2_000_000)  # rows of a round


def timed(folder: Path, number: int = 0) -> Runs:
    """WP-SGD, SimuParallel SGD and WP-SGD again on four ranks, the events of each."""
    path = folder / f"{number}.json"
    support.run_ranks("timing_ranks.py", 4, path, PERIOD)
    return json.loads(path.read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return timed(tmp_path_factory.mktemp("timing"))


def totals(events: Events) -> Events:
    return [event for event in events if event["kind"] == "totals"]


def seconds(events: Events) -> float:
    return max(float(event["seconds"]) for event in totals(events))


def counts(events: Events) -> list[list[int]]:
    return [event["counts"] for event in events if event["kind"] == "round"]


def test_a_race_ends_when_the_first_has_its_rows_and_others_wait_for_all(runs: Runs) -> None:
    for name in WP:
        assert [max(each) for each in counts(runs[name])] == [PERIOD] * ROUNDS
        assert all(0 < least <= PERIOD for each in counts(runs[name]) for least in each)
    assert counts(runs["simuparallel"]) == [[PERIOD] * 4] * ROUNDS
    for events in runs.values():
        rows = [sum(each) for each in zip(*counts(events), strict=True)]
        assert [total["rows"] for total in totals(events)] == rows


def test_spans_and_totals_account_for_no_second_twice(runs: Runs) -> None:
    for events in runs.values():
        for total in totals(events):
            spans = [e for e in events if e["kind"] == "span" and e["rank"] == total["rank"]]
            accounted = sum(span["end"] - span["start"] for span in spans)
            assert 0.0 < accounted <= total["seconds"] + 1e-6
            activities = ("compute", "wait", "communication")
            assert sum(total[name] for name in activities) == pytest.approx(accounted, rel=1e-6)
            ends = [span["end"] for span in spans]
            starts = [span["start"] for span in spans[1:]]
            assert all(end <= start + 1e-9 for end, start in zip(ends, starts, strict=False))


@soak.only
def test_ratios_of_real_seconds_are_those_of_the_speeds(tmp_path: Path) -> None:
    found: dict[str, list[float]] = {}
    for number in range(15):
        for what, value in ratios(timed(tmp_path, number)).items():
            found.setdefault(what, []).append(value)
    soak.keep_ratios("races on four ranks of speeds 1, 1/2, 1/4, 1/4", found)
    middle = {what: median(values) for what, values in found.items()}
    # four times as long, as the slowest has a quarter of the speed of the fastest
    assert middle["seconds, race / by rows"] < 0.4
    assert middle["largest wait of a rank in a race / its seconds"] < 0.3
    assert middle["wait of the fastest by rows / its seconds"] > 0.5
    assert middle["rows in a race, second / first"] < 1.0 / 1.3
    assert middle["rows in a race, slowest / second"] < 1.0 / 1.3
    assert middle["processor time while waiting / wait"] < 0.25
    assert middle["accounted for / seconds"] > 0.9


def ratios(runs: Runs) -> dict[str, float]:
    """What one run of all three shows."""
    by_rows, races = runs["simuparallel"], [runs[name] for name in WP]
    fastest = totals(by_rows)[0]
    rows = [sum(each) for each in zip(*(one for race in races for one in counts(race)), strict=True)]
    # its work costs what the same rows cost in the races, in which it does not wait
    work = min(totals(race)[0]["cpu"] for race in races)
    waits = [one["wait"] / one["seconds"] for race in races for one in totals(race)]
    ended = [one for events in runs.values() for one in totals(events)]
    accounted = [(one["compute"] + one["wait"] + one["communication"]) / one["seconds"] for one in ended]
    return {
        "seconds, race / by rows": max(map(seconds, races)) / seconds(by_rows),
        "largest wait of a rank in a race / its seconds": max(waits),
        "wait of the fastest by rows / its seconds": fastest["wait"] / fastest["seconds"],
        "rows in a race, second / first": rows[1] / rows[0],
        "rows in a race, slowest / second": max(rows[2:]) / rows[1],
        "processor time while waiting / wait": (fastest["cpu"] - work) / fastest["wait"],
        "accounted for / seconds": min(accounted),
    }
