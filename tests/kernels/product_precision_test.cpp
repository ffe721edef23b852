// Matrix products with rounded operands: what is rounded and how, on the emulation and, where there is one,
// by the tensor cores of a device.
#include "tether/device/backend.hpp"
#include "tether/device/devices.hpp"
#include "tether/kernels/block_product.hpp"
#include "tether/kernels/launchers.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace tether::kernels {
namespace {

using device::rounded;

TEST(Rounded, keeps_what_fits_and_goes_to_the_nearest) {
    constexpr auto tf32 = ProductPrecision::tf32;
    constexpr auto bf16 = ProductPrecision::bf16;
    for (const float x :
         {0.0F, -0.0F, 1.0F, -1.5F, 1.0F + 0x1p-10F, 0x1p-126F, std::numeric_limits<float>::infinity()}) {
        EXPECT_EQ(rounded<tf32>(x), x);
    }
    EXPECT_EQ(rounded<tf32>(1.0F + 0x1p-11F), 1.0F);                    // ties to even,
    EXPECT_EQ(rounded<tf32>(1.0F + 3 * 0x1p-11F), 1.0F + 2 * 0x1p-10F); // which is above here
    EXPECT_EQ(rounded<tf32>(1.0F + 0x1p-11F + 0x1p-20F), 1.0F + 0x1p-10F);
    EXPECT_EQ(rounded<tf32>(-(2.0F - 0x1p-12F)), -2.0F); // into the exponent
    EXPECT_EQ(rounded<bf16>(1.0F + 0x1p-8F), 1.0F);
    EXPECT_EQ(rounded<bf16>(1.0F + 0x1p-7F), 1.0F + 0x1p-7F);
    EXPECT_EQ(rounded<tf32>(rounded<bf16>(0.3F)), rounded<bf16>(0.3F));
    for (const std::uint32_t nan : {0x7FFFFFFFU, 0xFFFFFFFFU, 0x7F800001U, 0x7FC00000U}) {
        EXPECT_TRUE(std::isnan(rounded<tf32>(std::bit_cast<float>(nan))));
        EXPECT_TRUE(std::isnan(rounded<bf16>(std::bit_cast<float>(nan))));
    }
    EXPECT_EQ(rounded<ProductPrecision::exact>(0.3F), 0.3F);
}

struct Case {
    Index rows, inner, columns;
};

std::vector<float> numbers(Index n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> law;
    std::vector<float> x(static_cast<std::size_t>(n));
    for (float& v : x) {
        v = law(random);
    }
    return x;
}

// x [rows x inner] times w [inner x columns] plus a bias, through the launches of one precision.
template <ProductPrecision precision>
std::vector<float> product(device::Backend& backend, const Case& c, const std::vector<float>& x,
                           const std::vector<float>& w, const std::vector<float>& bias) {
    const auto there = [&]<class X>(const std::vector<X>& values) {
        device::Buffer<X> buffer(backend);
        buffer.require(static_cast<Index>(values.size()));
        buffer.load(values);
        return buffer;
    };
    std::vector<ProductPiece> pieces;
    for (Index n = 0; n < c.columns; n += ProductTile::columns) {
        pieces.push_back({n, n, std::min<Index>(ProductTile::columns, c.columns - n), n, 0, 1,
                          (c.inner + ProductTile::depth - 1) / ProductTile::depth});
    }
    const auto a = there(x), b = there(w), d = there(bias);
    const auto piece_table = there(pieces);
    const auto terms =
        there(std::vector<ProductTermOnDevice<float>>{{a.data(), c.inner, c.inner, b.data(), c.columns, 1}});
    const auto out = there(std::vector<float>(static_cast<std::size_t>(c.rows * c.columns)));
    const auto count = static_cast<Index>(pieces.size());
    device::LaunchList list;
    list.team(
        (c.rows + BlockProduct<float, precision>::tile_rows - 1) / BlockProduct<float, precision>::tile_rows *
            count,
        BlockProduct<float, precision>{
            {nullptr, c.rows}, piece_table.data(), count, terms.data(), d.data(), out.data(), c.columns});
    backend.run(list, 0, list.size(), {});
    std::vector<float> result(static_cast<std::size_t>(c.rows * c.columns));
    out.store(result);
    return result;
}

template <ProductPrecision precision>
void expect_products(device::Backend& backend) {
    for (const Case& c : {Case{1, 1, 1}, {31, 33, 65}, {64, 160, 96}, {33, 8, 7}}) {
        const std::vector<float> x = numbers(c.rows * c.inner, 1), w = numbers(c.inner * c.columns, 2),
                                 bias = numbers(c.columns, 3);
        const std::vector<float> y = product<precision>(backend, c, x, w, bias);
        for (Index r = 0; r < c.rows; ++r) {
            for (Index n = 0; n < c.columns; ++n) {
                double sum = static_cast<double>(bias[static_cast<std::size_t>(n)]);
                for (Index k = 0; k < c.inner; ++k) {
                    sum += static_cast<double>(
                               rounded<precision>(x[static_cast<std::size_t>(r * c.inner + k)])) *
                           static_cast<double>(
                               rounded<precision>(w[static_cast<std::size_t>(k * c.columns + n)]));
                }
                ASSERT_NEAR(y[static_cast<std::size_t>(r * c.columns + n)], sum,
                            2e-7 * static_cast<double>(c.inner + 8))
                    << c.rows << " x " << c.inner << " x " << c.columns << " at " << r << ", " << n;
            }
        }
    }
}

// Sums over rows of a[., i] b[., j], as gradients of weights are.
template <ProductPrecision precision>
void expect_gradients(device::Backend& backend) {
    constexpr Index rows = 75, left = 20, right = 50;
    const std::vector<float> a = numbers(rows * left, 4), b = numbers(rows * right, 5);
    const auto there = [&]<class X>(const std::vector<X>& values) {
        device::Buffer<X> buffer(backend);
        buffer.require(static_cast<Index>(values.size()));
        buffer.load(values);
        return buffer;
    };
    const auto first = there(a), second = there(b);
    const auto lanes = there(std::vector<Index>{0, 40, rows});
    const auto partial = there(std::vector<float>(2 * left * right));
    GradientPiece<float> piece{first.data(), left, 0, left, second.data(), right, 0, right, 1, 0, right};
    piece.rows = {lanes.data(), 2, 1};
    piece.partial = partial.data();
    piece.lane_stride = left * right;
    const auto table = there(std::vector<GradientPiece<float>>{piece});
    device::LaunchList list;
    list.team(2, WeightGradientProduct<float, precision>{table.data(), 2});
    backend.run(list, 0, list.size(), {});
    std::vector<float> sums(2 * left * right);
    partial.store(sums);
    for (Index i = 0; i < left; ++i) {
        for (Index j = 0; j < right; ++j) {
            double sum = 0;
            for (Index r = 0; r < rows; ++r) {
                sum += static_cast<double>(rounded<precision>(a[static_cast<std::size_t>(r * left + i)])) *
                       static_cast<double>(rounded<precision>(b[static_cast<std::size_t>(r * right + j)]));
            }
            const auto at = static_cast<std::size_t>(i * right + j);
            ASSERT_NEAR(sums[at] + sums[at + left * right], sum, 2e-5) << i << ", " << j;
        }
    }
}

void expect_all(device::Backend& backend) {
    expect_products<ProductPrecision::exact>(backend);
    expect_products<ProductPrecision::tf32>(backend);
    expect_products<ProductPrecision::bf16>(backend);
    expect_gradients<ProductPrecision::exact>(backend);
    expect_gradients<ProductPrecision::tf32>(backend);
    expect_gradients<ProductPrecision::bf16>(backend);
}

TEST(ProductPrecision, is_that_of_its_rounded_operands) {
    for (const bool descending : {false, true}) {
        const auto emulation = device::make_emulation(descending);
        expect_all(*emulation);
    }
}

TEST(ProductPrecision, of_tensor_cores_is_that_of_the_emulation) {
    if (const std::string missing = device::survey_devices().missing; !missing.empty()) {
        GTEST_SKIP() << missing;
    }
    const auto cuda = device::make_cuda(0, kernels::launchers());
    expect_all(*cuda);
}

} // namespace
} // namespace tether::kernels
