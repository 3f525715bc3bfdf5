"""Fits a softmax regression to every CSV file of the repo `training` and writes it as model.json.

Plain gradient descent from zero over standardised features: no randomness, so equal data gives an equal model.
"""

import csv
import json
import math
import os
from pathlib import Path

FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
STEPS = 400
RATE = 0.5

# `$training` is where flow shows the input; `FLOW_PFS` is set only on machines that cannot have a `/pfs`.
inputs = Path(os.environ["training"])
out = Path(os.environ.get("FLOW_PFS", "/pfs")) / "out"


def read(folder):
    """Every flower of every file, files in name order: (features, species)."""
    flowers = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as file:
            flowers += [([float(row[f]) for f in FEATURES], row["species"]) for row in csv.DictReader(file)]
    return flowers


def spread(columns):
    """Mean and standard deviation of each feature."""
    means = [sum(column) / len(column) for column in columns]
    deviations = [
        math.sqrt(sum((x - mean) ** 2 for x in column) / len(column)) for column, mean in zip(columns, means)
    ]
    return means, deviations


def probabilities(weights, x):
    scores = [sum(w * v for w, v in zip(row, x)) for row in weights]
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    return [power / sum(powers) for power in powers]


def fit(xs, labels, classes):
    """One row of weights for each class; the last weight is the bias."""
    weights = [[0.0] * len(xs[0]) for _ in range(classes)]
    for _ in range(STEPS):
        slope = [[0.0] * len(xs[0]) for _ in range(classes)]
        for x, label in zip(xs, labels):
            for k, p in enumerate(probabilities(weights, x)):
                error = p - (k == label)
                for i, v in enumerate(x):
                    slope[k][i] += error * v
        weights = [[w - RATE * s / len(xs) for w, s in zip(row, step)] for row, step in zip(weights, slope)]
    return weights


flowers = read(inputs)
species = sorted({name for _, name in flowers})
means, deviations = spread(list(zip(*(features for features, _ in flowers))))
xs = [[(v - m) / d for v, m, d in zip(features, means, deviations)] + [1.0] for features, _ in flowers]
weights = fit(xs, [species.index(name) for _, name in flowers], len(species))

model = {
    "features": FEATURES,
    "species": species,
    "means": [round(m, 6) for m in means],
    "deviations": [round(d, 6) for d in deviations],
    "weights": [[round(w, 6) for w in row] for row in weights],
    "trained_on": len(flowers),
}
(out / "model.json").write_text(json.dumps(model, indent=2) + "\n")
print(f"trained on {len(flowers)} flowers of {len(species)} species")
