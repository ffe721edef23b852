// The host executor: places never overlap while two values live (checked against a liveness computed
// here), growth and then no allocation, smaller batches, state kept only when asked, debug messages.
#include "tests/ops/batches.hpp"
#include "tests/program/toy_ops.hpp"
#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"
#include "tether/program/executor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace tether::test {
namespace {

const Extent nodes{Axis::node, 1};
const Extent edges{Axis::edge, 1};

Batch graphs(int count, int size) {
    Batch batch{"graphs", {{}}};
    for (int g = 0; g < count; ++g) {
        batch.lanes[0].push_back(complete_graph(size));
    }
    return batch;
}

template <class T>
BatchPart<T> filled(const Program& program, const Batch& batch, std::uint64_t seed = 1) {
    BatchPart<T> part = make_part<T>(batch, 0, batch.lanes.size());
    part.field.resize(program.fields.size());
    for (const ValueInfo& v : program.values) {
        if (v.kind == ValueKind::input) {
            RandomStream random(seed, Purpose::test, static_cast<std::uint64_t>(v.offset));
            for (Index i = 0; i < part.rows(v.extent) * v.columns; ++i) {
                part.field[static_cast<std::size_t>(v.offset)].push_back(static_cast<T>(random.uniform()));
            }
        }
    }
    return part;
}

// A random program: chains, forks, values of several extents, long and short lives, second outputs
// that nobody reads.
struct RandomProgram {
    explicit RandomProgram(std::uint64_t seed) {
        Builder b(parameters, states);
        RandomStream random(seed, Purpose::test);
        std::vector<std::vector<Value>> pool(4);
        const Extent extents[] = {nodes, edges, {Axis::node, 3}, {Axis::graph, 1}};
        const Index columns[] = {3, 5, 2, 7};
        for (std::size_t k = 0; k < 4; ++k) {
            pool[k].push_back(b.input("x" + std::to_string(k), extents[k], columns[k], k == 0));
        }
        for (int n = 0; n < 60; ++n) {
            const std::size_t k = random.below(4);
            const auto any = [&] { return pool[k][random.below(pool[k].size())]; };
            switch (random.below(4)) {
            case 0:
                pool[k].push_back(toy::record(b, "weight",
                                              {any(), b.parameter({.name = "w" + std::to_string(n),
                                                                   .shape = {columns[k]},
                                                                   .initial = Initial::uniform(1)})},
                                              extents[k], columns[k]));
                break;
            case 1:
                for (const Value v : b.append_all(std::make_shared<toy::Toy>("pair"), {any()},
                                                  {{extents[k], columns[k]}, {extents[k], columns[k]}})) {
                    if (random.below(2) == 0) {
                        pool[k].push_back(v);
                    }
                }
                break;
            default:
                pool[k].push_back(toy::record(b, "sum", {any(), any(), any()}, extents[k], columns[k]));
                break;
            }
        }
        std::vector<Value> losses;
        for (std::size_t k = 0; k < 4; ++k) {
            losses.push_back(toy::record(b, "loss", {pool[k].back()}, {Axis::one, 1}, 1));
            if (const Value v = pool[k][random.below(pool[k].size())];
                b.info(v).kind == ValueKind::intermediate) {
                b.output("kept" + std::to_string(k), v);
            }
        }
        const Value loss = toy::record(b, "sum", losses, {Axis::one, 1}, 1);
        b.sum("loss", loss);
        b.differentiate(loss);
        program = b.finish();
        weights.resize(static_cast<std::size_t>(parameters.size()));
        parameters.initialise<double>(seed, weights);
    }
    ParameterSet parameters;
    StateSet states;
    Program program;
    std::vector<double> weights;
};

// Runs node by node and compares the addresses of everything that is alive at the same time.
TEST(Executor, values_that_live_at_the_same_time_do_not_overlap) {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        const RandomProgram random(seed);
        const Program& p = random.program;
        const auto part = filled<double>(p, graphs(2, 3));
        std::vector<double> gradient(random.weights.size());
        HostExecutor<double> executor(p, Checking::none, 0);
        executor.run(part, {.parameters = random.weights.data(), .gradient = gradient.data()});
        // Independent liveness: from the node that writes a value to the last one that reads it.
        struct Life {
            std::size_t born, dies;
            const double *begin, *end;
        };
        std::map<int, Life> lives;
        for (std::size_t n = 0; n < p.nodes.size(); ++n) {
            for (const Value v : p.nodes[n].out) {
                if (v.valid() && p.info(v).kind == ValueKind::intermediate) {
                    const auto place = executor.value(v);
                    lives[v.id] = {n, n, place.data(), place.data() + place.size()};
                }
            }
            for (const Value v : p.nodes[n].in) {
                if (const auto life = lives.find(v.id); life != lives.end()) {
                    life->second.dies = n;
                }
            }
        }
        for (const auto& [name, v] : p.outputs) {
            if (const auto life = lives.find(v.id); life != lives.end()) {
                life->second.dies = p.nodes.size();
            }
        }
        int compared = 0;
        std::size_t total = 0;
        for (const auto& [a, first] : lives) {
            total += static_cast<std::size_t>(first.end - first.begin);
            for (const auto& [c, second] : lives) {
                if (a < c && first.born <= second.dies && second.born <= first.dies) {
                    EXPECT_TRUE(first.end <= second.begin || second.end <= first.begin)
                        << "seed " << seed << ": values " << a << " and " << c << " live at the same time";
                    ++compared;
                }
            }
        }
        EXPECT_GT(compared, 100);
        EXPECT_LT(executor.arena_bytes(), total * sizeof(double)) << "memory is used again";
    }
}

TEST(Executor, tiles_change_no_bit) {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        const RandomProgram random(seed);
        const Program& p = random.program;
        Batch batch = graphs(2, 3);
        batch.lanes.push_back({}); // an empty lane between
        batch.lanes.push_back({complete_graph(5), complete_graph(2)});
        const auto part = filled<double>(p, batch, seed);
        std::vector<double> whole(random.weights.size());
        HostExecutor<double> one(p, Checking::none, 0);
        one.run(part, {.parameters = random.weights.data(), .gradient = whole.data()});
        for (const Index rows : {1, 2, 5, 1000}) {
            std::vector<double> gradient(random.weights.size());
            HostExecutor<double> two(p, Checking::none, rows);
            two.run(part, {.parameters = random.weights.data(), .gradient = gradient.data()});
            EXPECT_EQ(gradient, whole) << "seed " << seed << ", tiles of " << rows << " rows";
            for (const auto& [name, v] : p.outputs) {
                EXPECT_TRUE(std::ranges::equal(two.output(name), one.output(name)))
                    << "seed " << seed << ", tiles of " << rows << " rows: " << name;
            }
            EXPECT_LE(two.arena_bytes(), 2 * one.arena_bytes());
        }
    }
}

TEST(Executor, the_debug_executor_computes_the_same) {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        const RandomProgram random(seed);
        const auto part = filled<double>(random.program, graphs(2, 3));
        std::vector<double> plain(random.weights.size()), debug(random.weights.size());
        HostExecutor<double> one(random.program), two(random.program, Checking::debug);
        for (int run = 0; run < 2; ++run) {
            one.run(part, {.parameters = random.weights.data(), .gradient = plain.data()});
            two.run(part, {.parameters = random.weights.data(), .gradient = debug.data()});
            ASSERT_EQ(plain, debug);
            for (const auto& [name, v] : random.program.outputs) {
                const auto a = one.output(name), b = two.output(name);
                ASSERT_TRUE(std::ranges::equal(a, b)) << name;
            }
        }
    }
}

TEST(Executor, grows_to_the_largest_batch_and_then_never_again) {
    const RandomProgram random(5);
    std::vector<double> gradient(random.weights.size());
    const Environment<double> environment{.parameters = random.weights.data(), .gradient = gradient.data()};
    HostExecutor<double> executor(random.program, Checking::debug);
    EXPECT_EQ(executor.allocations(), 0);
    executor.run(filled<double>(random.program, graphs(2, 3)), environment);
    EXPECT_EQ(executor.allocations(), 1);
    executor.run(filled<double>(random.program, graphs(5, 4)), environment);
    EXPECT_EQ(executor.allocations(), 2);
    const std::size_t bytes = executor.arena_bytes();
    for (const auto& [count, size] : {std::pair{5, 4}, {1, 2}, {0, 0}, {4, 4}, {20, 1}, {5, 4}}) {
        const auto part = filled<double>(random.program, graphs(count, size));
        const bool more_graphs = count > 5; // 20 graphs: one axis grows
        executor.run(part, environment);
        EXPECT_EQ(executor.allocations(), more_graphs || executor.allocations() == 3 ? 3 : 2);
        // What a fresh executor computes.
        std::vector<double> expected(random.weights.size());
        HostExecutor<double> fresh(random.program);
        fresh.run(part, {.parameters = random.weights.data(), .gradient = expected.data()});
        EXPECT_EQ(gradient, expected) << count << " graphs of " << size;
        for (const auto& [name, v] : random.program.outputs) {
            EXPECT_TRUE(std::ranges::equal(executor.output(name), fresh.output(name))) << name;
            EXPECT_EQ(static_cast<Index>(executor.output(name).size()),
                      part.rows(random.program.info(v).extent) * random.program.info(v).columns);
        }
    }
    EXPECT_GE(executor.arena_bytes(), bytes);
}

TEST(Executor, state_is_committed_only_when_asked) {
    ParameterSet parameters;
    StateSet states;
    Builder b(parameters, states);
    const Value mean = b.state({.name = "mean", .shape = {2}, .initial = 3});
    b.append_into(std::make_shared<toy::Toy>("statistics"), {b.input("x", nodes, 2)}, {b.next_state(mean)});
    const Program p = b.finish();
    std::vector<float> state;
    states.initialise(state);
    EXPECT_EQ(state, (std::vector<float>{3, 3}));
    std::vector<float> next = state;
    const auto part = filled<float>(p, graphs(1, 4));
    HostExecutor<float> executor(p);
    executor.run(part, {.state = state.data(), .next_state = next.data(), .commits_state = false});
    EXPECT_EQ(next, state);
    executor.run(part, {.state = state.data(), .next_state = next.data(), .commits_state = true});
    EXPECT_NE(next, state);
    EXPECT_EQ(state, (std::vector<float>{3, 3}));
}

TEST(Executor, debug_names_node_row_and_column_of_a_number_gone_wrong) {
    ParameterSet parameters;
    StateSet states;
    Builder b(parameters, states);
    const Value x = b.input("x", nodes, 3);
    const Value y = toy::record(b, "sum", {x}, nodes, 3);
    b.output("z", toy::record(b, "sum", {y, y}, nodes, 3));
    const Program p = b.finish();
    auto part = filled<float>(p, graphs(1, 4));
    for (const float wrong :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        part.field[0][2 * 3 + 1] = wrong;
        HostExecutor<float> plain(p);
        plain.run(part, {});
        HostExecutor<float> debug(p, Checking::debug);
        try {
            debug.run(part, {});
            ADD_FAILURE() << "not noticed";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::numbers);
            const std::string message = error.what();
            EXPECT_NE(message.find("node 0 (sum)"), std::string::npos) << message;
            EXPECT_NE(message.find("row 2, column 1"), std::string::npos) << message;
        }
    }
    part.field[0][2 * 3 + 1] = 1;
    HostExecutor<float> debug(p, Checking::debug);
    debug.run(part, {});
    EXPECT_THROW((void)debug.output("y"), Error);
    EXPECT_THROW((void)debug.value(x), Error);
}

TEST(Executor, runs_by_ranges_of_nodes) {
    const RandomProgram random(3);
    const Program& p = random.program;
    const auto part = filled<double>(p, graphs(2, 3));
    std::vector<double> whole(random.weights.size()), pieces(random.weights.size());
    HostExecutor<double> one(p), two(p);
    one.run(part, {.parameters = random.weights.data(), .gradient = whole.data()});
    const Environment<double> environment{.parameters = random.weights.data(), .gradient = pieces.data()};
    two.run_nodes(part, environment, 0, p.forward_nodes);
    two.run_nodes(part, environment, p.forward_nodes, p.part_nodes);
    two.run_nodes(part, environment, p.part_nodes, p.nodes.size());
    EXPECT_EQ(whole, pieces);
    std::vector<double> sums(static_cast<std::size_t>(p.sum_columns()));
    two.copy_sums(sums.data());
    EXPECT_EQ(sums.front(), one.output("loss").front());
}

TEST(PackedWeights, any_number_of_threads_packs_the_same) {
    ParameterSet parameters;
    StateSet states;
    Builder b(parameters, states);
    std::vector<float> weights(1000);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        weights[i] = static_cast<float>(i);
    }
    for (Index i = 0; i < 9; ++i) {
        b.pack({i * 7, 1, 11, 11, 3 + 4 * i});
        b.pack({i, 5 + i, 1, 9, 5 + i});
    }
    const Program p = b.finish();
    PackedWeights<float> whole(p);
    whole.renew(weights.data());
    const auto size = static_cast<std::size_t>(PackedWeights<float>::size(p));
    for (const int parts : {2, 3, 8, 40}) {
        std::vector<float> memory(size);
        PackedWeights<float> shared(p, memory);
        for (int part = 0; part < parts; ++part) {
            shared.renew(weights.data(), part, parts);
        }
        EXPECT_TRUE(std::equal(whole.data(), whole.data() + size, memory.data())) << parts << " parts";
    }
}

} // namespace
} // namespace tether::test
