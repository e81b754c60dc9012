"""The commands data list, info, fetch and generate."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import call, done, everything

from wpsgd.data import catalog
from wpsgd.data.load import load

TWIN = ("data", "generate", "real-sim-twin")


def test_list_names_every_data_set() -> None:
    lines = done("data", "list").out.splitlines()
    entries = json.loads(done("data", "list", "--json").out)["data"]
    assert [entry["name"] for entry in entries] == list(catalog.names())
    for entry in entries:
        line = next(line for line in lines if line.split()[:1] == [entry["name"]])
        assert line.split()[1:4] == [f"{entry[key]:,}" for key in ("rows", "features", "nonzeros")]


def test_what_is_generated_is_what_info_finds(tmp_path: Path) -> None:
    path = tmp_path / "twin.svm.gz"
    made = json.loads(done(*TWIN, path, "--scale", "0.02", "--seed", "7", "--json").out)
    found = json.loads(done("data", "info", path, "--json").out)
    expected = load("real-sim-twin", scale=0.02, seed=7).train
    assert (found["rows"], found["nonzeros"]) == (made["rows"], made["nonzeros"])
    assert (made["rows"], made["features"], made["nonzeros"]) == (
        len(expected),
        expected.features,
        expected.nonzeros,
    )
    assert found["positive_share"] == pytest.approx(np.mean(expected.labels > 0))
    assert gzip.decompress(path.read_bytes()).count(b"\n") == len(expected)
    assert len(np.load(tmp_path / "twin.svm.gz.truth.npy")) == expected.features
    printed = done("data", "info", path).out.splitlines()
    assert ["rows", f"{made['rows']:,}"] in [line.split() for line in printed]


def test_generate_repeats_with_the_seed_and_replaces_only_with_force(tmp_path: Path) -> None:
    path = tmp_path / "twin.svm"
    done(*TWIN, path, "--scale", "0.01", "--seed", "1")
    before = everything(tmp_path)
    answer = call(*TWIN, path, "--scale", "0.01", "--seed", "2")
    assert answer.code == 2
    assert answer.errors == [f"error: {path}: is there already; --force replaces it"]
    assert everything(tmp_path) == before
    done(*TWIN, path, "--scale", "0.01", "--seed", "2", "--force")
    assert everything(tmp_path)["twin.svm"] != before["twin.svm"]
    done(*TWIN, path, "--scale", "0.01", "--seed", "1", "--force")
    assert everything(tmp_path) == before


def test_weights_that_are_there_are_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "twin.svm.truth.npy").write_bytes(b"precious")
    assert call(*TWIN, tmp_path / "twin.svm", "--scale", "0.01").code == 2
    assert everything(tmp_path) == {"twin.svm.truth.npy": b"precious"}


def test_only_twins_are_generated(tmp_path: Path) -> None:
    answer = call("data", "generate", "real-sim-twn", tmp_path / "x.svm")
    assert answer.code == 2
    assert answer.errors[0].endswith("did you mean 'real-sim-twin'?")
    assert everything(tmp_path) == {}


def test_generate_into_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    answer = call(*TWIN, tmp_path / "none" / "x.svm", "--scale", "0.01")
    assert (answer.code, len(answer.err.splitlines())) == (1, 1)
    assert "cannot be written: no such file or directory" in answer.errors[0]


def test_fetch_without_a_network_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setenv("WPSGD_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(catalog.pooch, "retrieve", unreachable)
    answer = call("data", "fetch", "real-sim")
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
    assert answer.errors[0].startswith("error: real-sim could not be fetched (no network): http")


def test_fetch_says_where_the_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def retrieved(url: str, fname: str, path: Path, **_: object) -> None:
        (path / fname).write_bytes(b"BZh9")

    monkeypatch.setenv("WPSGD_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(catalog.pooch, "retrieve", retrieved)
    printed = done("data", "fetch", "real-sim").out
    (path,) = tmp_path.iterdir()
    assert printed == f"{path}\n"
    assert json.loads(done("data", "fetch", "real-sim", "--json").out) == {"train": str(path)}


@pytest.mark.parametrize("command", ["info", "fetch"])
def test_unknown_names_come_with_their_neighbours(command: str) -> None:
    answer = call("data", command, "real-sin")
    assert answer.code == 1
    assert "did you mean 'real-sim'?" in answer.errors[0]


def test_a_twin_becomes_a_folder_that_trains(tmp_path: Path) -> None:
    folder, make = tmp_path / "twin", (*TWIN, tmp_path / "twin", "--store", "--scale", "0.01")
    made = json.loads(done(*make, "--dtype", "float32", "--json").out)
    found = json.loads(done("data", "info", folder, "--json").out)
    assert {key: found[key] for key in ("rows", "features", "nonzeros")} == {
        key: made[key] for key in ("rows", "features", "nonzeros")
    }
    assert len(np.load(tmp_path / "twin.truth.npy")) == made["features"]
    before = everything(tmp_path)
    assert call(*make).errors == [f"error: {folder}: is there already; --force replaces it"]
    assert everything(tmp_path) == before


def test_only_a_folder_is_replaced_by_a_folder_and_a_file_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious").write_text("precious")
    before = everything(tmp_path)
    small = ("--scale", "0.01", "--force")
    assert "is a file" in call(*TWIN, tmp_path / "file", "--store", *small).errors[0]
    assert "no converted folder" in call(*TWIN, tmp_path / "folder", "--store", *small).errors[0]
    assert "is a folder" in call(*TWIN, tmp_path / "folder", *small).errors[0]
    assert "for --store" in call(*TWIN, tmp_path / "x.svm", "--dtype", "float32", *small).errors[0]
    assert "float16" in call(*TWIN, tmp_path / "x", "--store", "--dtype", "float16", *small).errors[0]
    assert everything(tmp_path) == before
