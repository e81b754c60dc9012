"""The memory of a run: predicted, limited, measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import Answer, call, done, settings, spawn, write_rows

from wpsgd import control_groups
from wpsgd.config import DataSettings, ModelSettings, Settings, load
from wpsgd.config.reading import settings_of
from wpsgd.data.load import load as load_data
from wpsgd.experiment import memory, resident
from wpsgd.experiment.extent import Extent, extent_of, foreseen
from wpsgd.experiment.memory import predict

MIB = 1 << 20
QUIET = settings(report__looks=1, report__figures="false", machine__speeds="[]", machine__ranks=2)


def told(answer: Answer) -> tuple[dict[str, float], dict[str, float]]:
    assert answer.code == 0, answer
    content = json.loads(answer.out)["memory"]
    return content["predicted"], content["measured"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 250,000 rows and 600,000 columns: 110 MiB."""
    folder = tmp_path_factory.mktemp("wide") / "store"
    done("data", "generate", "kdd2010-twin", folder, "--store", "--dtype", "float32", "--scale", "0.04")
    return folder


@pytest.mark.mpi
def test_what_two_ranks_take_of_a_store_is_what_was_predicted(wide: Path, tmp_path: Path) -> None:
    narrow = settings(model__dtype="float32", data__unit_norm="true", strategy__wp__rounds=2)
    run = ("run", "small", "--strategies", "wp", *QUIET, *narrow, "--json")
    small = told(spawn(*run, "--out", tmp_path / "small", ranks=2))[1]
    predicted, measured = told(spawn(*run, "--data", wide, "--out", tmp_path / "wide", ranks=2))
    # both without what interpreters take: it would hide the rest, and others here may share their libraries
    grown = measured["total"] - small["total"]
    foretold = predicted["total"] - 2 * memory.PROCESS - memory.LIBRARIES
    assert grown > 100 * MIB
    assert foretold == pytest.approx(grown, rel=0.2)


def test_ranks_share_the_pages_of_a_store_and_no_others(wide: Path) -> None:
    data = DataSettings(source=str(wide), test=None)
    study = replace(load("small"), data=data, model=ModelSettings(dtype="float32"))
    extent = foreseen(data, study.model)
    assert extent is not None
    two, four = (predict(study, extent, ranks, ranks) for ranks in (2, 4))
    assert two.shared == four.shared == memory.LIBRARIES + extent.mapped
    assert extent.mapped == pytest.approx(sum(f.stat().st_size for f in wide.glob("*.npy")), rel=0.03)
    text = replace(extent, mapped=0, loaded=extent.mapped, loading=2 * extent.mapped)
    assert predict(study, text, 4, 4).total > predict(study, text, 2, 2).total + 2 * extent.mapped


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_foreseen_of_a_store_is_what_is_read(wide: Path, dtype: str) -> None:
    data, model = DataSettings(source=str(wide), test=0.2), ModelSettings(dtype=dtype)
    before = foreseen(data, model)
    after = extent_of(load_data(wide, test=0.2, unit_norm=True, dtype=dtype))
    assert before is not None
    assert (before.rows, before.test, before.features, before.nonzeros) == (
        after.rows,
        after.test,
        after.features,
        after.nonzeros,
    )
    assert before.loaded == pytest.approx(after.loaded, rel=0.01)


@pytest.mark.parametrize(("suffix", "roughly"), [("svm", 1.2), ("svm.gz", 2.5)])
def test_what_is_foreseen_of_a_text_is_roughly_what_is_read(
    tmp_path: Path, suffix: str, roughly: float
) -> None:
    path = tmp_path / f"rows.{suffix}"
    done("data", "generate", "real-sim-twin", path, "--scale", "0.05")
    before = foreseen(DataSettings(source=str(path)), ModelSettings())
    after = extent_of(load_data(path, test=0.2))
    assert before is not None
    assert before.features == pytest.approx(after.features, rel=0.05)
    for name in ("rows", "nonzeros", "loaded"):
        assert 1 / roughly < getattr(before, name) / getattr(after, name) < roughly, name


@pytest.mark.parametrize("end", ["\n", ""])
def test_the_last_line_of_a_short_text_counts_too(tmp_path: Path, end: str) -> None:
    path = tmp_path / "rows.svm"
    path.write_text("+1 1:1\n-1 2:1\n+1 1:1 300000:1" + end)
    before, after = foreseen(DataSettings(source=str(path)), ModelSettings()), extent_of(load_data(path))
    assert before is not None
    assert (before.rows, before.features, before.nonzeros) == (after.rows, after.features, after.nonzeros)


def test_a_twin_is_foreseen_without_making_it() -> None:
    before = foreseen(DataSettings(source="real-sim-twin", scale=0.1), ModelSettings())
    after = extent_of(load_data("real-sim-twin", scale=0.1, test=0.2))
    assert before is not None
    assert before.nonzeros == pytest.approx(after.nonzeros, rel=0.03)
    assert before.loaded == pytest.approx(after.loaded, rel=0.03)


def predicted_of(study: Settings, **model: object) -> int:
    changed = replace(study, model=study.model.model_copy(update=model))
    return predict(changed, known(study), 2, 2).total


def known(study: Settings) -> Extent:
    extent = foreseen(DataSettings(source="kdd2010-twin", scale=0.5), study.model)
    assert extent is not None
    return replace(extent, loading=extent.loaded)


def test_each_thing_that_a_rank_holds_counts() -> None:
    study = load("small", strategies=["simuparallel"], overrides=['strategy.simuparallel.wire="dense"'])
    plain = predicted_of(study)
    width = 10_108_415
    asking = replace(study, report=study.report.model_copy(update={"counterfactual": True}))
    assert predicted_of(asking) > plain + 2 * 4 * 8 * width  # margins besides
    together = [predict(each, known(each), 2, None).total for each in (study, asking)]
    assert together[1] > together[0] + 2 * (4 + 7) * 8 * width
    # the start model of rounds that might be sparse
    start = 8 * (width + 1)
    assert predicted_of(load("small", strategies=["simuparallel"])) == plain + 2 * start
    # where they are the columns that were seen, their numbers, and pairs of both ranks, twice
    short = load("small", strategies=["simuparallel"], overrides=["strategy.simuparallel.period=1000"])
    pairs = width + 36_349 * (8 + 2 * 2 * 12)
    assert predicted_of(short) == pytest.approx(plain + 2 * (start + pairs), rel=1e-5)
    assert predicted_of(study, learning_rate="adagrad") == plain + 2 * 24 * width
    steps = [
        predicted_of(load("small", strategies=["minibatch"], overrides=[f'strategy.minibatch.wire="{wire}"']))
        for wire in ("dense", "auto", "sparse")
    ]
    # a gradient; pairs of 8 rows of some 36 entries, and those of both ranks, twice
    assert steps[0] == plain + 2 * 8 * (width + 2)
    assert steps[1] == steps[2] == pytest.approx(steps[0] + 2 * 5 * 12 * (8 * 36.35 + 2), abs=200)
    for keys, vectors in (('contraction="validated"', 3), ("outer_momentum=0.5", 5)):
        more = load("small", strategies=["wp"], overrides=['strategy.wp.wire="dense"', f"strategy.wp.{keys}"])
        assert predicted_of(more) == plain + 2 * vectors * 8 * (width + 1), keys
    assert predicted_of(study, dtype="float32") < plain - 2 * 2 * 4 * width


@pytest.mark.parametrize("name", ["delay", "hybrid"])
def test_late_decay_takes_a_vector_for_each_step_of_delay(name: str) -> None:
    entry = {"name": name, "delay": 20} | ({"wire": "dense"} if name == "hybrid" else {})
    model = {"learning_rate": "constant", "eta0": 0.1}
    fresh, late = (
        settings_of({"data": {"source": "x"}, "model": model, "strategy": [entry | more]}, "tests")
        for more in ({}, {"stale_decay": True})
    )
    grown = late.strategies[0].extra_bytes(1000, 8) - fresh.strategies[0].extra_bytes(1000, 8)
    assert grown == 21 * 8 * 1000


def test_a_rank_holds_a_permuted_copy_of_its_rows() -> None:
    study = load("small", strategies=["sequential"])
    train = load_data("breast-cancer", test=0.2).train
    extent = replace(extent_of(load_data("breast-cancer", test=0.2)), test=0, rows=len(train))
    first, second = predict(study, replace(extent, nonzeros=train.nonzeros), 2, 2).per_rank
    arrays = (train.indptr, train.indices, train.values, train.labels)
    assert first - second == pytest.approx(sum(a.nbytes for a in arrays) + 17 * len(train), rel=0.01)


def test_more_than_this_host_has_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wpsgd.experiment.memory.limit_bytes", lambda: 200 * MIB)
    monkeypatch.setattr("wpsgd.experiment.study.load", lambda *_, **__: pytest.fail("the data were read"))
    answer = call("run", "small", "--data", "real-sim-twin", "--out", tmp_path / "x")
    said = (
        "error: real-sim-twin: some 0.3 GiB (one process, 0.1 GiB of files shared) would be needed, this host"
        " has 0.2 GiB: convert it once"
    )
    assert (answer.code, answer.out, len(answer.errors)) == (1, "", 1)
    assert answer.errors[0].startswith(said)


def test_a_store_that_will_not_stay_in_memory_is_a_note(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wpsgd.experiment.memory.limit_bytes", lambda: 300 * MIB)
    answer = done(
        "run",
        "small",
        "--strategies",
        "wp",
        *QUIET,
        "--data",
        wide,
        "--dry-run",
        *settings(model__dtype="float32"),
    )
    assert answer.err.count("is read from disk again and again") == 1
    findings = json.loads(
        done("doctor", "small", "--data", wide, *settings(model__dtype="float32"), "--json").out
    )["findings"]
    assert findings[-1]["level"] == "warning"


def test_doctor_says_what_a_study_takes_of_as_many_ranks_as_are_asked_for(wide: Path) -> None:
    asked = ("doctor", "small", "--data", wide, *settings(model__dtype="float32"))
    two, eight = (
        json.loads(done(*asked, "--ranks", ranks, "--json").out)["findings"][-1]["what"] for ranks in (2, 8)
    )
    assert "2 processes of up to 0.2 GiB, 0.2 GiB of files shared" in two
    assert "8 processes" in eight


def test_doctor_finds_an_error_where_a_study_will_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wpsgd.experiment.memory.limit_bytes", lambda: 200 * MIB)
    answer = call("doctor", "small", "--data", "kdd2010-twin")
    assert answer.code == 1
    assert answer.out.splitlines()[-1].startswith("error    study: kdd2010-twin: some ")
    assert "would be needed, this host has 0.2 GiB" in answer.out


def test_memory_that_is_taken_is_seen() -> None:
    before = resident.resident()
    taken = np.ones(24 * MIB)
    assert resident.resident().private >= before.private
    assert resident.resident().private > taken.nbytes


@pytest.mark.parametrize(
    ("line", "file"),
    [("0::/a/b", "a/memory.max"), ("4:cpu,memory:/a/b", "memory/a/memory.limit_in_bytes")],
)
def test_the_limit_is_the_least_of_the_groups_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, file: str
) -> None:
    monkeypatch.setattr(control_groups, "OWN", tmp_path / "cgroup")
    monkeypatch.setattr(control_groups, "ROOT", tmp_path)
    (tmp_path / "cgroup").write_text(f"9:name=systemd:/\n{line}\n")
    assert resident.limit_bytes() == resident.physical_bytes()
    path = tmp_path / file
    (path.parent / "b").mkdir(parents=True)
    (path.parent / "b" / path.name).write_text("max\n")
    path.write_text(f"{3 * MIB}\n")
    assert resident.limit_bytes() == 3 * MIB


def test_rows_of_a_file_that_is_not_there_are_left_to_who_reads_them(tmp_path: Path) -> None:
    assert foreseen(DataSettings(source=str(tmp_path / "none")), ModelSettings()) is None
    assert (
        foreseen(DataSettings(source=str(write_rows(tmp_path / "rows.svm", 20))), ModelSettings()) is not None
    )


@pytest.mark.mpi
def test_a_study_that_doctor_cannot_read_is_one_line_of_all_ranks() -> None:
    answer = spawn("doctor", "nowhere.toml", ranks=2)
    assert answer.code == 2
    assert len(answer.errors) == 1
    assert "Abort" not in answer.out + answer.err
