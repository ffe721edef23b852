// Programs over rows against plain loops: products of several terms and of sums of nothing, transposed
// weights, biases, elementwise work behind them, steps by rows before and after; for any number of rows,
// times and parts, on the emulation and, where there is one, on a device.
#include "tether/core/error.hpp"
#include "tether/device/backend.hpp"
#include "tether/device/devices.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/kernels/launchers.hpp"
#include "tether/kernels/row_program.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace tether::kernels {
namespace {

struct Case {
    Index rows, times, first_k, second_k, columns;
};

template <class T>
std::vector<T> numbers(Index n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> law;
    std::vector<T> x(static_cast<std::size_t>(n));
    for (T& v : x) {
        v = static_cast<T>(law(random));
    }
    return x;
}

template <class T>
RowStep by_rows(Index columns, Index times, const Index* axis_rows, const auto& g) {
    device::LaunchList list;
    list.rows(1, columns, axis_rows, times,
              PerFlat<std::decay_t<decltype(g)>>{{axis_rows, times}, columns, g});
    return *row_step<T>(list.launches().front());
}

// s = 2 x; y = [s, z] w + bias in the first columns, [z] wt' behind them, nothing in the last; q = y · y;
// out = q + y.
template <class T>
struct Work {
    Work(device::Backend& b, const Case& of, Index spare)
        : backend(b), c(of), x(numbers<T>(c.rows * c.times * c.first_k, 1)),
          z(numbers<T>(c.rows * c.times * c.second_k, 2)),
          w(numbers<T>((c.first_k + c.second_k) * c.columns, 3)), wt(numbers<T>(c.columns * c.second_k, 4)),
          bias(numbers<T>(c.columns, 5)), capacity(c.rows + spare) {}

    [[nodiscard]] Index width() const { return 2 * c.columns + 3; }

    // `meets`: whether the parts do as they must.
    std::vector<T> run(int parts, bool meets = true) const {
        const auto there = [&]<class X>(std::vector<X> values) {
            device::Buffer<X> buffer(backend);
            buffer.require(static_cast<Index>(values.size()));
            buffer.load(values);
            return buffer;
        };
        const auto rows = static_cast<std::size_t>(capacity * c.times);
        const auto width_of = static_cast<std::size_t>(width());
        const auto on_x = there(x), on_z = there(z), on_w = there(w), on_wt = there(wt),
                   on_bias = there(bias);
        const auto count = there(std::vector<Index>{c.rows});
        const auto s = there(std::vector<T>(rows * static_cast<std::size_t>(c.first_k)));
        const auto y = there(std::vector<T>(rows * width_of, T(-7)));
        const auto q = there(std::vector<T>(rows * width_of, T(-7)));
        const auto out = there(std::vector<T>(rows * width_of, T(-7)));
        std::vector<RowLevel<T>> levels(3);
        levels[0].steps.push_back(
            by_rows<T>(c.first_k, c.times, count.data(), ScaleNumbers<T>{on_x.data(), T(2), s.data()}));
        levels[0].meet = meets;
        RowProduct<T> product;
        product.rows = {count.data(), c.times};
        product.terms = {
            {s.data(), c.first_k, c.first_k, on_w.data(), c.columns, 1},
            {on_z.data(), c.second_k, c.second_k, on_w.data() + c.first_k * c.columns, c.columns, 1},
            {on_z.data(), c.second_k, c.second_k, on_wt.data(), 1, c.second_k}};
        product.pieces = {
            {0, 0, c.columns, 0, 0, 2}, {c.columns, 0, c.columns, -1, 2, 3}, {2 * c.columns, 0, 3}};
        product.bias = on_bias.data();
        product.out = y.data();
        product.out_stride = width();
        product.then.push_back(
            by_rows<T>(width(), c.times, count.data(), MultiplyNumbers<T>{y.data(), y.data(), q.data()}));
        levels[1].products.push_back(std::move(product));
        levels[1].meet = meets;
        levels[2].steps.push_back(
            by_rows<T>(width(), c.times, count.data(), AddNumbers<T>{{q.data(), y.data()}, 2, out.data()}));
        const Index block_rows = std::max<Index>(1, 16 / c.times);
        const RowTables tables = row_tables(levels, block_rows, parts);
        EXPECT_EQ(tables.meetings, meets ? 2 : 0);
        const auto steps = there(tables.steps), then = there(tables.then);
        device::LaunchList list;
        append_row_program<T>(list, {{count.data()}, capacity, block_rows, parts}, tables, steps.data(),
                              then.data());
        backend.run(list, 0, list.size(), {});
        std::vector<T> result(rows * width_of);
        out.store(std::span<T>(result));
        return result;
    }
    // In double, by plain loops.
    [[nodiscard]] double expected(Index row, Index column) const {
        const auto at = [](const std::vector<T>& v, Index i) {
            return static_cast<double>(v[static_cast<std::size_t>(i)]);
        };
        double sum = 0;
        if (column < c.columns) {
            sum = at(bias, column);
            for (Index k = 0; k < c.first_k; ++k) {
                sum += 2 * at(x, row * c.first_k + k) * at(w, k * c.columns + column);
            }
            for (Index k = 0; k < c.second_k; ++k) {
                sum += at(z, row * c.second_k + k) * at(w, (c.first_k + k) * c.columns + column);
            }
        } else if (column < 2 * c.columns) {
            for (Index k = 0; k < c.second_k; ++k) {
                sum += at(z, row * c.second_k + k) * at(wt, (column - c.columns) * c.second_k + k);
            }
        }
        return sum * sum + sum;
    }

    device::Backend& backend;
    Case c;
    std::vector<T> x, z, w, wt, bias;
    Index capacity;
};

const std::vector<Case> cases{{1, 1, 1, 1, 1},    {16, 1, 64, 64, 32}, {33, 1, 130, 7, 65},
                              {5, 3, 20, 96, 40}, {2, 20, 9, 17, 33},  {47, 1, 32, 32, 96}};

template <class T>
void expect_work(device::Backend& backend, const std::vector<int>& parts) {
    for (const Case& c : cases) {
        for (const Index spare : {Index{0}, Index{21}}) {
            const Work<T> work(backend, c, spare);
            const std::vector<T> whole = work.run(1);
            for (const int p : parts) {
                ASSERT_EQ(work.run(p), whole) << p << " parts of " << c.rows << " rows"; // bit by bit
            }
            const double tolerance = 64 * static_cast<double>(std::numeric_limits<T>::epsilon()) *
                                     static_cast<double>(c.first_k + c.second_k + 8);
            for (Index r = 0; r < work.capacity * c.times; ++r) {
                for (Index n = 0; n < work.width(); ++n) {
                    const auto found =
                        static_cast<double>(whole[static_cast<std::size_t>(r * work.width() + n)]);
                    if (r < c.rows * c.times) {
                        const double expected = work.expected(r, n);
                        ASSERT_NEAR(found, expected, tolerance * (1 + std::abs(expected))) << r << ", " << n;
                    } else {
                        ASSERT_EQ(found, -7) << "row " << r << " is beyond the " << c.rows << " there are";
                    }
                }
            }
        }
    }
}

TEST(RowProgram, is_what_plain_loops_make_in_any_number_of_parts) {
    for (const bool descending : {false, true}) {
        const auto emulation = device::make_emulation(descending);
        expect_work<float>(*emulation, {2, 4, 8});
        expect_work<double>(*emulation, {2, 8});
    }
}

TEST(RowProgram, has_the_same_bits_in_any_order_of_threads_and_parts) {
    const auto forwards = device::make_emulation(false);
    const auto backwards = device::make_emulation(true);
    for (const Case& c : cases) {
        EXPECT_EQ(Work<float>(*forwards, c, 0).run(4), Work<float>(*backwards, c, 0).run(4));
    }
}

// A part that does not wait for the others finds what was there before: the emulation runs it as far as it
// gets.
TEST(RowProgram, shows_on_the_emulation_where_parts_should_have_met) {
    const auto emulation = device::make_emulation();
    const Work<float> work(*emulation, {33, 1, 130, 7, 65}, 0);
    EXPECT_EQ(work.run(1, false), work.run(1, true));
    EXPECT_NE(work.run(4, false), work.run(4, true));
}

TEST(RowProgram, on_a_device_has_the_bits_of_one_part_and_the_numbers_of_the_host) {
    if (const std::string missing = device::survey_devices().missing; !missing.empty()) {
        GTEST_SKIP() << missing;
    }
    const auto cuda = device::make_cuda(0, kernels::launchers());
    const std::vector<int> parts =
        cuda->parts_of_teams(1) > 1 ? std::vector<int>{2, 4, 8} : std::vector<int>{};
    expect_work<float>(*cuda, parts);
    expect_work<double>(*cuda, parts);
}

TEST(RowProgram, of_too_many_parts_is_refused) {
    EXPECT_THROW((void)row_tables<float>({RowLevel<float>{}}, 16, 9), Error);
    EXPECT_THROW((void)row_tables<float>({RowLevel<float>{}}, 16, 0), Error);
}

// Parts that meet unequally often would wait for ever on a device.
struct Unequal {
    static constexpr int threads = 32;
    struct Shared {};
    struct Local {};
    std::int32_t parts;
    [[nodiscard]] Index phases(Index, int part) const { return part == 0 ? 2 : 1; }
    void phase(Index, Index, int, int, Shared&, Local&) const {}
    [[nodiscard]] bool meets(Index p, const Shared&) const { return p == 1; }
};

TEST(RowProgram, whose_parts_meet_unequally_often_is_found_by_the_emulation) {
    const auto emulation = device::make_emulation();
    device::LaunchList list;
    list.team(3, Unequal{2});
    EXPECT_EQ(list.launches().front().parts, 2);
    EXPECT_THROW(emulation->run(list, 0, 1, {}), Error);
}

} // namespace
} // namespace tether::kernels
