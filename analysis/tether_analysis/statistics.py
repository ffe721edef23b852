"""Means and 95 % intervals over seeds: Student's t, and pairs of runs with equal seeds. A paired test
asks whether a method differs from its baseline: by Student's t, and without any assumption on the
distribution by flipping the signs of the differences in all 2^n ways (Fisher).
"""
from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

EXACT_FLIPS = 16  # pairs up to which all 2^n signs are tried; beyond, as many drawn ones


def t_probability(t: float, degrees: int) -> float:
    """P(|T| <= t) = 2 C int_0^a cos(x)^(n-1) dx with t = sqrt(n) tan a; Simpson's rule."""
    angle = math.atan(t / math.sqrt(degrees))
    parts = 400
    h = angle / parts
    total = sum((1 if i in (0, parts) else 4 if i % 2 else 2) * math.cos(i * h) ** (degrees - 1)
                for i in range(parts + 1))
    log_c = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi)
    return 2 * math.exp(log_c) * total * h / 3


@lru_cache(maxsize=256)
def t_quantile(degrees: int, confidence: float = 0.95) -> float:
    """The t with P(|T| <= t) = confidence, by bisection."""
    if degrees < 1:
        return math.nan
    low, high = 0.0, 1.0
    while t_probability(high, degrees) < confidence:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, degrees) < confidence else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Estimate:
    """A mean with half the width of its 95 % interval; NaN where one value allows none."""

    mean: float
    half: float
    count: int

    def scaled(self, factor: float) -> Estimate:
        return Estimate(self.mean * factor, self.half * factor, self.count)


def estimate(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    finite = [value for value in values if math.isfinite(value)]
    count = len(finite)
    if count == 0:
        return Estimate(math.nan, math.nan, 0)
    mean = math.fsum(finite) / count
    if count == 1:
        return Estimate(mean, math.nan, 1)
    variance = math.fsum((value - mean) ** 2 for value in finite) / (count - 1)
    return Estimate(mean, t_quantile(count - 1, confidence) * math.sqrt(variance / count), count)


def _differences(values: Mapping[int, float], baseline: Mapping[int, float]) -> list[float]:
    return [values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline.keys())
            if math.isfinite(values[seed]) and math.isfinite(baseline[seed])]


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Estimate:
    """Mean difference value - baseline over the seeds both have."""
    return estimate(_differences(values, baseline))


@dataclass(frozen=True)
class PairedTest:
    """value - baseline by seed. Probabilities of a difference at least as large if there were none (two-sided);
    NaN where there are fewer than two pairs."""

    difference: Estimate
    relative: float  # to the baseline's mean over the same seeds
    p_t: float
    p_flip: float  # cannot fall below 2 / 2^pairs


def _p_t(differences: Sequence[float]) -> float:
    count = len(differences)
    if count < 2:
        return math.nan
    mean = math.fsum(differences) / count
    variance = math.fsum((value - mean) ** 2 for value in differences) / (count - 1)
    if variance == 0:
        return 1.0 if mean == 0 else 0.0
    return max(0.0, 1.0 - t_probability(abs(mean) / math.sqrt(variance / count), count - 1))


def _p_flip(differences: Sequence[float]) -> float:
    count = len(differences)
    if count < 2:
        return math.nan
    seen = abs(math.fsum(differences)) * (1 - 1e-12)
    if count <= EXACT_FLIPS:
        patterns: Sequence[int] = range(2**count)
    else:
        drawn = random.Random(count)  # the same differences give the same answer
        patterns = [drawn.getrandbits(count) for _ in range(2**EXACT_FLIPS - 1)] + [0]
    as_large = sum(abs(math.fsum(-value if pattern >> i & 1 else value for i, value in enumerate(differences))) >= seen
                   for pattern in patterns)
    return as_large / len(patterns)


def paired_test(values: Mapping[int, float], baseline: Mapping[int, float]) -> PairedTest:
    differences = _differences(values, baseline)
    base = estimate([baseline[seed] for seed in sorted(values.keys() & baseline.keys())
                     if math.isfinite(values[seed])]).mean
    difference = estimate(differences)
    return PairedTest(difference, difference.mean / base if differences and base else math.nan, _p_t(differences),
                      _p_flip(differences))
