#!/bin/bash
# scikit-learn 1.9.1: SGDClassifier trains inside the array that it is given as coef_init, or as coef_ before partial_fit or
# a fit with warm_start. The caller's array is overwritten; the intercept's is not. In a federated round simulated in one
# process (every client is given the server's array, as Flower's scikit-learn recipe does) the second client therefore begins
# where the first one ended, not at the server's model, and the round depends on the order of the clients. A copy for each
# client avoids it. float64 only: an array of another dtype is copied.
#
# Seen (scikit-learn 1.9.1, numpy 2.4.6): coef_init of 2s became [[41.93 10.58 3.61]], its intercept_init stayed 0; the
# second client's model differs from the one it has when it is given a copy.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
env/bin/python - <<'PY'
import numpy as np
import sklearn
from sklearn.linear_model import SGDClassifier

print("scikit-learn", sklearn.__version__)
rng = np.random.default_rng(0)
X = rng.normal(size=(100, 3))
y = (X[:, 0] > 0).astype(int)
coef, intercept = np.full((1, 3), 2.0), np.zeros(1)
SGDClassifier(random_state=0, max_iter=1, tol=None).fit(X, y, coef_init=coef, intercept_init=intercept)
print("coef_init after fit:", coef, "intercept_init:", intercept)
assert not np.allclose(coef, 2.0) and intercept[0] == 0.0


def client(server, rows):
    model = SGDClassifier(random_state=0, max_iter=1, tol=None, warm_start=True)
    model.coef_, model.intercept_, model.classes_ = server, np.zeros(1), np.array([0, 1])
    return model.fit(X[rows], y[rows]).coef_.copy()


server = np.full((1, 3), 2.0)
clients = [client(server, slice(0, 50)), client(server, slice(50, 100))]
meant = client(np.full((1, 3), 2.0), slice(50, 100))
print("second client:", clients[1], "from the server's model:", meant)
assert not np.allclose(clients[1], meant)
PY
