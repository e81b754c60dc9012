"""The commands score and predict against the functions they stand for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import call, done, settings, write_rows

from wpsgd import evaluate
from wpsgd.data.svmlight import read_svmlight
from wpsgd.export import Model, load_model


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 6 features, trained on rows of unit length."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_rows(folder / "train.svm", 80)
    chosen = ["--data", data, "--strategies", "wp", "--out", folder / "run"]
    done("run", "small", *chosen, *settings(report__figures="false", strategy__wp__ending="rows"))
    return folder / "run" / "models" / "wp.npz"


def by_hand(model: Model, data: Path) -> np.ndarray:
    """Decision values without the package's reader, rows or kernels."""
    weights = dict(enumerate(model.weights.tolist(), start=1))
    values = []
    for line in data.read_text().splitlines():
        x = {int(index): float(value) for index, value in (pair.split(":") for pair in line.split()[1:])}
        norm = sum(value * value for value in x.values()) ** 0.5 if model.unit_norm else 1.0
        values.append(sum(weights.get(i, 0.0) * value for i, value in x.items()) / norm + model.intercept)
    return np.array(values)


def values_of(model: Path, data: Path) -> list[float]:
    return [float(line) for line in done("predict", model, data, "--output", "values").out.splitlines()]


def test_predict_prints_values_that_read_back_to_the_bit_and_labels_by_their_sign(
    model_file: Path, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "new.svm", 40, seed=3)
    model = load_model(model_file)
    rows = read_svmlight(data).unit_norm()
    direct = evaluate.decision_values(model.vector, rows)
    assert values_of(model_file, data) == direct.tolist()
    labels = [1 if value > 0 else -1 for value in by_hand(model, data)]
    assert [int(line) for line in done("predict", model_file, data).out.splitlines()] == labels
    np.testing.assert_allclose(direct, by_hand(model, data), rtol=1e-12, atol=1e-14)
    content = json.loads(done("predict", model_file, data, "--json").out)
    assert content == {"rows": 40, "classes": [-1, 1], "labels": labels, "values": direct.tolist()}


def test_columns_that_the_model_does_not_know_count_nothing(model_file: Path, tmp_path: Path) -> None:
    wide = write_rows(tmp_path / "wide.svm", 30, features=9, seed=4)
    model = load_model(model_file)
    assert len(model.weights) == 6
    np.testing.assert_allclose(values_of(model_file, wide), by_hand(model, wide), rtol=1e-12, atol=1e-14)


def test_rows_narrower_than_the_model_are_scored(model_file: Path, tmp_path: Path) -> None:
    narrow = write_rows(tmp_path / "narrow.svm", 30, features=2, seed=4)
    values = values_of(model_file, narrow)
    np.testing.assert_allclose(values, by_hand(load_model(model_file), narrow), rtol=1e-12, atol=1e-14)


def test_score_gives_what_the_functions_give(model_file: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "test.svm", 50, seed=5)
    model, rows = load_model(model_file), read_svmlight(data).unit_norm()
    content = json.loads(done("score", model_file, data, "--json").out)
    labels = np.array([float(line.split()[0]) for line in data.read_text().splitlines()])
    assert content == {
        "rows": 50,
        "accuracy": pytest.approx(np.mean((by_hand(model, data) > 0) == (labels > 0))),
        "auc": evaluate.auc(model.vector, rows),
        "objective": evaluate.objective(model.vector, rows, loss=model.loss, alpha=model.alpha),
    }
    printed = [line.split() for line in done("score", model_file, data).out.splitlines()]
    assert {name: float(value) for name, value in printed} == content


def test_unit_length_is_part_of_the_model(model_file: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.svm", 30, seed=6)
    longer = tmp_path / "longer.svm"
    scaled = []
    for line in data.read_text().splitlines():
        label, *pairs = line.split()
        scaled.append(" ".join([label, *(f"{i}:{8 * float(v)!r}" for i, v in (p.split(":") for p in pairs))]))
    longer.write_text("\n".join(scaled))
    assert values_of(model_file, longer) == values_of(model_file, data)


def test_labels_of_the_training_decide_which_class_is_positive(tmp_path: Path) -> None:
    data = tmp_path / "three.svm"
    rng = np.random.default_rng(0)
    data.write_text("".join(f"{n % 3} 1:{rng.normal() + n % 3!r} 2:1\n" for n in range(60)))
    train = ["--data", data, "--strategies", "sequential", "--out", tmp_path / "run"]
    done("run", "small", *train, *settings(data__positive="[0.0,2.0]", report__figures="false"))
    model = tmp_path / "run" / "models" / "sequential.npz"
    content = json.loads(done("score", model, data, "--json").out)
    rows = read_svmlight(data, positive=[0.0, 2.0]).unit_norm()
    assert content["accuracy"] == evaluate.accuracy(load_model(model).vector, rows)
    other = json.loads(done("score", model, data, "--positive", "1", "--json").out)
    assert other["accuracy"] == pytest.approx(1.0 - content["accuracy"])


def test_a_model_of_zero_based_rows_reads_files_without_an_index_0(tmp_path: Path) -> None:
    data, later = tmp_path / "rows.svm", tmp_path / "later.svm"
    # column 0 and column 1 say opposite things: taking one for the other turns every answer around
    data.write_text("1 0:1\n-1 1:1\n" * 30)
    later.write_text("-1 1:1\n")
    train = ["--data", data, "--strategies", "sequential", "--out", tmp_path / "run"]
    done("run", "small", *train, *settings(report__figures="false"))
    assert values_of(tmp_path / "run" / "models" / "sequential.npz", later)[0] < 0.0


def test_models_and_data_that_cannot_be_read_are_named(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("1 1:1\n")
    for command in ("score", "predict"):
        for arguments, said in (
            ([tmp_path / "none.npz", tmp_path / "text"], "none.npz: no such model file"),
            ([tmp_path / "text", tmp_path / "text"], "text: not a wpsgd model"),
            ([model_file, tmp_path / "none.svm"], "none.svm: cannot be read: no such file"),
        ):
            answer = call(command, *arguments)
            assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
            assert said in answer.errors[0]
