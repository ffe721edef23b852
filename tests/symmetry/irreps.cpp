// Lists of irreps: reading, counting, merging, memory order; parity with the cases of the reference.
#include "tether/symmetry/irreps.hpp"

#include "tests/symmetry/symmetry_files.hpp"
#include "tether/core/error.hpp"
#include "tether/symmetry/layout.hpp"
#include "tether/symmetry/paths.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace tether::symmetry {
namespace {

std::string message_of(const std::string& text) {
    try {
        (void)Irreps::parse(text);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    return "accepted";
}

TEST(Irreps, parity_parse) {
    const auto files = test::files_with("symmetry", "parse/text");
    if (files.empty()) {
        GTEST_SKIP() << "no reference file with irreps texts";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const auto texts = reader.strings("parse/text");
        const auto valid = reader.integers("parse/valid");
        const auto canonical = reader.strings("parse/canonical");
        const auto simplified = reader.strings("parse/simplified");
        const auto dim = reader.integers("parse/dim");
        const auto count = reader.integers("parse/num_irreps");
        const auto terms = reader.integers("parse/terms");
        const auto lmax = reader.integers("parse/lmax");
        for (std::size_t i = 0; i < texts.size(); ++i) {
            SCOPED_TRACE(file + ": '" + texts[i] + "'");
            if (valid[i] == 0) {
                const std::string message = message_of(texts[i]);
                EXPECT_NE(message.find("position"), std::string::npos) << message;
                EXPECT_NE(message.find("expected"), std::string::npos) << message;
                continue;
            }
            const Irreps irreps = Irreps::parse(texts[i]);
            EXPECT_EQ(irreps.to_string(), canonical[i]);
            EXPECT_EQ(irreps.simplified().to_string(), simplified[i]);
            EXPECT_EQ(irreps.dim(), dim[i]);
            EXPECT_EQ(irreps.count(), count[i]);
            EXPECT_EQ(irreps.size(), terms[i]);
            EXPECT_EQ(irreps.lmax(), lmax[i]);
            EXPECT_EQ(Irreps::parse(irreps.to_string()), irreps);
        }
    }
}

TEST(Irreps, parity_weight_balanced) {
    const auto files = test::files_with("symmetry", "balanced/width");
    if (files.empty()) {
        GTEST_SKIP() << "no reference file with balanced irreps";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const auto width = reader.integers("balanced/width");
        const auto lmax_hidden = reader.integers("balanced/lmax_hidden");
        const auto lmax_attribute = reader.integers("balanced/lmax_attribute");
        const auto n = reader.integers("balanced/n");
        const auto texts = reader.strings("balanced/irreps");
        const auto dim = reader.integers("balanced/dim");
        const auto weights = reader.integers("balanced/weights");
        const auto paths = reader.integers("balanced/paths");
        for (std::size_t i = 0; i < width.size(); ++i) {
            const Irreps hidden = weight_balanced_irreps(width[i], static_cast<int>(lmax_attribute[i]),
                                                         static_cast<int>(lmax_hidden[i]));
            EXPECT_EQ(hidden.to_string(), texts[i]) << file << " row " << i;
            EXPECT_EQ(hidden[0].mul, n[i]);
            EXPECT_EQ(hidden.dim(), dim[i]);
            const TensorPaths product =
                tensor_paths(hidden, Irreps::spherical(static_cast<int>(lmax_attribute[i])), hidden);
            EXPECT_EQ(product.weights, weights[i]);
            EXPECT_EQ(static_cast<Index>(product.paths.size()), paths[i]);
        }
    }
}

TEST(Irreps, messages_name_position_and_expectation) {
    EXPECT_EQ(message_of("2x1f"), R"(irreps "2x1f", position 4: found 'f', expected parity e or o)");
    EXPECT_EQ(
        message_of("0e+"),
        R"(irreps "0e+", position 4: found the end, expected a multiplicity or a degree (a whole number))");
    EXPECT_EQ(message_of("0e 1o"), R"(irreps "0e 1o", position 4: found '1o', expected '+' or the end)");
    EXPECT_EQ(
        message_of("-1x0e"),
        R"(irreps "-1x0e", position 1: found '-1x0e', expected a multiplicity or a degree (a whole number))");
    EXPECT_NE(message_of(std::string("0e\0", 3)).find("found '\\x00'"), std::string::npos);
}

TEST(Irreps, hostile_texts_are_refused) {
    const std::string huge(5000, '9');
    EXPECT_NE(message_of(huge + "x0e").find("columns in all"), std::string::npos);
    EXPECT_NE(message_of("1x" + huge + "e").find("degree of at most"), std::string::npos);
    EXPECT_NE(message_of("18446744073709551617x1o").find("columns in all"), std::string::npos);
    EXPECT_NE(message_of("600000000x0e+600000000x0e").find("position 14"), std::string::npos);
    std::string many = "0e";
    for (int i = 0; i < 100000; ++i) {
        many += "+0e";
    }
    const std::string message = message_of(many);
    EXPECT_NE(message.find("terms"), std::string::npos);
    EXPECT_LT(message.size(), 300U); // quotes a part of the text
    EXPECT_THROW(Irreps(std::vector{Term{-1, {0, 1}}}), Error);
    EXPECT_THROW(Irreps(std::vector{Term{1, {-1, 1}}}), Error);
    EXPECT_THROW(Irreps(std::vector{Term{1, {0, 0}}}), Error);
    EXPECT_THROW((void)weight_balanced_irreps(0, 1, 1), Error);
    EXPECT_THROW((void)weight_balanced_irreps(64, 1, 7), Error);
    EXPECT_THROW((void)weight_balanced_irreps(64, Irreps::parse("1x0o"), 0), Error);
    EXPECT_THROW(
        (void)tensor_paths(Irreps::parse("900000000x0e"), Irreps::parse("0e"), Irreps::parse("900000000x0e")),
        Error);
}

TEST(Irreps, offsets_and_queries) {
    const Irreps irreps = Irreps::parse("3x0e+2x1o+1x2e+4x0e");
    EXPECT_EQ(irreps.offset(0), 0);
    EXPECT_EQ(irreps.offset(1), 3);
    EXPECT_EQ(irreps.offset(2), 9);
    EXPECT_EQ(irreps.offset(3), 14);
    EXPECT_EQ(irreps.offset(4), irreps.dim());
    EXPECT_EQ(irreps.multiplicity({0, 1}), 7);
    EXPECT_FALSE(irreps.only_scalars());
    EXPECT_TRUE(Irreps::parse("3x0e+0x1o").only_scalars());
    EXPECT_FALSE(Irreps::parse("0o").only_scalars());
    EXPECT_EQ((irreps + Irreps::parse("1o")).to_string(), "3x0e+2x1o+1x2e+4x0e+1x1o");
    EXPECT_EQ(Irreps::spherical(2).to_string(), "1x0e+1x1o+1x2e");
}

TEST(Irreps, balanced_with_repeated_attributes_counts_weights) {
    for (const char* attribute : {"2x0e+3x1o", "0e+1o", "1o", "5x0e+1o+2x2e"}) {
        for (const Index width : {1, 7, 64, 100}) {
            const Irreps b = Irreps::parse(attribute);
            const Irreps hidden = weight_balanced_irreps(width, b, 1);
            EXPECT_GE(tensor_paths(hidden, b, hidden).weights, width * width) << attribute;
            const Index n = hidden[0].mul;
            if (n > 1) {
                const Irreps smaller = Irreps::spherical(1, n - 1);
                EXPECT_LT(tensor_paths(smaller, b, smaller).weights, width * width) << attribute;
            }
        }
    }
}

TEST(Layout, component_major_order) {
    // Two vectors after a scalar: x0 y0 z0 x1 y1 z1 becomes x0 x1 y0 y1 z0 z1.
    EXPECT_EQ(component_major_order(Irreps::parse("0e+2x1o")), (std::vector<Index>{0, 1, 4, 2, 5, 3, 6}));
    const Irreps irreps = Irreps::parse("3x0e+2x1o+0x3o+3x2e+1x1o");
    const auto to = component_major_order(irreps);
    const auto back = published_order(irreps);
    ASSERT_EQ(static_cast<Index>(to.size()), irreps.dim());
    for (std::size_t k = 0; k < to.size(); ++k) {
        EXPECT_EQ(to[static_cast<std::size_t>(back[k])], static_cast<Index>(k));
    }
}

} // namespace
} // namespace tether::symmetry
