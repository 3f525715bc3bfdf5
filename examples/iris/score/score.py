"""Predicts the species of each flower of one test file with the model of `train`.

The input is a cross, so each datum has one test file and the whole model: a changed test file re-runs one datum, a
changed model all of them.
"""

import csv
import json
import os
from pathlib import Path

test = Path(os.environ["test"])
model = json.loads((Path(os.environ["train"]) / "model.json").read_text())
out = Path(os.environ.get("FLOW_PFS", "/pfs")) / "out" / "predictions"


def predict(row):
    values = [float(row[feature]) for feature in model["features"]]
    x = [(v - m) / d for v, m, d in zip(values, model["means"], model["deviations"])] + [1.0]
    scores = [sum(w * v for w, v in zip(weights, x)) for weights in model["weights"]]
    return model["species"][scores.index(max(scores))]


out.mkdir(parents=True)
with test.open(newline="") as source, (out / test.name).open("w", newline="") as target:
    rows = csv.DictReader(source)
    writer = csv.DictWriter(target, [*rows.fieldnames, "predicted"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "predicted": predict(row)})
