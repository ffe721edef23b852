"""Means and 95 % intervals over seeds: Student's t, and pairs of runs with equal seeds."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def _t_probability(t: float, degrees: int) -> float:
    """P(|T| <= t) = 2 C int_0^a cos(x)^(n-1) dx with t = sqrt(n) tan a; Simpson's rule."""
    angle = math.atan(t / math.sqrt(degrees))
    parts = 400
    h = angle / parts
    total = sum((1 if i in (0, parts) else 4 if i % 2 else 2) * math.cos(i * h) ** (degrees - 1)
                for i in range(parts + 1))
    log_c = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi)
    return 2 * math.exp(log_c) * total * h / 3


def t_quantile(degrees: int, confidence: float = 0.95) -> float:
    """The t with P(|T| <= t) = confidence, by bisection."""
    if degrees < 1:
        return math.nan
    low, high = 0.0, 1.0
    while _t_probability(high, degrees) < confidence:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_probability(middle, degrees) < confidence else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Estimate:
    """A mean with half the width of its 95 % interval; NaN where one value allows none."""

    mean: float
    half: float
    count: int

    def scaled(self, factor: float) -> Estimate:
        return Estimate(self.mean * factor, self.half * factor, self.count)


def estimate(values: Sequence[float]) -> Estimate:
    finite = [value for value in values if math.isfinite(value)]
    count = len(finite)
    if count == 0:
        return Estimate(math.nan, math.nan, 0)
    mean = math.fsum(finite) / count
    if count == 1:
        return Estimate(mean, math.nan, 1)
    variance = math.fsum((value - mean) ** 2 for value in finite) / (count - 1)
    return Estimate(mean, t_quantile(count - 1) * math.sqrt(variance / count), count)


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Estimate:
    """Mean difference value - baseline over the seeds both have."""
    return estimate([values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline.keys())])
