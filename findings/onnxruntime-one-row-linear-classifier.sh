#!/bin/bash
# ONNX Runtime 1.32.0: a LinearClassifier with ONE row of coefficients and TWO labels (the natural form of a binary linear
# SVM) returns the scores [1 - s, s] where s is the decision value: not [-s, s], and not a softmax where SOFTMAX is asked for.
# The label is the second one where s > 0, so between 0 and 0.5 the label and the larger of the scores disagree.
# Two rows, [-w, w], give [-s, s] and labels that agree. Whoever ranks or thresholds by the scores wants two rows.
#
# Seen (onnx 1.23.2, onnxruntime 1.32.0), decision values -0.3, 0.3, 0.6:
#   one row,  NONE:    labels [3, 7, 7], scores [[1.3, -0.3], [0.7, 0.3], [0.4, 0.6]]
#   one row,  SOFTMAX: the same scores
#   two rows, NONE:    labels [3, 7, 7], scores [[0.3, -0.3], [-0.3, 0.3], [-0.6, 0.6]]
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

X = np.array([[-0.3], [0.3], [0.6]], np.float32)


def outputs(coefficients, post_transform):
    intercepts = [0.0] * len(coefficients)
    node = helper.make_node(
        "LinearClassifier", ["X"], ["label", "scores"], domain="ai.onnx.ml", coefficients=coefficients,
        intercepts=intercepts, classlabels_ints=[3, 7], multi_class=0, post_transform=post_transform,
    )
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [value("X", TensorProto.FLOAT, [None, 1])],
        [value("label", TensorProto.INT64, [None]), value("scores", TensorProto.FLOAT, [None, 2])],
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    label, scores = session.run(None, {"X": X})
    print(len(coefficients), "row(s),", post_transform, label.tolist(), np.round(scores, 3).tolist())
    return label, scores


s = X[:, 0]
label, scores = outputs([1.0], "NONE")
assert label.tolist() == [3, 7, 7]
assert np.allclose(scores, np.column_stack([1 - s, s]))
assert scores.argmax(axis=1).tolist() == [0, 0, 1]  # for 0.3 the label says the second, the scores the first
_, softmax = outputs([1.0], "SOFTMAX")
assert np.allclose(softmax, scores)
label, scores = outputs([-1.0, 1.0], "NONE")
assert label.tolist() == [3, 7, 7] and np.allclose(scores, np.column_stack([-s, s]))
PY
