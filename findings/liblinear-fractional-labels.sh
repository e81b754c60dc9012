#!/bin/bash
# LIBLINEAR 2.50 (its own Python package): labels are cut to int before classes are told apart. The classes 0.2 and 0.7
# become one class, 0, without a word; 1.5 and -1 become 1 and -1. Its data format and
# its Python interface take labels as doubles, and predict returns doubles. A C++ compiler is needed to build the package.
#
# Seen (liblinear-official 2.50.0):
#   labels 0.2, 0.7, 1.1 -> model of 2 classes, labels [0, 1]
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check liblinear-official==2.50.0 numpy==2.4.6 scipy==1.17.1
env/bin/python - <<'PY'
import numpy as np
from liblinear.liblinearutil import predict, train

X = np.array([[-2.0], [-1.0], [0.0], [0.5], [2.0], [3.0]])


def trained(labels):
    y = np.repeat(np.array(labels), 2)
    model = train(y, X, "-s 2 -q")
    guesses, _, _ = predict(y, X, model, "-q")
    print("labels", labels, "-> classes", model.get_labels(), "predicted", sorted(set(guesses)))
    return sorted(model.get_labels())


assert trained([0.2, 0.7, 1.1]) == [0, 1]
assert trained([1.0, 2.0, 3.0]) == [1, 2, 3]
assert trained([1.5, -1.0, 4.0]) == [-1, 1, 4]
PY
