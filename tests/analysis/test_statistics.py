"""Intervals against tabulated quantiles, pairing against hand-made numbers."""
from __future__ import annotations

import math
import unittest

import support  # noqa: F401
from tether_analysis.statistics import Estimate, estimate, paired, paired_test, t_quantile
from tether_analysis.tables import duration, number, with_interval


class Statistics(unittest.TestCase):
    def test_quantiles_agree_with_tables(self) -> None:
        for degrees, expected in ((1, 12.7062), (2, 4.30265), (4, 2.77645), (9, 2.26216), (30, 2.04227), (200, 1.97190)):
            self.assertAlmostEqual(t_quantile(degrees), expected, delta=2e-5 * expected)
        self.assertAlmostEqual(t_quantile(5, 0.99), 4.03214, places=4)

    def test_estimate(self) -> None:
        value = estimate([3.0, 4.0, 5.0])
        self.assertEqual((value.mean, value.count), (4.0, 3))
        self.assertAlmostEqual(value.half, 4.30265 / math.sqrt(3), places=4)

    def test_one_value_has_no_interval_and_none_no_mean(self) -> None:
        self.assertTrue(math.isnan(estimate([2.0]).half))
        self.assertEqual(estimate([math.nan, 2.0]).count, 1)
        self.assertEqual(estimate([]).count, 0)

    def test_pairs_need_equal_seeds(self) -> None:
        change = paired({42: 3.0, 43: 4.0, 50: 9.0}, {42: 5.0, 43: 5.0, 44: 1.0})
        self.assertEqual((change.mean, change.count), (-1.5, 2))
        self.assertEqual(paired({1: 1.0}, {2: 1.0}).count, 0)

    def test_paired_test_agrees_with_tables(self) -> None:
        base = {seed: 0.0 for seed in range(4)}
        test = paired_test({0: 1.0, 1: 2.0, 2: 3.0, 3: 6.0}, base)
        # mean 3, sd sqrt(14/3): t = 3 / (2.1602 / 2) = 2.7775 at 3 degrees; R: 2 * pt(-2.7775, 3) = 0.06914
        self.assertAlmostEqual(test.p_t, 0.06914, places=4)
        self.assertEqual(test.p_flip, 2 / 16)
        mixed = paired_test({0: 1.0, 1: -2.0, 2: 3.0, 3: 6.0}, base)
        # |sum| of the 16 sign patterns is 8 or more in: ++++ 12, 6+3+1-2 8, 6+3+2-1 10 and so on, both signs
        self.assertEqual(mixed.p_flip, sum(abs(a + 2 * b + 3 * c + 6 * d) >= 8 for a in (1, -1) for b in (1, -1)
                                           for c in (1, -1) for d in (1, -1)) / 16)

    def test_paired_test_of_few_or_equal_values(self) -> None:
        self.assertTrue(math.isnan(paired_test({1: 1.0}, {1: 2.0}).p_t))
        same = paired_test({1: 1.0, 2: 2.0}, {1: 1.0, 2: 2.0})
        self.assertEqual((same.p_t, same.p_flip, same.relative), (1.0, 1.0, 0.0))
        self.assertEqual(paired_test({}, {}).difference.count, 0)
        shifted = paired_test({1: 1.0, 2: 3.0, 3: math.nan}, {1: 2.0, 2: 4.0, 3: 1.0})
        self.assertEqual((shifted.difference.count, shifted.difference.mean, shifted.relative), (2, -1.0, -1 / 3))

    def test_many_pairs_are_drawn_and_repeat(self) -> None:
        random = __import__("random").Random(1)
        values = {seed: random.gauss(0.3, 1) for seed in range(24)}
        base = {seed: 0.0 for seed in values}
        first, again = paired_test(values, base), paired_test(values, base)
        self.assertEqual(first, again)
        self.assertAlmostEqual(first.p_flip, first.p_t, delta=0.03)

    def test_digits_follow_the_interval(self) -> None:
        self.assertEqual(with_interval(Estimate(3.8123, 0.1712, 3)), "3.81 ± 0.17")
        self.assertEqual(with_interval(Estimate(-1.2, 0.031, 3), sign=True), "−1.200 ± 0.031")
        self.assertEqual(with_interval(Estimate(66.4, 12.3, 3)), "66 ± 12")
        self.assertEqual(with_interval(Estimate(5.6, math.nan, 1)), "5.600")
        self.assertEqual(number(2.5e-6, 3), "2.5·10⁻⁶")
        self.assertEqual(number(math.nan), "–")
        self.assertEqual(number(math.inf), "not finite")
        self.assertEqual((duration(4.25), duration(59.6), duration(1800), duration(7500)),
                         ("4.2 s", "60 s", "30 min", "2 h 05 min"))


if __name__ == "__main__":
    unittest.main()
