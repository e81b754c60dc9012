#!/usr/bin/env bash
# Vowpal Wabbit with --l2: the weights that one reads (--readable_model, get_weight) are not those it predicts with.
#
# L2 shrinks all weights at every row; VW keeps that as one factor beside the weights and multiplies it in at the
# end only where --predict_only_model asks for it. Without, models keep the numbers that have not shrunk, for training
# to go on, and nothing beside them says so: they are hundreds of times too large here. Predictions of VW itself are
# right, so one notices only where weights are read: for an objective, for margins, by another program.
#
# Seen (vowpalwabbit 9.11.9):
#   prediction of a row of one feature 0.7659, weight read 109.5 as it comes, 0.7659 with --predict_only_model
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: vowpalwabbit==9.11.9
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import random
import sys
from pathlib import Path

import vowpalwabbit

print("vowpalwabbit", vowpalwabbit.__version__)
rng = random.Random(0)
rows = []
for _ in range(500):  # the label is the sign of feature 1, but for a fifth
    x = rng.uniform(-1.0, 1.0)
    label = 1 if (x > 0) != (rng.random() < 0.2) else -1
    rows.append(f"{label} | 1:{x:.6f} 2:{rng.uniform(-1.0, 1.0):.6f}")
Path("rows.vw").write_text("\n".join(rows) + "\n")


def ratio(more: str) -> float:
    """The weight of feature 1 that the readable model tells, over VW's prediction of a row that has it alone."""
    Path("rows.vw.cache").unlink(missing_ok=True)
    asked = "-d rows.vw --cache_file rows.vw.cache --passes 20 --holdout_off --noconstant --quiet --l2 0.001"
    workspace = vowpalwabbit.Workspace(f"{asked} {more} -f model --readable_model model.txt")
    workspace.finish()
    told = Path("model.txt").read_text().splitlines()
    read = next(float(line.split(":")[1].split()[0]) for line in told if line.startswith("1:"))
    predicting = vowpalwabbit.Workspace("-i model -t --quiet")
    predicted = predicting.predict(" | 1:1")
    predicting.finish()
    print(f"prediction of a row of one feature {predicted:8.4g}  weight read {more or '(as it comes)':22} {read:8.4g}",
          f"  ratio {read / predicted:.3g}")
    return read / predicted


seen = ratio(""), ratio("--predict_only_model")
sys.exit(not (abs(seen[0]) > 100.0 and abs(seen[1] - 1.0) < 1e-3))
PYTHON
