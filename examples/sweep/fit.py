"""A logistic regression in pure Python, fitted by stochastic gradient descent with momentum."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

FEATURES = 4
TRAINING, HELD_OUT = 300, 200
FARTHEST = 150.0
"""What a weighted sum may come to.  Weights that learn stay far below; beyond, they run away, until exp() overflows."""

Example = tuple[list[float], int]


class RanAwayError(Exception):
    """The weights became larger and larger: the rate is too high for this momentum."""


def fit(file: str, rate: float, momentum: float, epochs: int) -> dict[str, float]:
    """Fit, write the loss after each epoch to the file, and return the last one with the accuracy on held-out data.

    The start and the order of the examples come from ``random``, which the engine has seeded for this task.
    """
    examples = data()
    training, held_out = examples[:TRAINING], examples[TRAINING:]
    weights = [random.gauss(0, 0.5) for _ in range(FEATURES + 1)]
    speed = [0.0] * len(weights)
    losses = []
    for epoch in range(epochs):
        random.shuffle(training)
        for features, label in training:
            error = _probability(weights, features) - label
            for number, value in enumerate(features):
                speed[number] = momentum * speed[number] - rate * error * value
                weights[number] += speed[number]
        losses.append(round(_loss(weights, held_out), 6))
        print(f"epoch {epoch + 1}: loss {losses[-1]:.4f}")
    right = sum((_probability(weights, features) > 0.5) == label for features, label in held_out)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps({"rate": rate, "momentum": momentum, "losses": losses}), encoding="utf-8")
    return {"loss": losses[-1], "accuracy": right / len(held_out)}


def data() -> list[Example]:
    """Give the same examples in every task: two clouds of points that overlap; the first feature is always 1."""
    dice = random.Random("two clouds")
    examples = []
    for _ in range(TRAINING + HELD_OUT):
        label = dice.randrange(2)
        centre = 1.0 if label else -1.0
        # The features differ in size, as those of real data do: that is what makes the rate matter.
        features = [dice.gauss(centre, 1.5) * scale for scale in (0.3, 1.0, 2.0, 4.0)]
        examples.append(([1.0, *features], label))
    return examples


def _probability(weights: list[float], features: list[float]) -> float:
    # fsum() is the same on every Python; sum() adds floats in another way since 3.12, and here each bit counts.
    z = math.fsum(weight * value for weight, value in zip(weights, features, strict=True))
    if abs(z) > FARTHEST:
        raise RanAwayError(f"a weighted sum came to {z:.0f}: the rate is too high")
    return 1 / (1 + math.exp(-z))


def _loss(weights: list[float], examples: list[Example]) -> float:
    total = 0.0
    for features, label in examples:
        p = min(max(_probability(weights, features), 1e-12), 1 - 1e-12)
        total -= math.log(p if label else 1 - p)
    return total / len(examples)
