// Edge order, checks and checksum of a graph set.
#include "tests/data/support.hpp"

#include <cmath>
#include <limits>

namespace tether::data {
namespace {

using Numbers = std::vector<std::int32_t>;

TEST(GraphSet, EdgesAreSortedByReceiverThenSenderWithTheirFields) {
    GraphSet set = small_set();
    set.finish();
    EXPECT_EQ(set.receiver, (Numbers{0, 1, 0, 1, 1, 2, 0, 1}));
    EXPECT_EQ(set.sender, (Numbers{1, 0, 1, 0, 2, 0, 2, 3}));
    EXPECT_EQ(set.field("weight").values, (std::vector<double>{1, 0, 5, 4, 2, 3, 7, 6}));
    EXPECT_EQ(set.by_sender, (Numbers{1, 0, 1, 3, 0, 2, 0, 1}));
    EXPECT_EQ(set.receiver_begin, (Numbers{0, 1, 0, 1, 3, 0, 0, 1, 2, 2}));
    EXPECT_EQ(set.sender_begin, (Numbers{0, 1, 0, 2, 3, 0, 0, 0, 0, 1}));
}

TEST(GraphSet, ChecksumIsThatOfTheContent) {
    GraphSet a = small_set();
    GraphSet b = small_set();
    a.finish();
    b.path = "elsewhere.h5";
    b.finish();
    EXPECT_EQ(a.sha256.size(), 64U);
    EXPECT_EQ(a.sha256, b.sha256);
    b.fields[0].values[7] = std::nextafter(b.fields[0].values[7], 1e9);
    b.finish();
    EXPECT_NE(a.sha256, b.sha256);
    b = small_set();
    b.split[0].pop_back();
    b.split[1].push_back(3);
    b.finish();
    EXPECT_NE(a.sha256, b.sha256);
}

TEST(GraphSet, ErrorsSayWhere) {
    const auto broken = [](const auto& change) {
        GraphSet set = small_set();
        change(set);
        return error_of([&] { set.finish(); });
    };
    const std::string nan = broken([](GraphSet& s) { s.fields[0].values[9] = std::nan(""); });
    EXPECT_EQ(nan, "small.h5: field 'x', sample 1, node 2, component 1: nan; finite numbers were expected");
    const std::string inf =
        broken([](GraphSet& s) { s.fields[2].values[3] = std::numeric_limits<double>::infinity(); });
    EXPECT_TRUE(contains(inf, "field 'label', sample 3, graph 3, component 0: inf")) << inf;
    EXPECT_TRUE(
        contains(broken([](GraphSet& s) { s.fields[1].values.pop_back(); }), "7 values; 8 edge rows of 1"));
    EXPECT_TRUE(contains(broken([](GraphSet& s) { s.sender[3] = 3; }), "sample 1, edge 1: joins 3 to 2"));
    EXPECT_TRUE(contains(broken([](GraphSet& s) { s.receiver[0] = -1; }), "sample 0, edge 0"));
    EXPECT_TRUE(contains(broken([](GraphSet& s) { s.receiver.pop_back(); }), "8 senders and 7 receivers"));
    EXPECT_TRUE(contains(broken([](GraphSet& s) { s.split[2] = {4}; }), "split test names sample 4 of 4"));
    EXPECT_TRUE(contains(broken([](GraphSet& s) { s.node_begin[1] = 9; }), "ascending"));
    GraphSet set = small_set();
    set.finish();
    EXPECT_TRUE(contains(error_of([&] { (void)set.field_number("lable"); }), "did you mean 'label'"));
    const std::vector<std::string> names{"label", "x"};
    EXPECT_EQ(set.field_numbers(names), (std::vector<int>{2, 0}));
}

} // namespace
} // namespace tether::data
