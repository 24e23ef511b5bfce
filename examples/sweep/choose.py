"""The choice: the pair of rate and momentum whose tries have the lowest loss in the mean."""

from __future__ import annotations

from collections import defaultdict
from statistics import mean
from typing import Any

Pair = tuple[float, float]


def best(tries: list[dict[str, Any]]) -> dict[str, float]:
    """Choose among the pairs that worked with every seed; one that ran away with any is no choice."""
    losses: dict[Pair, list[float | None]] = defaultdict(list)
    for each in tries:
        worked = each["outcome"] in ("succeeded", "cached")
        losses[pair_of(each)].append(each["result"]["loss"] if worked else None)
    means = {}
    for pair, found in losses.items():
        numbers = [loss for loss in found if loss is not None]
        told = f"loss {mean(numbers):.4f}" if numbers else "no loss"
        print(f"rate {pair[0]}, momentum {pair[1]}: {told}, {len(found) - len(numbers)} of {len(found)} ran away")
        if len(numbers) == len(found):
            means[pair] = mean(numbers)
    (rate, momentum), loss = min(means.items(), key=lambda item: item[1])
    print(f"the best is rate {rate}, momentum {momentum}")
    return {"rate": rate, "momentum": momentum, "loss": round(loss, 6)}


def pair_of(each: dict[str, Any]) -> Pair:
    """Name what was tried."""
    return each["matrix"]["rate"], each["matrix"]["momentum"]
