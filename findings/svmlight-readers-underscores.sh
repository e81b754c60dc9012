#!/bin/bash
# scikit-learn 1.9.1's load_svmlight_file and the reader of LIBLINEAR's Python package (2.50.0) turn text into numbers with
# Python's int() and float(), which allow underscores between digits: the index "12_3" is read as column 123, the value
# "1_0" as 10, the label "2_0" as 20, without a word. LIBLINEAR's own train program (2.3.0 tried) refuses such lines.
# A file whose columns were named "12_3" and meant as anything else trains another model.
#
# Seen: both read "2_0 12_3:1_0" as label 20, column 123, value 10.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 liblinear-official==2.50.0 numpy==2.4.6 scipy==1.17.1
printf '2_0 12_3:1_0\n-1 2:1\n' > rows.svm
env/bin/python - <<'PY'
from liblinear.liblinearutil import svm_read_problem
from sklearn.datasets import load_svmlight_file

X, y = load_svmlight_file("rows.svm", zero_based=False)
print("scikit-learn:", y.tolist(), X.shape, X.data.tolist())
assert y.tolist() == [20.0, -1.0] and X.shape == (2, 123) and X[0, 122] == 10.0

labels, rows = svm_read_problem("rows.svm")
print("LIBLINEAR's reader:", labels, rows)
assert labels == [20.0, -1.0] and rows[0] == {123: 10.0}
PY
