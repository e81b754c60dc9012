"""Runs that end early, by the clock, a signal or a kill, go on to the bits of runs that never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import soak
from command_line import (
    begun,
    call,
    done,
    ended,
    everything,
    models,
    settings,
    signal_at,
    start,
    time_up_at,
    wait_until,
)

from wpsgd import trace
from wpsgd.checkpoint import latest
from wpsgd.experiment.signals import ECHO, Stop
from wpsgd.requests import State

KILL_SEED = 11
DETERMINISTIC = ("sequential", "simuparallel", "minibatch")
SHORT = ["small", "--strategies", ",".join(DETERMINISTIC), *settings(report__figures="false")]
LONG = ["small", "--strategies", "simuparallel", *settings(
    report__figures="false", report__looks=40, strategy__simuparallel__rounds=3000,
    strategy__simuparallel__period=20, machine__chunk=10, machine__speeds="[1.0,1.0]",
)]  # fmt: skip


class Whole(NamedTuple):
    folder: Path
    models: dict[str, bytes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The short study without a stop."""
    folder = tmp_path_factory.mktemp("whole") / "short"
    done("run", *SHORT, "--out", folder)
    return Whole(folder, models(folder))


@pytest.fixture(scope="module")
def long_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The long study without a stop."""
    folder = tmp_path_factory.mktemp("whole") / "long"
    done("run", *LONG, "--out", folder)
    return models(folder)


def looks(folder: Path, strategy: str) -> list[float]:
    _, events = trace.read(folder / "trace.jsonl")
    return [e["round"] for e in events if e["kind"] == "look" and e["strategy"] == strategy]


def rows_done(folder: Path) -> dict[tuple[str, int], int]:
    _, events = trace.read(folder / "trace.jsonl")
    return {(e["strategy"], e["rank"]): e["rows"] for e in events if e["kind"] == "totals"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1], ids=lambda n: n.name)
def test_a_signal_ends_a_run_at_a_boundary_and_resume_completes_it(
    number: signal.Signals, whole: Whole, tmp_path: Path
) -> None:
    folder = tmp_path / "x"
    with signal_at(16, number):  # in the second strategy
        answer = call("run", *SHORT, "--out", folder)
    assert answer.code == 1
    assert answer.errors == [
        f"error: {number.name}: stopped between two rounds; --resume --out {folder} goes on"
    ]
    assert "round-" in " ".join(everything(folder / "checkpoints" / "simuparallel"))
    assert models(folder).keys() == {"sequential", "simuparallel"}
    assert models(folder)["simuparallel"] != whole.models["simuparallel"]
    again = done("run", *SHORT, "--out", folder, "--resume")
    assert "sequential: complete since an earlier run" in again.err
    assert "simuparallel: resumed after round " in again.err
    assert models(folder) == whole.models
    assert looks(folder, "simuparallel") == looks(whole.folder, "simuparallel")
    assert rows_done(folder) == rows_done(whole.folder)


def test_a_signal_restores_the_handlers_that_were_there(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signal_at(2, signal.SIGTERM):
        assert call("run", *SHORT, "--out", tmp_path / "x").code == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_clock_ends_a_run_with_0_and_resume_completes_it(
    long_models: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "x"
    with time_up_at(1000):
        answer = call("run", *LONG, "--out", folder, "--max-seconds", "86400")
    assert answer.code == 0
    assert f"note: stopped after 86400 s; --resume --out {folder} goes on" in answer.err
    assert not json.loads((folder / "scores.json").read_text())["simuparallel"]["complete"]
    done("run", *LONG, "--out", folder, "--resume")
    assert models(folder) == long_models


def test_a_run_goes_on_with_another_wire_which_changes_no_bit(
    long_models: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "x"
    with time_up_at(1000):
        assert call("run", *LONG, "--out", folder, "--max-seconds", "86400").code == 0
    sparse = settings(strategy__simuparallel__wire="sparse")
    answer = done("run", *LONG, *sparse, "--out", folder, "--resume")
    assert "simuparallel: resumed after round " in answer.err
    assert models(folder) == long_models


def test_no_time_at_all_runs_nothing_and_says_so(tmp_path: Path) -> None:
    answer = call("run", *SHORT, "--out", tmp_path / "x", "--max-seconds", "0")
    assert (answer.code, answer.out) == (0, "")
    assert "note: stopped after 0 s; " in answer.err


def test_resume_without_an_earlier_run_starts_one(whole: Whole, tmp_path: Path) -> None:
    done("run", *SHORT, "--out", tmp_path / "x", "--resume")
    assert models(tmp_path / "x") == whole.models


def test_resume_of_some_strategies_keeps_the_results_of_the_others(whole: Whole, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    done("run", *SHORT, "--out", folder)
    chosen = ["small", "--strategies", "wp", *settings(report__figures="false")]
    content = json.loads(done("run", *chosen, "--json", "--out", folder, "--resume").out)
    assert {entry["name"] for entry in content["strategies"]} == {*DETERMINISTIC, "wp"}
    assert rows_done(folder).items() >= rows_done(whole.folder).items()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (settings(model__alpha=0.01), "model.alpha was 0.001, now is 0.01"),
        (settings(machine__ranks=3, machine__speeds="[]"), "ranks was 2, now is 3"),
        (settings(strategy__minibatch__batch=9), "strategy.minibatch.batch was 8, now is 9"),
    ],
)  # fmt: skip
def test_resume_under_other_settings_names_them_and_changes_nothing(
    change: list[str], said: str, whole: Whole
) -> None:
    before = everything(whole.folder)
    answer = call("run", *SHORT, "--out", whole.folder, "--resume", *change)
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
    assert answer.errors[0].startswith(f"error: {whole.folder}: cannot go on: {said}; ")
    assert everything(whole.folder) == before


def test_other_settings_are_noticed_without_the_config_of_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    done("run", *SHORT, "--out", folder)
    (folder / "config.toml").write_text("spoiled")
    answer = call("run", *SHORT, "--out", folder, "--resume", *settings(model__alpha=0.01))
    assert answer.code == 1
    assert "sequential was trained under other settings" in answer.errors[0]


def test_a_damaged_newest_checkpoint_is_noted_and_the_one_before_is_used(
    long_models: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "x"
    often = settings(report__checkpoint_seconds=1e-9)
    with signal_at(6, signal.SIGTERM):
        call("run", *LONG, *often, "--out", folder)
    older, newest = sorted((folder / "checkpoints" / "simuparallel").iterdir())
    (newest / "shared.npz").write_bytes(b"half a checkpoint")
    answer = done("run", *LONG, "--out", folder, "--resume")
    notes = [line for line in answer.err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1
    assert notes[0].startswith(f"note: {newest}: damaged (shared.npz ")
    assert f"simuparallel: resumed after round {int(older.name.removeprefix('round-'))}" in answer.err
    assert models(folder) == long_models


def test_checkpoints_that_are_all_damaged_end_with_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    with signal_at(5, signal.SIGTERM):
        call("run", *SHORT, "--out", folder)
    for manifest in folder.glob("checkpoints/*/*/manifest.json"):
        manifest.write_text("{")
    answer = call("run", *SHORT, "--out", folder, "--resume")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert "no checkpoint can be read" in answer.errors[0]


def test_a_killed_run_goes_on_from_its_last_checkpoint(long_models: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "x"
    often = settings(report__checkpoint_seconds=0.2)
    process = start("run", *LONG, *often, "--out", folder)
    wait_until(lambda: list(folder.glob("checkpoints/simuparallel/round-*[0-9]")), process)
    process.send_signal(signal.SIGKILL)
    assert ended(process).code == -signal.SIGKILL
    assert models(folder) == {}
    answer = done("run", *LONG, "--out", folder, "--resume")
    assert "simuparallel: resumed after round " in answer.err
    assert models(folder) == long_models
    seen = looks(folder, "simuparallel")
    assert seen == [75.0 * number for number in range(1, 41)]
    assert set(rows_done(folder).values()) == {3000 * 20}


@pytest.mark.timeout(1800)
def test_runs_killed_at_any_moment_end_in_the_model_of_an_unbroken_run(
    long_models: dict[str, bytes], tmp_path: Path
) -> None:
    chance, counts = random.Random(KILL_SEED), Counter[str]()
    for number in range(soak.repetitions(2, 50)):
        folder = tmp_path / str(number)
        process = start("run", *LONG, *settings(report__checkpoint_seconds=0.1), "--out", folder)
        wait_until(lambda: (folder / "config.toml").exists(), process)  # noqa: B023 - called here and now
        time.sleep(chance.uniform(0.0, 1.5))
        process.kill()
        ended(process)
        counts[moment(folder)] += 1
        done("run", *LONG, "--out", folder, "--resume")
        assert models(folder) == long_models
    soak.keep("runs killed at a random moment and resumed", KILL_SEED, counts)


def moment(folder: Path) -> str:
    """When a run was killed, by what it left."""
    if models(folder):
        return "after the model was saved"
    saved = list(folder.glob("checkpoints/simuparallel/round-*[0-9]"))
    return "after a checkpoint" if saved else "before any checkpoint"


def test_processor_time_of_a_resumed_run_counts_from_its_start(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    with signal_at(2000, signal.SIGTERM):
        assert call("run", *LONG, "--out", folder).code == 1
    saved = [json.loads(str(state.own["runtime.totals"]))["cpu"] for state in newest(folder)]
    done("run", *LONG, "--out", folder, "--resume")
    _, events = trace.read(folder / "trace.jsonl")
    whole = [event["cpu"] for event in events if event["kind"] == "totals"]
    assert all(0.0 < before < after for before, after in zip(saved, whole, strict=True))


def newest(folder: Path) -> list[State]:
    """The states of both ranks in the newest checkpoint."""
    path = max((folder / "checkpoints" / "simuparallel").glob("round-*[0-9]"))
    manifest = json.loads((path / "manifest.json").read_text())
    found = latest(path.parent, manifest["fingerprint"])
    assert found is not None
    return [found.state(rank) for rank in range(2)]


def test_spans_of_a_resumed_run_follow_those_before_the_stop(whole: Whole, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    with signal_at(5, signal.SIGTERM):
        call("run", *SHORT, "--out", folder)
    done("run", *SHORT, "--out", folder, "--resume")
    _, events = trace.read(folder / "trace.jsonl")
    spans = [
        (e["start"], e["end"])
        for e in events
        if e["kind"] == "span" and e["rank"] == 0 and e["strategy"] == "sequential"
    ]
    assert all(later[0] >= earlier[1] - 1e-9 for earlier, later in pairwise(spans))
    assert len([e for e in events if e["kind"] == "totals" and e["strategy"] == "sequential"]) == 2


def test_ctrl_c_leaves_at_a_boundary(tmp_path: Path, long_models: dict[str, bytes]) -> None:
    folder = tmp_path / "x"
    process = start("run", *LONG, "--out", folder)
    wait_until(lambda: begun(folder, "simuparallel"), process)
    process.send_signal(signal.SIGINT)
    answer = ended(process)
    assert answer.code == 1
    assert "SIGINT: leaving after this round; Ctrl-C ends at once" in answer.err.splitlines()
    assert answer.errors == [f"error: SIGINT: stopped between two rounds; --resume --out {folder} goes on"]
    done("run", *LONG, "--out", folder, "--resume")
    assert models(folder) == long_models


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    endless = settings(strategy__sequential__period=10**9, report__figures="false")
    process = start("run", "small", "--strategies", "sequential", "--out", folder, *endless)
    wait_until(lambda: begun(folder, "sequential"), process)
    process.send_signal(signal.SIGINT)
    said = process.stderr
    assert said is not None
    while not said.readline().startswith("SIGINT: leaving after this round; Ctrl-C ends at once"):
        assert process.poll() is None
    time.sleep(2 * ECHO)  # later than a launcher would pass on the first
    process.send_signal(signal.SIGINT)
    answer = ended(process)  # the round that it was to leave after would last for minutes
    assert (answer.code, answer.out, answer.err) == (1, "", "interrupted\n")


def test_a_ctrl_c_that_the_launcher_passes_on_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("wpsgd.experiment.signals.time", SimpleNamespace(monotonic=lambda: now[0]))
    stop = Stop()
    with stop.listening():
        stop.training = True
        signal.raise_signal(signal.SIGINT)
        now[0] += 0.9 * ECHO
        signal.raise_signal(signal.SIGINT)
        assert stop()
        now[0] += 0.2 * ECHO
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_data_are_read_ends_quietly(tmp_path: Path) -> None:
    pipe = tmp_path / "rows.svm"
    os.mkfifo(pipe)
    process = start("run", "small", "--data", pipe, "--out", tmp_path / "x")
    writing = os.open(pipe, os.O_WRONLY)  # waits until the other side reads
    process.send_signal(signal.SIGINT)
    try:
        answer = ended(process)
    finally:
        os.close(writing)
    assert (answer.code, answer.out, answer.err) == (1, "", "interrupted\n")
    assert not (tmp_path / "x").exists()
