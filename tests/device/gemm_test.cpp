// Products against plain loops in double: all tails of rows, columns and terms, strides, bias and
// accumulation; and the invariant that bits do not depend on the number of rows in a call.
#include "tether/core/philox.hpp"
#include "tether/device/gemm.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>

namespace tether::device {
namespace {

template <class T>
std::vector<T> random_numbers(std::size_t count, std::uint64_t seed) {
    RandomStream random(seed, Purpose::test);
    std::vector<T> values(count);
    for (T& v : values) {
        v = static_cast<T>(2 * random.uniform() - 1);
    }
    return values;
}

template <class T>
class Gemm : public testing::Test {
protected:
    static constexpr double rounding = std::is_same_v<T, float> ? 1e-6 : 1e-15;
};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(Gemm, Precisions);

struct Shape {
    Index rows, n;
    std::vector<Index> k; // one entry for each term
    bool bias, accumulate, transposed;
};

// One product of the shape: c has columns around the result that must not be touched.
template <class T>
void check_product(const Shape& s, double rounding) {
    SCOPED_TRACE("rows " + std::to_string(s.rows) + ", n " + std::to_string(s.n) + ", terms " +
                 std::to_string(s.k.size()) + (s.bias ? ", bias" : "") +
                 (s.accumulate ? ", accumulate" : "") + (s.transposed ? ", weights [n, k]" : ""));
    std::vector<std::vector<T>> a, w, packed;
    std::vector<ProductTerm<T>> terms;
    for (std::size_t t = 0; t < s.k.size(); ++t) {
        const Index k = s.k[t];
        a.push_back(random_numbers<T>(static_cast<std::size_t>(s.rows * (k + 3)), 10 * t + 1));
        w.push_back(random_numbers<T>(static_cast<std::size_t>(s.n * k), 10 * t + 2));
        packed.emplace_back(static_cast<std::size_t>(packed_size<T>(k, s.n)));
        pack(w.back().data(), s.transposed ? Index{1} : s.n, s.transposed ? k : Index{1}, k, s.n,
             packed.back().data());
    }
    for (std::size_t t = 0; t < s.k.size(); ++t) {
        terms.push_back({a[t].data() + 1, s.k[t] + 3, s.k[t], packed[t].data()});
    }
    const std::vector<T> bias = random_numbers<T>(static_cast<std::size_t>(s.n), 7);
    const Index stride = s.n + 5;
    const std::vector<T> before = random_numbers<T>(static_cast<std::size_t>(s.rows * stride), 8);
    std::vector<T> c = before;
    multiply<T>(s.rows, terms, s.n, c.data() + 2, stride, s.bias ? bias.data() : nullptr, s.accumulate);
    for (Index r = 0; r < s.rows; ++r) {
        for (Index column = 0; column < stride; ++column) {
            const auto at = static_cast<std::size_t>(r * stride + column);
            const Index j = column - 2;
            if (j < 0 || j >= s.n) {
                ASSERT_EQ(c[at], before[at]) << "row " << r << ", outside of the result";
                continue;
            }
            double sum = s.accumulate ? static_cast<double>(before[at]) : 0;
            sum += !s.accumulate && s.bias ? static_cast<double>(bias[static_cast<std::size_t>(j)]) : 0;
            double scale = std::abs(sum) + 1;
            for (std::size_t t = 0; t < s.k.size(); ++t) {
                for (Index p = 0; p < s.k[t]; ++p) {
                    const auto left =
                        static_cast<double>(a[t][static_cast<std::size_t>(1 + r * (s.k[t] + 3) + p)]);
                    const Index weight = s.transposed ? j * s.k[t] + p : p * s.n + j;
                    const double product = left * static_cast<double>(w[t][static_cast<std::size_t>(weight)]);
                    sum += product;
                    scale += std::abs(product);
                }
            }
            ASSERT_NEAR(static_cast<double>(c[at]), sum, rounding * scale) << "row " << r << ", column " << j;
        }
    }
    // The same rows one at a time: the same bits.
    for (Index r = 0; r < s.rows; ++r) {
        std::vector<ProductTerm<T>> row_terms = terms;
        for (auto& t : row_terms) {
            t.a += r * t.row_stride;
        }
        std::vector<T> alone(before.begin() + r * stride, before.begin() + (r + 1) * stride);
        multiply<T>(1, row_terms, s.n, alone.data() + 2, stride, s.bias ? bias.data() : nullptr,
                    s.accumulate);
        const std::vector<T> together(c.begin() + r * stride, c.begin() + (r + 1) * stride);
        ASSERT_EQ(alone, together) << "row " << r << " depends on the rows beside it";
    }
}

TYPED_TEST(Gemm, products_at_every_tail_of_rows_and_columns) {
    for (Index rows = 0; rows <= 45; ++rows) {
        for (const Index n : {1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 48, 65}) {
            check_product<TypeParam>({rows, n, {11}, false, false, false}, this->rounding);
            if (this->HasFatalFailure()) {
                return;
            }
        }
    }
}

TYPED_TEST(Gemm, products_of_several_terms_with_bias_and_accumulation) {
    std::vector<Index> many(40, 3); // more than one pass over the terms
    many[17] = 20;
    for (const std::vector<Index>& k : {std::vector<Index>{}, {0}, {1}, {5, 1, 19}, {64, 64}, many}) {
        for (const Index n : {1, 13, 40}) {
            for (int flags = 0; flags < 8; ++flags) {
                check_product<TypeParam>({19, n, k, (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0},
                                         this->rounding);
                if (this->HasFatalFailure()) {
                    return;
                }
            }
        }
    }
}

TYPED_TEST(Gemm, transposed_products_over_lanes_and_components) {
    using T = TypeParam;
    for (const Index m : {1, 3, 5}) {
        for (const auto& [columns_a, columns_b] :
             {std::pair<Index, Index>{1, 1}, {3, 17}, {14, 33}, {29, 8}, {15, 64}, {40, 5}}) {
            for (const std::vector<Index>& lanes : {std::vector<Index>{0, 0},
                                                    {0, 1},
                                                    {0, 37},
                                                    {0, 5, 5, 23, 24},
                                                    {0, 0, 0, 0, 9},
                                                    {0, 1, 2, 3, 4, 5, 6, 7, 30}}) {
                for (const bool accumulate : {false, true}) {
                    const Index rows = lanes.back();
                    const Index stride_a = m * columns_a + 2;
                    const Index stride_b = m * columns_b + 1;
                    // Zero rows still need an address.
                    const auto a = random_numbers<T>(static_cast<std::size_t>((rows + 1) * stride_a), 1);
                    const auto b = random_numbers<T>(static_cast<std::size_t>((rows + 1) * stride_b), 2);
                    const Index stride = columns_b + 3;
                    const auto before = random_numbers<T>(static_cast<std::size_t>(columns_a * stride), 3);
                    std::vector<T> scratch;
                    const Factor<T> fa{a.data() + 1, stride_a, columns_a, columns_a};
                    const Factor<T> fb{b.data(), stride_b, columns_b, columns_b};
                    std::vector<T> c = before;
                    multiply_transposed<T>(lanes, m, fa, fb, c.data(), stride, accumulate, scratch);
                    SCOPED_TRACE(std::to_string(m) + " components, " + std::to_string(columns_a) + " x " +
                                 std::to_string(columns_b) + ", " + std::to_string(lanes.size() - 1) +
                                 " lanes, " + std::to_string(rows) + " rows");
                    // Lanes one by one, added by the balanced tree: the same bits.
                    std::vector<std::vector<T>> tree;
                    for (std::size_t l = 0; l + 1 < lanes.size(); ++l) {
                        const Index first = lanes[l];
                        tree.emplace_back(before.size(), T(0));
                        const std::vector<Index> one{0, lanes[l + 1] - first};
                        multiply_transposed<T>(one, m,
                                               {fa.data + first * stride_a, stride_a, columns_a, columns_a},
                                               {fb.data + first * stride_b, stride_b, columns_b, columns_b},
                                               tree.back().data(), stride, false, scratch);
                    }
                    for (std::size_t step = 1; step < tree.size(); step *= 2) {
                        for (std::size_t l = 0; l < tree.size(); l += 2 * step) {
                            for (std::size_t i = 0; i < before.size(); ++i) {
                                tree[l][i] = tree[l][i] + tree[l + step][i];
                            }
                        }
                    }
                    for (Index i = 0; i < columns_a; ++i) {
                        for (Index j = 0; j < stride; ++j) {
                            const auto at = static_cast<std::size_t>(i * stride + j);
                            if (j >= columns_b) {
                                ASSERT_EQ(c[at], before[at]) << "outside of the result";
                                continue;
                            }
                            ASSERT_EQ(c[at], accumulate ? before[at] + tree[0][at] : tree[0][at])
                                << i << ", " << j;
                            double sum = accumulate ? static_cast<double>(before[at]) : 0;
                            for (Index r = 0; r < rows; ++r) {
                                for (Index k = 0; k < m; ++k) {
                                    sum += static_cast<double>(a[static_cast<std::size_t>(
                                               1 + r * stride_a + k * columns_a + i)]) *
                                           static_cast<double>(
                                               b[static_cast<std::size_t>(r * stride_b + k * columns_b + j)]);
                                }
                            }
                            ASSERT_NEAR(static_cast<double>(c[at]), sum,
                                        this->rounding * static_cast<double>(rows * m + 1));
                        }
                    }
                }
            }
        }
    }
}

} // namespace
} // namespace tether::device
