"""Bad data and bad disks: one line, the exit code, and what was there before is there afterwards."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
from command_line import call, done, everything, models, settings, write_rows

from wpsgd.data import catalog

ONE = ["small", "--strategies", "simuparallel", *settings(report__figures="false")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 1:0.5\n-1 1:0.5 2:x\n", ":2:12: value 'x' is not a number"),
        ("1 1:0.5\n-1 1:nan\n", ":2:6: value 'nan' is not finite"),
        ("1 1:0.5\n1 2:0.5\n1 1:1\n", "only one class (1), two are needed"),
        ("1 1:1\n-1 1:1\n2 1:1\n", "3 classes (-1, 1, 2)"),
        ("", "no rows in it"),
    ],
    ids=["malformed", "nan", "one label", "three labels", "empty"],
)
def test_bad_data_end_with_1_and_one_line(text: str, said: str, tmp_path: Path) -> None:
    data = tmp_path / "rows.svm"
    data.write_text(text)
    answer = call("run", *ONE, "--data", data, "--out", tmp_path / "x")
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
    assert answer.errors[0].startswith(f"error: {data}")
    assert said in answer.errors[0]
    assert not (tmp_path / "x").exists()


def test_a_run_tries_once_to_fetch_what_cannot_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def unreachable(*_: object, **__: object) -> None:
        tries.append(1)
        raise ConnectionError("no route to host")

    monkeypatch.setenv("WPSGD_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(catalog.pooch, "retrieve", unreachable)
    answer = done("run", *ONE, "--data", "real-sim", *settings(data__scale=0.01), "--out", tmp_path / "x")
    assert "could not be fetched (no network): its synthetic twin of the same shape stands in" in answer.err
    assert len(tries) == 1


def test_shards_of_one_label_train_all_the_same(tmp_path: Path) -> None:
    data = tmp_path / "sorted.svm"
    lines = sorted(write_rows(tmp_path / "rows.svm", 80).read_text().splitlines(), key=lambda line: line[0])
    data.write_text("\n".join(lines))
    contiguous = settings(data__sharding="contiguous", data__test="false", report__figures="false")
    content = json.loads(
        done("run", *ONE, *contiguous, "--data", data, "--json", "--out", tmp_path / "x").out
    )
    assert content["strategies"][0]["objective"] < 1.0


def test_a_data_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    answer = call("run", *ONE, "--data", tmp_path / "rows.svm", "--out", tmp_path / "x")
    assert (answer.code, answer.errors) == (1, [f"error: {tmp_path / 'rows.svm'}: no such file"])


def test_divergence_names_the_step_and_what_to_lower(tmp_path: Path) -> None:
    steps = settings(model__loss="squared_hinge", model__learning_rate="constant", model__eta0=100)
    far = [*steps, *settings(model__w0=1.7e308, report__looks=0)]
    answer = call("run", *ONE, *far, "--out", tmp_path / "x")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert "diverged at step " in answer.errors[0]
    assert "lower eta0 (now 100" in answer.errors[0]
    assert "diverged" in (tmp_path / "x" / "logs" / "rank-0.log").read_text()


def test_an_objective_out_of_range_is_null_in_json(tmp_path: Path) -> None:
    far = settings(model__w0=1e200, report__figures="false")
    answer = done("run", "small", "--strategies", "sequential", *far, "--json", "--out", tmp_path / "x")
    result = json.loads(answer.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert result["strategies"][0]["objective"] is None
    assert result["strategies"][0]["objective_after_line_search"] <= 1.0


def test_a_run_that_ends_worse_than_it_began_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    # long rows whose labels are noise
    data, rng = tmp_path / "rows.svm", np.random.default_rng(3)
    lines = [f"{2 * (i % 2) - 1} 1:{100.0 * rng.normal()} 2:{100.0 * rng.normal()}" for i in range(60)]
    data.write_text("\n".join(lines))
    more = settings(
        data__unit_norm="false", data__test="false", model__learning_rate="constant", report__figures="false"
    )
    run = ["run", "small", "--strategies", "sequential,wp", *more, "--data", data, "--json"]
    answer = call(*run, "--out", tmp_path / "x", *settings(model__eta0=100))
    assert answer.code == 1
    assert len(answer.errors) >= 1
    content = json.loads(answer.out)["strategies"]
    worse = [one for one in content if one["objective"] > one["start_objective"] == 1.0]
    assert [line.split(":")[1].strip() for line in answer.errors] == [one["name"] for one in worse]
    for line, one in zip(answer.errors, worse, strict=True):
        assert f"ended at objective {one['objective']:.6g}, above 1 where it began: lower eta0" in line
    assert set(models(tmp_path / "x")) == {"sequential", "wp"}
    again = call(*run, "--out", tmp_path / "x", *settings(model__eta0=100), "--resume")
    assert (again.code, again.errors) == (1, answer.errors)
    better = call(*run, "--out", tmp_path / "y", *settings(model__eta0=1e-9))
    assert (better.code, better.errors) == (0, [])
    far = call(*run, "--out", tmp_path / "z", *settings(model__eta0=100, model__w0=1e5))
    assert (far.code, far.errors) == (0, [])  # from where it began it only came nearer


@pytest.mark.parametrize("strategy", ["sequential", "minibatch", "simuparallel"])
def test_squared_hinge_on_rows_of_any_length_ends_below_its_start(strategy: str, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.svm", 80)
    more = settings(model__loss="squared_hinge", data__unit_norm="false", report__figures="false")
    run = ["run", "small", "--strategies", strategy, "--data", data, "--json", *more]
    (answer,) = json.loads(done(*run, "--out", tmp_path / "x").out)["strategies"]
    assert answer["start_objective"] == 1.0
    assert answer["objective"] < 0.8


def test_more_ranks_than_rows_train_all_the_same(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.svm", 3)
    many = settings(machine__ranks=5, machine__speeds="[]", data__test="false", report__figures="false")
    content = json.loads(done("run", "small", "--data", data, "--json", "--out", tmp_path / "x", *many).out)
    for strategy in content["strategies"]:
        assert sum(rank["rows"] == 0 for rank in strategy["per_rank"]) >= 2
        assert strategy["accuracy"] is None
        assert strategy["objective"] > 0.0


def full(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("target", ["models/simuparallel.npz", "scores.json", "trace.jsonl", "results.json"])
def test_a_full_disk_is_one_line_and_earlier_files_stay(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, replace = tmp_path / "x", os.replace
    done("run", "small", "--strategies", "sequential", "--out", folder, *settings(report__figures="false"))
    before = everything(folder)

    def replaced(source: Any, to: Any) -> None:
        full() if str(to) == str(folder / target) else replace(source, to)

    monkeypatch.setattr(os, "replace", replaced)
    answer = call("run", *ONE, "--resume", "--out", folder)
    assert answer.code == 1
    assert answer.errors == [f"error: {folder / target}: cannot be written (No space left on device)"]
    after = everything(folder)
    kept = {target, "models/sequential.npz"} & before.keys()
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert not [name for name in after if name.endswith(".part")]
    monkeypatch.undo()
    done("run", *ONE, "--resume", "--out", folder)
    assert models(folder).keys() == {"sequential", "simuparallel"}


def test_a_disk_that_is_full_at_a_checkpoint_keeps_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, sync, calls = tmp_path / "x", os.fsync, 0
    often = settings(report__checkpoint_seconds=1e-9)
    whole = tmp_path / "whole"
    done("run", *ONE, "--out", whole)

    def synced(file: int) -> None:
        nonlocal calls
        calls += 1
        full() if calls > 10 else sync(file)  # four files a checkpoint: the third is cut short

    monkeypatch.setattr(os, "fsync", synced)
    answer = call("run", *ONE, *often, "--out", folder)
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert "cannot be written (No space left on device); the checkpoint before it is kept" in answer.errors[0]
    monkeypatch.undo()
    again = done("run", *ONE, "--resume", "--out", folder)
    assert "simuparallel: resumed after round 2" in again.err
    assert models(folder) == models(whole)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_results_that_nobody_can_take_are_one_line() -> None:
    command = [sys.executable, "-m", "wpsgd.experiment", "data", "list"]
    with open("/dev/full", "w") as nowhere:
        ended = subprocess.run(
            command, stdout=nowhere, stderr=subprocess.PIPE, text=True, env=support.environment(), check=False
        )
    assert (ended.returncode, ended.stderr) == (1, "error: output: No space left on device\n")


def test_a_reader_that_leaves_early_is_no_error_to_talk_about() -> None:
    command = [sys.executable, "-m", "wpsgd.experiment", "data", "list", "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=support.environment(), **pipes) as process:
        process.stdout.close()  # type: ignore[union-attr]
        assert process.stderr.read() == ""  # type: ignore[union-attr]
    assert process.returncode == 1


def test_an_error_that_nobody_foresaw_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("wpsgd.experiment.study.make_learner", broken)
    answer = call("run", *ONE, "--out", tmp_path / "x")
    assert answer.code == 1
    assert answer.err.count("Traceback") == 1
    assert "ZeroDivisionError: a mistake of ours" in (tmp_path / "x" / "logs" / "rank-0.log").read_text()
