#include "tether/methods/bracket.hpp"

#include "tether/core/error.hpp"
#include "tether/device/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace tether::methods {
namespace {

template <class T>
double dot(const T* a, const T* b, Index n) {
    constexpr Index parts = 16; // independent chains, always added in the same order
    double sum[parts] = {};
    Index i = 0;
    for (; i + parts <= n; i += parts) {
        for (Index k = 0; k < parts; ++k) {
            sum[k] += static_cast<double>(a[i + k]) * static_cast<double>(b[i + k]);
        }
    }
    for (Index k = 0; i + k < n; ++k) {
        sum[k] += static_cast<double>(a[i + k]) * static_cast<double>(b[i + k]);
    }
    for (Index width = parts / 2; width > 0; width /= 2) {
        for (Index k = 0; k < width; ++k) {
            sum[k] += sum[k + width];
        }
    }
    return sum[0];
}

// to = W x
template <class T>
void apply(const T* weight, Index rows, Index columns, const T* x, T* to) {
    for (Index i = 0; i < rows; ++i) {
        to[i] = static_cast<T>(dot(weight + i * columns, x, columns));
    }
}

// to[i, :] += v[i] x, row by row.
template <class T>
void add_outer(const T* v, const T* x, Index rows, Index columns, T* to) {
    for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < columns; ++j) {
            to[i * columns + j] += v[i] * x[j];
        }
    }
}

} // namespace

template <class T>
void BracketSite::times_in(const Pair& pair, const T* weight, T* to) const {
    const Index n = in();
    std::fill_n(to, out_ * n, T(0));
    for (Index row = 0; row < out_; ++row) {
        for (const Diagonal& d : pair.in) {
            const T* w = weight + row * n + d.row;
            T* x = to + row * n + d.column;
            const T value = static_cast<T>(d.value);
            for (Index k = 0; k < d.count; ++k) {
                x[k] += value * w[k];
            }
        }
    }
}

template <class T>
void BracketSite::subtract_out(const Pair& pair, const T* x, T* to) const {
    const Index n = in();
    for (const Diagonal& d : pair.out) {
        // Rows d.row + k of `to` and d.column + k of x: both are one stretch of memory.
        const T* from = x + d.column * n;
        T* y = to + d.row * n;
        const T value = static_cast<T>(d.value);
        for (Index k = 0; k < d.count * n; ++k) {
            y[k] -= value * from[k];
        }
    }
}

template <class T>
BracketSite::Sums BracketSite::evaluate(const T* weight, const T* bias, const T* moments,
                                        const Gradients<T>& to, std::vector<T>& scratch) const {
    const Index n = in();
    const Index area = out_ * n;
    // G packed by pairs of ranges, so that products may leave out ranges that are zero.
    std::array<Index, most_ranges * most_ranges> pack_offset{};
    Index packed_size = 0;
    std::size_t pack = 0;
    for (const Range& rows : ranges_) {
        for (const Range& columns : ranges_) {
            pack_offset[pack++] = packed_size;
            packed_size += (device::packed_size<T>(rows.count, columns.count) + 15) / 16 * 16;
        }
    }
    const auto needed = static_cast<std::size_t>(n * n + packed_size + 3 * area + 2 * out_);
    if (scratch.size() < needed) {
        scratch.resize(needed);
    }
    T* const matrix = scratch.data();
    T* const packed = matrix + n * n;
    T* const b = packed + packed_size; // W A_a, then B_a
    T* const p = b + area;             // P_a
    T* const q = p + area;             // W G
    T* const c = q + area;             // c_a
    T* const bm = c + out_;            // B_a m, W m
    layout_.expand(moments, matrix);
    const T* m = moments + layout_.sum_offset();
    const double rows = static_cast<double>(moments[layout_.count_offset()]);
    for (std::size_t i = 0; i < ranges_.size(); ++i) {
        for (std::size_t j = 0; j < ranges_.size(); ++j) {
            device::pack(matrix + ranges_[i].first * n + ranges_[j].first, n, Index{1}, ranges_[i].count,
                         ranges_[j].count, packed + pack_offset[i * ranges_.size() + j]);
        }
    }
    // Rows [first, first + count) of left G; of left's columns the ranges `used` are read, of G's the ranges
    // `wanted` are computed; null: all.
    const auto times_gram = [&](const T* left, Index first, Index count, const std::vector<bool>* used,
                                const std::vector<bool>* wanted, T* result) {
        std::array<device::ProductTerm<T>, most_ranges> terms{};
        for (std::size_t j = 0; j < ranges_.size(); ++j) {
            if (wanted != nullptr && !(*wanted)[j]) {
                continue;
            }
            std::size_t count_used = 0;
            for (std::size_t i = 0; i < ranges_.size(); ++i) {
                if (used == nullptr || (*used)[i]) {
                    terms[count_used++] = {left + first * n + ranges_[i].first, n, ranges_[i].count,
                                           packed + pack_offset[i * ranges_.size() + j]};
                }
            }
            device::multiply<T>(count, std::span<const device::ProductTerm<T>>(terms.data(), count_used),
                                ranges_[j].count, result + first * n + ranges_[j].first, n, nullptr, false);
        }
    };

    Sums sums;
    const bool has_bias = bias != nullptr;
    const bool constant = has_bias && bias_in_bracket_;
    times_gram(weight, 0, out_, nullptr, nullptr, q);
    std::fill_n(to.lie_weight, area, T(0));
    if (has_bias) {
        std::fill_n(to.lie_bias, out_, T(0));
    }
    for (const Pair& pair : pairs_) {
        times_in(pair, weight, b);
        std::fill_n(p, area, T(0));
        for (Index row = 0; row < out_;) {
            // Rows that A'_a does not touch: B_a is W A_a there, and only its own columns are read below.
            const bool active = pair.row_active[static_cast<std::size_t>(row)];
            Index end = row;
            while (end < out_ && pair.row_active[static_cast<std::size_t>(end)] == active) {
                ++end;
            }
            times_gram(b, row, end - row, &pair.range_active, active ? nullptr : &pair.range_active, p);
            row = end;
        }
        subtract_out(pair, q, p);
        subtract_out(pair, weight, b);
        if (constant) {
            std::copy_n(bias, out_, c);
            for (const Diagonal& d : pair.out) {
                for (Index k = 0; k < d.count; ++k) {
                    c[d.row + k] -= static_cast<T>(d.value) * bias[d.column + k];
                }
            }
            add_outer(c, m, out_, n, p);
            apply(b, out_, n, m, bm);
            for (Index i = 0; i < out_; ++i) {
                const double r = static_cast<double>(bm[i]) + rows * static_cast<double>(c[i]);
                sums.lie += static_cast<double>(c[i]) * r;
                bm[i] = static_cast<T>(2 * r); // gradient of c_a
                to.lie_bias[i] += bm[i];
            }
            for (const Diagonal& d : pair.out) {
                for (Index k = 0; k < d.count; ++k) {
                    to.lie_bias[d.column + k] -= static_cast<T>(d.value) * bm[d.row + k];
                }
            }
        }
        sums.lie += dot(p, b, area);
        for (Index row = 0; row < out_; ++row) {
            for (const Diagonal& d : pair.in) {
                const T* from = p + row * n + d.column;
                T* gradient = to.lie_weight + row * n + d.row;
                const T value = static_cast<T>(2 * d.value);
                for (Index k = 0; k < d.count; ++k) {
                    gradient[k] += value * from[k];
                }
            }
        }
        for (const Diagonal& d : pair.out) {
            const T* from = p + d.row * n;
            T* gradient = to.lie_weight + d.column * n;
            const T value = static_cast<T>(2 * d.value);
            for (Index k = 0; k < d.count * n; ++k) {
                gradient[k] -= value * from[k];
            }
        }
    }

    if (has_bias) {
        add_outer(bias, m, out_, n, q);
        apply(weight, out_, n, m, bm);
    }
    sums.size = dot(q, weight, area);
    for (Index i = 0; has_bias && i < out_; ++i) {
        const double wm = static_cast<double>(bm[i]) + rows * static_cast<double>(bias[i]);
        sums.size += static_cast<double>(bias[i]) * wm;
        to.size_bias[i] = static_cast<T>(2 * wm);
    }
    for (Index i = 0; i < area; ++i) {
        to.size_weight[i] = 2 * q[i];
    }
    return sums;
}

template <class T>
double add_bracket_penalty(double kappa, std::span<const BracketTerm<T>> terms, const Parallel* parallel) {
    // Kept from step to step. All sums first: the roots are taken over the total of all sites.
    thread_local std::vector<T> gradients;
    thread_local std::vector<BracketSite::Sums> sums;
    thread_local std::vector<Index> offset;
    thread_local std::vector<int> order; // sites with the most work first
    offset.assign(1, 0);
    order.clear();
    for (const BracketTerm<T>& t : terms) {
        order.push_back(static_cast<int>(order.size()));
        offset.push_back(offset.back() + 2 * (t.site->out() * t.site->in() + t.site->out()));
    }
    std::ranges::sort(order, [&](int a, int b) {
        const Index first = terms[static_cast<std::size_t>(a)].site->in();
        const Index second = terms[static_cast<std::size_t>(b)].site->in();
        return first != second ? first > second : a < b;
    });
    gradients.resize(static_cast<std::size_t>(offset.back()));
    sums.resize(terms.size());
    const auto for_sites = [&](auto&& use) {
        // Pointers of this thread, for the others.
        T* const first = gradients.data();
        const Index* const begin = offset.data();
        BracketSite::Sums* const to = sums.data();
        const int* const site = order.data();
        const auto part = [&, first, begin, to, site](int k) {
            const auto s = static_cast<std::size_t>(site[k]);
            const Index rows = terms[s].site->out();
            const Index area = rows * terms[s].site->in();
            T* const at = first + begin[s];
            use(terms[s], BracketSite::Gradients<T>{at, at + area, at + area + rows, at + 2 * area + rows},
                area, to[s]);
        };
        const int count = static_cast<int>(terms.size());
        if (parallel != nullptr && *parallel) {
            (*parallel)(count, std::ref(part));
        } else {
            for (int k = 0; k < count; ++k) {
                part(k);
            }
        }
    };
    for_sites([](const BracketTerm<T>& t, const BracketSite::Gradients<T>& g, Index /*area*/,
                 BracketSite::Sums& to) {
        thread_local std::vector<T> scratch;
        to = t.site->evaluate(t.weight, t.bias, t.moments, g, scratch);
    });
    BracketSite::Sums total;
    for (const BracketSite::Sums& s : sums) {
        total.lie += s.lie;
        total.size += s.size;
    }
    const double lie = std::sqrt(std::max(0.0, total.lie));
    const double size = std::sqrt(std::max(0.0, total.size));
    const auto by_lie = static_cast<T>(lie > 0 ? kappa / (2 * lie) : 0.0);
    const auto by_size = static_cast<T>(size > 0 ? kappa / (2 * size) : 0.0);
    for_sites([by_lie, by_size](const BracketTerm<T>& t, const BracketSite::Gradients<T>& g, Index area,
                                BracketSite::Sums& /*sums*/) {
        for (Index i = 0; i < area; ++i) {
            t.weight_gradient[i] += by_lie * g.lie_weight[i] + by_size * g.size_weight[i];
        }
        for (Index i = 0; t.bias != nullptr && i < t.site->out(); ++i) {
            t.bias_gradient[i] += by_lie * g.lie_bias[i] + by_size * g.size_bias[i];
        }
    });
    return kappa * (lie + size);
}

#define TETHER_INSTANTIATE(T)                                                                                \
    template BracketSite::Sums BracketSite::evaluate<T>(const T*, const T*, const T*, const Gradients<T>&,   \
                                                        std::vector<T>&) const;                              \
    template double add_bracket_penalty<T>(double, std::span<const BracketTerm<T>>, const Parallel*);
TETHER_INSTANTIATE(float)
TETHER_INSTANTIATE(double)

} // namespace tether::methods
