"""The commands combine and export, and run --part: each against what another program or another run gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from command_line import Answer, call, done, settings, write_rows
from sklearn.datasets import load_svmlight_file

from wpsgd import WPSGDClassifier
from wpsgd.export import Model, load_model, save_model
from wpsgd.kernels.stepsize import StepSize

COUNTS = (100, 60, 81)
MODEL = {"learning_rate": '"constant"', "eta0": 0.1, "alpha": 0.01, "w0": 0.5}
QUIET = {"report__looks": 0, "report__figures": "false", "data__test": "false"}


def study(folder: Path, **data: object) -> Path:
    """One round of wp of three nodes with given counts, from w0 = 0.5."""
    rows = write_rows(folder / "rows.svm", 203)
    path = folder / "study.toml"
    counts, keys = list(COUNTS), "".join(f"{key} = {value}\n" for key, value in MODEL.items())
    more = "".join(f"{key} = {value}\n" for key, value in data.items())
    path.write_text(
        f'[data]\nsource = "{rows}"\n{more}[model]\n{keys}[machine]\nranks = 3\n'
        f'[[strategy]]\nname = "wp"\nrounds = 1\nending = "given"\ncounts = [{counts}]\n'
    )
    return path


def parts(folder: Path, config: Path) -> list[Path]:
    """The model of each node, trained alone."""
    found = []
    for number, count in enumerate(COUNTS, start=1):
        own = settings(machine__ranks=1, strategy__wp__counts=f"[[{count}]]", **QUIET)
        done("run", config, "--part", f"{number}/3", "--out", folder / f"part-{number}", *own)
        found.append(folder / f"part-{number}" / "models" / "wp.npz")
    return found


@pytest.mark.parametrize("data", [{"sharding": '"shuffled"'}, {"sharding": '"contiguous"'}])
def test_parts_trained_apart_and_combined_are_one_run_of_all_to_the_bit(
    tmp_path: Path, data: dict[str, str]
) -> None:
    config = study(tmp_path, **data)
    done("run", config, "--out", tmp_path / "all", *settings(**QUIET))
    models = parts(tmp_path, config)
    answer = json.loads(done("combine", *models, "--out", tmp_path / "m.npz", "--json").out)
    whole, combined = load_model(tmp_path / "all" / "models" / "wp.npz"), load_model(tmp_path / "m.npz")
    assert np.array_equal(whole.weights, combined.weights)
    assert (whole.facts["age"], combined.facts["age"]) == (100, 100)
    contraction = 1.0 - 0.1 * 0.01
    weights = np.array([contraction ** (max(COUNTS) - count) for count in COUNTS])
    np.testing.assert_allclose(
        [model["weight"] for model in answer["models"]], weights / weights.sum(), rtol=1e-12
    )
    assert [model["rows"] for model in answer["models"]] == list(COUNTS)


def node(folder: Path, name: str, weights: list[float], age: int, **other: Any) -> Path:
    """A model file as a run of one node would leave it."""
    step = StepSize("constant", 0.01, 0.5)
    facts = {
        "solver": "sgd",
        "step": {"schedule": step.schedule, "alpha": step.alpha, "eta0": step.eta0, "power": step.power},
        "w0": other.pop("w0", 0.0),
        "intercept": "off",
        "zero_based": False,
        "age": age,
        "shard": other.pop("shard", 10),
        **other.pop("facts", {}),
    }
    classes = np.array(other.pop("classes", [-1.0, 1.0]))
    path = folder / f"{name}.npz"
    model = {"loss": "hinge", "alpha": 0.01, "unit_norm": True} | other
    groups = np.arange(2, dtype=np.int32)
    save_model(path, Model(np.array(weights), 0.0, **model, facts=facts, classes=classes, groups=groups))
    return path


def combined(folder: Path, *arguments: object) -> Model:
    done("combine", *arguments, "--out", folder / "out.npz", "--force")
    return load_model(folder / "out.npz")


def test_each_rule_counts_models_as_its_formula_says(tmp_path: Path) -> None:
    one = node(tmp_path, "one", [1.0, 0.0], 30, shard=20, w0=2.0)
    two = node(tmp_path, "two", [0.0, 1.0], 10, shard=60, w0=2.0)
    r = 1.0 - 0.5 * 0.01
    a = np.array([1.0 - r**30, 1.0 - r**10]) / 0.01
    p = np.array([0.25, 0.75])
    fednova = (p @ a) * p / a
    asum = np.full(2, a.max() / a.sum())
    expected = {
        "uniform": [0.5, 0.5],
        "steps": [0.75, 0.25],
        "shard": p,
        "wp": np.array([1.0, r**20]) / (1.0 + r**20),
        "fednova": fednova + 2.0 * (1.0 - fednova.sum()),
        "asum": asum + 2.0 * (1.0 - asum.sum()),
    }
    for rule, weights in expected.items():
        np.testing.assert_allclose(
            combined(tmp_path, one, two, "--rule", rule).weights, weights, rtol=1e-12, err_msg=rule
        )
    squared = combined(tmp_path, one, two, "--contraction", "R^2")
    np.testing.assert_allclose(squared.weights, np.array([1.0, r**40]) / (1.0 + r**40), rtol=1e-12)


def test_a_model_of_fewer_columns_is_widened_by_what_became_of_w0_there(tmp_path: Path) -> None:
    narrow = node(tmp_path, "narrow", [1.0], 10, w0=2.0)
    wide = node(tmp_path, "wide", [3.0, 5.0], 10, w0=2.0)
    untouched = 2.0 * (1.0 - 0.5 * 0.01) ** 10
    expected = [2.0, (untouched + 5.0) / 2.0]
    np.testing.assert_allclose(
        combined(tmp_path, narrow, wide, "--rule", "uniform").weights, expected, rtol=1e-12
    )


def test_models_that_do_not_go_together_are_refused_in_one_line(tmp_path: Path) -> None:
    one = node(tmp_path, "one", [1.0, 0.0], 30)
    changes: list[tuple[str, dict[str, Any]]] = [
        ("alpha 0.1, but 0.01", {"alpha": 0.1}),
        ("loss log_loss, but hinge", {"loss": "log_loss"}),
        ("unit_norm False, but True", {"unit_norm": False}),
        ("classes 1, 2, but -1, 1", {"classes": [1.0, 2.0]}),
        ("zero_based True, but False", {"facts": {"zero_based": True}}),
        ("w0 1.0, but 0.0", {"w0": 1.0}),
        ("not trained by steps of SGD", {"facts": {"solver": "dual", "age": None}}),
    ]
    for said, change in changes:
        refused(
            call("combine", one, node(tmp_path, "two", [1.0], 5, **change), "--out", tmp_path / "m"), 1, said
        )
    two = node(tmp_path, "two", [1.0, 2.0], 5)
    for arguments, said in (
        ([one, two, "--rule", "tail"], "rule tail: needs averages of each node's iterates"),
        ([one, two, "--rule", "inverse_variance"], "needs the moments of the round before"),
        ([one, two, "--contraction", "validated"], "needs rows to judge models by"),
        ([one, two, "--rule", "steps", "--contraction", "0.9"], "only with --rule wp"),
        ([one, two, "--rule", "nonsense"], "must be one of uniform, wp"),
        ([one, one], "named twice"),
    ):
        refused(call("combine", *arguments, "--out", tmp_path / "m"), 2, said)
    refused(call("combine", one, two, "--out", two), 2, "is there already: --force replaces it")
    third = {"facts": {"part": [1, 3]}}
    twins = [node(tmp_path, name, [1.0], 5, **third) for name in ("three", "four")]
    refused(call("combine", *twins, "--out", tmp_path / "m"), 1, "both are part 1/3")
    assert not (tmp_path / "m").exists()
    assert "parts 2, 3 of 3 are missing" in done("combine", twins[0], "--out", tmp_path / "m").err


def test_force_does_not_lose_a_model_that_is_read(tmp_path: Path) -> None:
    one, two = node(tmp_path, "one", [1.0, 0.0], 5), node(tmp_path, "two", [1.0, 2.0], 5)
    before = two.read_bytes()
    refused(call("combine", one, two, "--out", two, "--force"), 2, "is a model to read")
    refused(call("export", two, "--to", "npz", "--out", two, "--force"), 2, "is a model to read")
    assert two.read_bytes() == before


def refused(answer: Answer, code: int, said: str) -> None:
    assert (answer.code, answer.out, len(answer.errors)) == (code, "", 1), answer
    assert said in answer.errors[0]


def test_a_part_that_cannot_be_is_refused(tmp_path: Path) -> None:
    config = study(tmp_path)
    refused(call("run", config, "--part", "4/3"), 2, "part")
    refused(call("run", config, "--part", "1/3"), 2, "is trained by one rank")


def test_only_strategies_that_run_must_train_a_part_alone_and_emulated_speeds_do_not_count(
    tmp_path: Path,
) -> None:
    config = tmp_path / "four.toml"
    config.write_text(
        f'[data]\nsource = "{write_rows(tmp_path / "rows.svm", 80)}"\n[machine]\n'
        "speeds = [1.0, 0.5, 0.25, 0.25]\n[report]\nfigures = false\nlooks = 0\n"
        '[[strategy]]\nname = "wp"\nrounds = 2\n[[strategy]]\nname = "minibatch"\nrounds = 2\n'
    )
    part = ["--part", "2/3", "--out", tmp_path / "part"]
    refused(call("run", config, *part), 2, 'name = "minibatch": its nodes need one another')
    done("run", config, *part, "--strategies", "wp")
    assert (tmp_path / "part" / "models" / "wp.npz").exists()


def test_the_advice_for_classes_that_are_texts_can_be_followed(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.svm", 20)
    x = np.eye(4)
    for names, said in (
        (["a", "b", "b", "a"], "with --positive"),
        (["a", "b", "c", "d"], "number the classes"),
    ):
        WPSGDClassifier().fit(x, names).save(tmp_path / "texts.npz")
        refused(call("score", tmp_path / "texts.npz", rows), 1, said)


def trained(folder: Path, labels: tuple[int, int], **chosen: object) -> tuple[Path, Path]:
    """A run's model of rows that have these labels, and the rows."""
    data = write_rows(folder / "rows.svm", 120)
    text = [line.split(" ", 1) for line in data.read_text().splitlines()]
    data.write_text("".join(f"{labels[label == '1']} {rest}\n" for label, rest in text))
    run = ["--data", data, "--strategies", "sequential", "--out", folder / "run", "--force"]
    done("run", "small", *run, *settings(report__figures="false", report__looks=0, **chosen))
    return folder / "run" / "models" / "sequential.npz", data


@pytest.mark.parametrize("labels", [(3, 7), (7, 3)])
def test_a_model_of_a_run_predicts_the_labels_of_its_data_wherever_it_goes(
    tmp_path: Path, labels: tuple[int, int]
) -> None:
    chosen = {"data__positive": f"[{labels[1]}]", "model__intercept": '"column"'}
    model, data = trained(tmp_path, labels, **chosen)
    matrix, truth = load_svmlight_file(str(data))
    dense = matrix.toarray()
    predicted = [int(line) for line in done("predict", model, data).out.splitlines()]
    assert np.mean(predicted == truth) > 0.9
    loaded = WPSGDClassifier.load(model)
    assert loaded.classes_.tolist() == [3, 7]
    assert loaded.predict(dense).tolist() == loaded.predict(data).tolist() == predicted
    assert loaded.score(data) == json.loads(done("score", model, data, "--json").out)["accuracy"]
    done("export", model, "--to", "sklearn")
    assert joblib.load(model.with_suffix(".joblib")).predict(dense).tolist() == predicted
    done("export", model, "--to", "npz", "--out", tmp_path / "again.npz")
    assert WPSGDClassifier.load(tmp_path / "again.npz").predict(dense).tolist() == predicted
    noted = done("export", model, "--to", "liblinear", "--out", tmp_path / "text")
    assert "scale them to unit length" in noted.err
    words = (tmp_path / "text").read_text().split("\nw\n")
    weights = np.array(words[1].split(), dtype=float)
    first, second = words[0].split("label ")[1].split()[:2]
    scaled = dense / np.linalg.norm(dense, axis=1)[:, None]
    values = scaled @ weights[:-1] + weights[-1]
    assert [int(first) if value > 0 else int(second) for value in values] == predicted
    refused(call("export", model, "--to", "sklearn"), 2, "--force replaces it")


def test_onnxruntime_scales_rows_as_the_run_did(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model, data = trained(tmp_path, (3, 7), model__intercept='"column"')
    done("export", model, "--to", "onnx")
    dense = load_svmlight_file(str(data))[0].toarray().astype(np.float32)
    dense = np.vstack([dense, np.zeros((1, dense.shape[1]), np.float32)])  # a row that has no length
    session = runtime.InferenceSession(str(model.with_suffix(".onnx")))
    labels, scores = session.run(None, {"X": dense})
    loaded = WPSGDClassifier.load(model)
    np.testing.assert_allclose(scores[:, 1], loaded.decision_function(dense), rtol=1e-4, atol=1e-5)
    assert labels.dtype == np.int64
    assert np.mean(labels == loaded.predict(dense)) > 0.98
