// Lanes of a batch: every part equals what the set says, together they are the whole batch.
#include "tether/data/collate.hpp"

#include "tests/data/support.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace tether::data {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// Invariants of batch.hpp, and agreement with the set, for samples of this part.
template <class T>
void expect_right(const GraphSet& set, std::span<const int> fields, std::span<const Index> samples,
                  const BatchPart<T>& part) {
    const Topology& t = part.topology;
    ASSERT_EQ(part.sample, std::vector<Index>(samples.begin(), samples.end()));
    Index node = 0;
    Index edge = 0;
    for (std::size_t g = 0; g < samples.size(); ++g) {
        ASSERT_EQ(t.node_begin[g], node);
        for (Index i = 0; i < set.nodes(samples[g]); ++i) {
            EXPECT_EQ(t.graph_of_node[at(node + i)], static_cast<int>(g));
        }
        for (Index e = 0; e < set.edges(samples[g]); ++e) {
            const Index from = set.edge_begin[at(samples[g])] + e;
            EXPECT_EQ(t.sender[at(edge + e)], set.sender[at(from)] + node);
            EXPECT_EQ(t.receiver[at(edge + e)], set.receiver[at(from)] + node);
        }
        for (std::size_t f = 0; f < fields.size(); ++f) {
            const Field& field = set.fields[at(fields[f])];
            const bool on_nodes = field.axis == Axis::node;
            const Index rows = field.axis == Axis::graph ? 1
                               : on_nodes                ? set.nodes(samples[g])
                                                         : set.edges(samples[g]);
            const Index from = field.axis == Axis::graph ? samples[g]
                               : on_nodes                ? set.node_begin[at(samples[g])]
                                                         : set.edge_begin[at(samples[g])];
            const Index to = field.axis == Axis::graph ? static_cast<Index>(g) : on_nodes ? node : edge;
            for (Index i = 0; i < rows * field.width; ++i) {
                EXPECT_EQ(part.field[f][at(to * field.width + i)],
                          static_cast<T>(field.values[at(from * field.width + i)]));
            }
        }
        node += set.nodes(samples[g]);
        edge += set.edges(samples[g]);
    }
    ASSERT_EQ(part.rows(Axis::node), node);
    ASSERT_EQ(part.rows(Axis::edge), edge);
    ASSERT_EQ(part.rows(Axis::graph), std::ssize(samples));
    ASSERT_EQ(std::ssize(t.receiver_begin), node + 1);
    for (Index i = 0; i < node; ++i) {
        for (Index e = t.receiver_begin[at(i)]; e < t.receiver_begin[at(i) + 1]; ++e) {
            EXPECT_EQ(t.receiver[at(e)], i);
        }
        for (Index e = t.sender_begin[at(i)]; e < t.sender_begin[at(i) + 1]; ++e) {
            EXPECT_EQ(t.sender[at(t.by_sender[at(e)])], i);
            EXPECT_TRUE(e == t.sender_begin[at(i)] || t.by_sender[at(e)] > t.by_sender[at(e - 1)]);
        }
    }
    EXPECT_EQ(t.receiver_begin.back(), edge);
    EXPECT_EQ(t.sender_begin.back(), edge);
    for (std::size_t f = 0; f < fields.size(); ++f) {
        const Field& field = set.fields[at(fields[f])];
        EXPECT_EQ(std::ssize(part.field[f]), part.rows(field.axis) * field.width);
    }
}

TEST(Collate, EveryLaneOfEveryCutIsRight) {
    GraphSet set = small_set();
    set.finish();
    const std::vector<std::string> names{"label", "weight", "x"};
    const std::vector<int> fields = set.field_numbers(names);
    const std::vector<Index> samples{3, 0, 2, 1, 1, 3, 0};
    BatchPart<float> reused;
    for (const Index lanes : {1, 2, 4, 8, 16}) { // 8 and 16: more lanes than samples
        Index covered = 0;
        for (Index first = 0; first < lanes; ++first) {
            for (Index count = 0; first + count <= lanes; ++count) {
                collate(set, fields, samples, lanes, first, count, reused);
                const Index begin = lane_samples(7, lanes, first).first;
                const Index end = count == 0 ? begin : lane_samples(7, lanes, first + count - 1).last;
                EXPECT_EQ(reused.lanes, count);
                expect_right(set, fields, std::span(samples).subspan(at(begin), at(end - begin)), reused);
                for (Index l = 0; l < count; ++l) {
                    const SampleRange mine = lane_samples(7, lanes, first + l);
                    EXPECT_EQ(reused.lane_begin[at(static_cast<Index>(Axis::graph))][at(l)],
                              mine.first - begin);
                    EXPECT_EQ(reused.lane_begin[at(static_cast<Index>(Axis::one))][at(l) + 1], l + 1);
                    covered += count == 1 ? mine.last - mine.first : 0;
                }
            }
        }
        EXPECT_EQ(covered, 7);
    }
    BatchPart<double> wide;
    collate(set, fields, samples, 2, 0, 2, wide);
    expect_right(set, fields, samples, wide);
    EXPECT_EQ(wide.lane_begin[at(static_cast<Index>(Axis::node))], (std::vector<Index>{0, 7, 19}));
    EXPECT_EQ(wide.lane_begin[at(static_cast<Index>(Axis::edge))], (std::vector<Index>{0, 4, 16}));
}

// The divisor is that of the whole global batch, in whatever lanes a sample lies; other fields stay.
TEST(Collate, DividesByTheMaximumOfTheWholeBatch) {
    GraphSet plain = small_set();
    plain.finish();
    GraphSet set = small_set();
    set.fields[0].over_batch_maximum = true; // x, [10 x 2], from 100 upwards
    set.finish();
    const std::vector<int> fields = set.field_numbers(std::vector<std::string>{"x", "weight"});
    for (const std::vector<Index>& samples : {std::vector<Index>{3, 0, 2, 1}, {0, 1, 0}, {2}}) {
        double most = 0;
        for (const Index s : samples) {
            const auto first = plain.fields[0].values.begin();
            most = std::max(most, *std::max_element(first + 2 * plain.node_begin[at(s)],
                                                    first + 2 * plain.node_begin[at(s) + 1]));
        }
        for (const Index lanes : {1, 4}) {
            for (Index lane = 0; lane < lanes; ++lane) {
                BatchPart<double> part, as_is;
                collate(set, fields, samples, lanes, lane, 1, part);
                collate(plain, fields, samples, lanes, lane, 1, as_is);
                for (double& value : as_is.field[0]) {
                    value /= most;
                }
                EXPECT_EQ(part.field, as_is.field);
            }
        }
    }
    // A batch that is zero all over stays so.
    std::ranges::fill(set.fields[0].values, 0.0);
    set.finish();
    BatchPart<float> part;
    collate(set, fields, std::vector<Index>{1}, 1, 0, 1, part);
    EXPECT_EQ(part.field[0], std::vector<float>(6, 0.0F));
}

TEST(Collate, AWarmPartKeepsItsMemory) {
    GraphSet set = small_set();
    set.finish();
    const std::vector<int> fields{0, 1, 2};
    const std::vector<Index> whole{3, 1, 3, 1, 3, 1};
    const std::vector<Index> shorter{0};
    BatchPart<float> part;
    collate(set, fields, whole, 4, 0, 4, part);
    const std::int32_t* sender = part.topology.sender.data();
    const float* x = part.field[0].data();
    const Index* sample = part.sample.data();
    collate(set, fields, shorter, 4, 0, 4, part);
    collate(set, fields, whole, 4, 0, 4, part);
    EXPECT_EQ(part.topology.sender.data(), sender);
    EXPECT_EQ(part.field[0].data(), x);
    EXPECT_EQ(part.sample.data(), sample);
}

TEST(Collate, RefusesWhatIsOutOfRange) {
    GraphSet set = small_set();
    set.finish();
    BatchPart<float> part;
    const std::vector<Index> outside{0, 4};
    EXPECT_TRUE(contains(error_of([&] { collate(set, {}, outside, 1, 0, 1, part); }, ExitCode::usage),
                         "has 4 samples; the batch names sample 4"));
    const std::vector<Index> good{0};
    EXPECT_TRUE(
        contains(error_of([&] { collate(set, {}, good, 4, 3, 2, part); }, ExitCode::usage), "lanes 3 to 5"));
}

// It is part of every training step: 100 graphs of 5 nodes and 20 edges in far less than 0.1 ms.
TEST(Collate, IsQuick) {
    GraphSet set;
    for (int g = 0; g < 200; ++g) {
        set.add_graph(5);
        set.connect_all();
    }
    set.fields = {{"position", Axis::node, 3, "1", std::vector<double>(3000, 1)},
                  {"velocity", Axis::node, 3, "1", std::vector<double>(3000, 1)}};
    set.finish();
    std::vector<Index> samples(100);
    std::iota(samples.begin(), samples.end(), Index{37});
    const std::vector<int> fields{0, 1};
    BatchPart<float> part;
    double best = 1;
    for (int i = 0; i < 300; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        collate(set, fields, samples, 8, 0, 8, part);
        best =
            std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    RecordProperty("seconds", std::to_string(best));
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LT(best, 1e-4);
#endif
    EXPECT_EQ(part.rows(Axis::edge), 2000);
}

} // namespace
} // namespace tether::data
