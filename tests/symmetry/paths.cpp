// Paths of tensor products: parity with the layout tables of the reference operations, and fan-in.
#include "tether/symmetry/paths.hpp"

#include "tests/symmetry/symmetry_files.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace tether::symmetry {
namespace {

// The settings may carry a remark after the list: "1x0e (constant 1, no second input)".
Irreps list_of(const nlohmann::json& settings, const char* key) {
    const std::string text = settings.at(key);
    return Irreps::parse(text.substr(0, text.find('(')));
}

TEST(TensorPaths, parity_reference) {
    const auto files = test::files_with("segnn", "layout/paths");
    if (files.empty()) {
        GTEST_SKIP() << "no reference file of a tensor product";
    }
    for (const std::string& file : files) {
        SCOPED_TRACE(file);
        const hdf5::Reader reader(file);
        const auto settings = nlohmann::json::parse(reader.text_attribute("/", "settings"));
        const TensorPaths product =
            tensor_paths(list_of(settings, "irreps_in1"), list_of(settings, "irreps_in2"),
                         list_of(settings, "tp_irreps_out"));
        std::vector<Index> found;
        for (const TensorPath& p : product.paths) {
            found.insert(found.end(), {p.a, p.b, p.c, p.offset, p.mul_a, p.mul_b, p.mul_c});
        }
        EXPECT_EQ(found, reader.integers("layout/paths"));
        EXPECT_EQ(product.weights, static_cast<Index>(reader.doubles("weight/tp.weight").size()));
    }
}

TEST(TensorPaths, merges_neighbours_only_and_sums_fan_in) {
    const TensorPaths product = tensor_paths(Irreps::parse("2x0e+3x0e+2x1o+0x2e+4x0e"),
                                             Irreps::parse("0e+1o"), Irreps::parse("3x0e+2x0e+2x1o+1x1e"));
    EXPECT_EQ(product.a.to_string(), "5x0e+2x1o+4x0e");
    EXPECT_EQ(product.c.to_string(), "5x0e+2x1o+1x1e");
    // 0e: (5x0e,0e), (2x1o,1o), (4x0e,0e); 1o: (5x0e,1o), (2x1o,0e), (4x0e,1o); 1e: (2x1o,1o)
    EXPECT_EQ(product.fan_in, (std::vector<Index>{11, 11, 2}));
    EXPECT_EQ(product.weights, 11 * 5 + 11 * 2 + 2);
    Index offset = 0;
    for (const TensorPath& path : product.paths) {
        EXPECT_EQ(path.offset, offset);
        offset += path.weights();
    }
    EXPECT_EQ(offset, product.weights);
    // Copies of the second list count as well.
    EXPECT_EQ(tensor_paths(Irreps::parse("3x0e"), Irreps::parse("2x0e+5x1o"), Irreps::parse("0e+1o")).fan_in,
              (std::vector<Index>{6, 15}));
    // Nothing reaches an even vector from scalars.
    EXPECT_EQ(tensor_paths(Irreps::parse("0e"), Irreps::parse("0e"), Irreps::parse("1e")).fan_in,
              (std::vector<Index>{0}));
}

// Published parameter counts (models.md): the tensor products of the N-body network.
TEST(TensorPaths, message_of_the_published_network) {
    const Irreps hidden = weight_balanced_irreps(64, 1, 1);
    const Irreps attribute = Irreps::spherical(1);
    const TensorPaths message =
        tensor_paths(hidden + hidden + Irreps::parse("2x0e"), attribute, Irreps::parse("64x0e+32x1o"));
    // 32 copies ×2, each degree; scalars reach 0e by 0e and 1o by 1o, vectors the other way round.
    EXPECT_EQ(message.paths.size(), 10U);
    EXPECT_EQ(message.fan_in, (std::vector<Index>{130, 130}));
    EXPECT_EQ(message.weights, 130 * (64 + 32));
}

} // namespace
} // namespace tether::symmetry
