"""Commands whose rows come through a pipe answer as they do for the file: nobody hangs, nothing is empty."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import support
from command_line import Answer, call, done, settings, spawn, write_rows

from wpsgd import WPSGDClassifier

QUICK = settings(report__figures="false", report__looks=2, model__seed=3, machine__ranks=2)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.svm", 300)


@pytest.fixture(scope="module")
def model(rows: Path) -> Path:
    path = rows.with_name("model.npz")
    WPSGDClassifier(random_state=0).fit(rows).save(path)
    return path


def through_stdin(content: bytes, *arguments: object) -> Answer:
    with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(content))):
        return call(*arguments)


def through_fifo(content: bytes, folder: Path, command: Callable[[Path], Answer]) -> Answer:
    pipe = folder / "rows.svm"  # the file's name, so that answers are the file's to the letter
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(content), daemon=True)
    writer.start()
    return command(pipe)


def read_by(command: str, model: Path, source: object, folder: Path) -> list[object]:
    if command in ("score", "predict"):
        return [command, model, source]
    return ["data", "info", source] if command == "info" else ["data", "convert", source, folder / "store"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("command", ["score", "predict", "info", "convert"])
def test_a_pipe_gives_the_answer_of_the_file(
    tmp_path: Path, rows: Path, model: Path, command: str, packed: bool
) -> None:
    expected = done(*read_by(command, model, rows, tmp_path)).out
    content = gzip.compress(rows.read_bytes()) if packed else rows.read_bytes()
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
    answers = [
        through_stdin(content, *read_by(command, model, "-", places[0])),
        through_fifo(content, places[1], lambda pipe: call(*read_by(command, model, pipe, places[1]))),
    ]
    names = [str(places[0]), str(places[1]), str(tmp_path)]
    for answer in answers:
        assert (answer.code, answer.err) == (0, "")
        found = answer.out
        for name in names:
            found, expected = found.replace(name, ""), expected.replace(name, "")
        assert (
            found.replace("name              -", "name              rows.svm").splitlines()[-1:]
            == (expected.splitlines()[-1:])
        )
        assert len(found.splitlines()) == len(expected.splitlines())


def test_a_run_on_threads_trains_on_what_is_piped_in(tmp_path: Path, rows: Path) -> None:
    common = ["--strategies", "simuparallel", *QUICK, "--json"]
    expected = json.loads(done("run", "small", "--data", rows, "--out", tmp_path / "a", *common).out)
    piped = through_stdin(rows.read_bytes(), "run", "small", "--data", "-", "--out", tmp_path / "b", *common)
    assert piped.code == 0, piped
    found = json.loads(piped.out)
    assert found["data"]["rows"] == expected["data"]["rows"]
    one, two = (np.load(tmp_path / name / "models" / "simuparallel.npz") for name in "ab")
    assert np.array_equal(one["weights"], two["weights"])


@pytest.mark.mpi
def test_several_ranks_refuse_a_pipe_in_one_line(tmp_path: Path) -> None:
    answer = spawn("run", "small", "--data", "-", "--out", tmp_path / "run", ranks=2)
    assert answer.code == 1
    assert answer.errors == [
        "error: -: is a pipe, which can be read once, and 2 ranks are to read it: write it to a file first"
    ]


def test_a_pipe_that_two_need_is_refused(tmp_path: Path, rows: Path) -> None:
    answer = through_stdin(
        rows.read_bytes(), "run", "small", "--data", "-", "--set", "data.test=-", "--out", tmp_path / "run"
    )
    assert answer.code == 2
    assert answer.errors == ["error: -: is a pipe, which can be read once, and is named twice: name a file"]


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="process substitution is bash's")
def test_a_shells_process_substitution_is_read(rows: Path) -> None:
    command = f"{sys.executable} -m wpsgd.experiment data info --json <(gzip -c {rows})"
    answer = subprocess.run(
        ["/bin/bash", "-c", command], capture_output=True, text=True, env=support.environment(), timeout=120
    )
    assert json.loads(answer.stdout)["rows"] == 300, answer


def test_indices_are_sorted_by_commands_that_are_asked_to(tmp_path: Path) -> None:
    path = tmp_path / "a.svm"
    path.write_text("1 3:1 1:2\n-1 2:1\n")
    refused = call("data", "info", path)
    assert refused.code == 1
    assert "wpsgd data convert --sort-indices" in refused.errors[0]
    assert json.loads(done("data", "info", path, "--sort-indices", "--json").out)["nonzeros"] == 3
    done("data", "convert", path, tmp_path / "store", "--sort-indices")
    assert json.loads(done("data", "info", tmp_path / "store", "--json").out)["nonzeros"] == 3
