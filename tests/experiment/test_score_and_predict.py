"""The commands score and predict against the functions they stand for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import call, done, settings, write_rows

from wpsgd import WPSGDClassifier, evaluate
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
    done(
        "run",
        "small",
        *train,
        *settings(data__positive="[0.0,2.0]", report__figures="false", model__alpha=0.1),
    )
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


def lines(path: Path, labels: list[float], seed: int = 0) -> Path:
    """Rows with these labels, which say a little of the values."""
    rng = np.random.default_rng(seed)
    rows = [(f"{y:g}", rng.normal(size=4) + (0.8 if y in (1, 3) else -0.8)) for y in labels]
    path.write_text(
        "".join(f"{y} " + " ".join(f"{j + 1}:{v:.4f}" for j, v in enumerate(x)) + "\n" for y, x in rows)
    )
    return path


def score_of(*arguments: object) -> dict[str, float | None]:
    content: dict[str, float | None] = json.loads(done("score", *arguments, "--json").out)
    return content


@pytest.fixture(scope="module")
def of_four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's model of labels 1 to 4, of which 1 and 3 are +1."""
    folder = tmp_path_factory.mktemp("four")
    data = lines(folder / "four.svm", [1, 2, 3, 4] * 40)
    train = ["--data", data, "--strategies", "sequential", "--out", folder / "run"]
    done("run", "small", *train, *settings(data__positive="[1.0,3.0]", report__figures="false"))
    return folder / "run" / "models" / "sequential.npz"


@pytest.mark.parametrize("labels", [[1.0] * 9, [2.0] * 9, [1.0, 2.0, 4.0] * 5])
def test_a_file_without_some_of_the_classes_is_scored_by_those_of_the_training(
    of_four: Path, tmp_path: Path, labels: list[float]
) -> None:
    data = lines(tmp_path / "slice.svm", labels, seed=2)
    right = (by_hand(load_model(of_four), data) > 0) == np.isin(labels, [1.0, 3.0])
    found = score_of(of_four, data)
    assert found["accuracy"] == pytest.approx(np.mean(right))
    assert (found["auc"] is None) == (len(set(labels)) == 1)
    predicted = done("predict", of_four, data)
    assert predicted.out.split() == [
        "1" if value > 0 else "-1" for value in by_hand(load_model(of_four), data)
    ]
    assert "1 stands for the labels 1, 3, -1 for 2, 4" in predicted.err
    assert WPSGDClassifier.load(of_four).score(data) == pytest.approx(np.mean(right))


def test_labels_that_the_training_did_not_have_are_named(of_four: Path, tmp_path: Path) -> None:
    data = lines(tmp_path / "strange.svm", [1, 2, 9, 5, 9])
    answer = call("score", of_four, data)
    said = f"{data}: labels 5, 9 unknown to the model, whose classes are 1, 2, 3, 4"
    assert (answer.code, answer.out, said in answer.errors[0]) == (1, "", True)
    answer = call("score", of_four, data, "--positive", "8")
    assert (answer.code, "--positive 8 is no label" in answer.errors[0]) == (1, True)
    said = "--positive 9: counts as +1 here, all other labels as -1; the model was trained with 1, 3 as +1"
    assert said in done("score", of_four, data, "--positive", "9").err


def test_a_test_file_with_labels_of_no_training_row_is_refused(tmp_path: Path) -> None:
    data, test = lines(tmp_path / "a.svm", [1, 2, 3] * 9), lines(tmp_path / "t.svm", [1, 7])
    run = ["run", "small", "--data", data, "--strategies", "sequential", "--out", tmp_path / "run"]
    answer = call(*run, *settings(data__positive="[1.0]", data__test=f'"{test}"'))
    assert (answer.code, "t.svm: label 7 of no training row" in answer.errors[0]) == (1, True)
    one = lines(tmp_path / "one.svm", [1, 1])
    done(
        *run,
        *settings(data__positive="[1.0]", data__test=f'"{one}"', report__figures="false", model__alpha=0.1),
    )


def test_files_of_an_older_version_are_judged_by_their_signs_or_by_what_is_named(tmp_path: Path) -> None:
    model, data = tmp_path / "old.npz", lines(tmp_path / "one.svm", [1.0] * 6)
    about = {"format": 1, "intercept": 0.25, "loss": "hinge", "alpha": 0.1, "unit_norm": False, "facts": {}}
    np.savez(model, weights=np.ones(4), settings=np.array(json.dumps(about)))
    values = by_hand(load_model(model), data)
    assert values_of(model, data) == pytest.approx(values)
    answer = done("score", model, data, "--json")
    assert json.loads(answer.out)["accuracy"] == pytest.approx(np.mean(values > 0))
    assert "did not store what its classes were: label 1 is taken for the class +1" in answer.err
    other = lines(tmp_path / "seven.svm", [7.0] * 6)
    assert "name those that mean +1 with --positive" in call("score", model, other).errors[0]
    assert score_of(model, other, "--positive", "7")["accuracy"] == pytest.approx(
        np.mean(by_hand(load_model(model), other) > 0)
    )


def test_models_of_several_classes_are_scored_and_predict_as_the_estimator_does(tmp_path: Path) -> None:
    data = lines(tmp_path / "many.svm", [0, 1, 2, 3, 4] * 20)
    part = lines(tmp_path / "part.svm", [1, 3] * 9, seed=4)
    model = WPSGDClassifier("log_loss", random_state=0).fit(data)
    model.save(tmp_path / "m.npz")
    for file in (data, part):
        found = json.loads(
            done("predict", tmp_path / "m.npz", file, "--output", "probabilities", "--json").out
        )
        assert found["labels"] == model.predict(file).tolist()
        np.testing.assert_allclose(found["values"], model.decision_function(file), rtol=1e-12)
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(file), rtol=1e-12)
        assert score_of(tmp_path / "m.npz", file)["accuracy"] == pytest.approx(model.score(file))
    hinge = WPSGDClassifier(random_state=0).fit(data)
    hinge.save(tmp_path / "h.npz")
    answer = call("predict", tmp_path / "h.npz", data, "--output", "probabilities")
    assert (answer.code, 'loss = "hinge" has none' in answer.errors[0]) == (2, True)


def test_one_large_index_widens_nothing(model_file: Path, tmp_path: Path) -> None:
    near, far = tmp_path / "near.svm", tmp_path / "far.svm"
    near.write_text("1 1:1 2:-2 7:3\n-1 3:1\n")
    far.write_text("1 1:1 2:-2 2147483647:3\n-1 3:1\n")
    assert (
        values_of(model_file, far)
        == values_of(model_file, near)
        == pytest.approx(by_hand(load_model(model_file), far))
    )
