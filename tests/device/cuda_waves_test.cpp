// Waves of launches on the played calls of CUDA: what does not depend on each other runs in any order, on
// several streams and as one kernel over several functors; what comes after waits for all of it.
#include "cuda_fixture.hpp"

#include <algorithm>
#include <vector>

namespace tether::test {
namespace {

struct Numbers {
    Numbers(Backend& b, std::size_t count, Index size) : values(static_cast<std::size_t>(size), 0) {
        for (std::size_t i = 0; i < count; ++i) {
            buffers.emplace_back(b);
            buffers.back().require(size);
            buffers.back().load(std::vector<double>(static_cast<std::size_t>(size), 1.0));
        }
    }
    double* operator[](std::size_t i) { return buffers[i].data(); }
    double last(std::size_t i) {
        buffers[i].store(std::span<double>(values));
        return values.back();
    }
    double first(std::size_t i) { return (void)last(i), values.front(); }
    std::vector<device::Buffer<double>> buffers;
    std::vector<double> values;
};

device::Launch launch_of(Index items, const Double& f) {
    LaunchList list;
    list.each(items, f);
    return list.take().front();
}
device::Launch launch_of(Index blocks, const SumBlock& f) {
    LaunchList list;
    list.team(blocks, f);
    return list.take().front();
}

// x0, x1, x2 are doubled beside each other and beside a sum into x3, which x4 takes up; then again.
TEST(CudaWaves, wait_for_each_other_in_any_order_of_the_streams) {
    for (unsigned seed = 1; seed <= 40; ++seed) {
        Device d(seed);
        Backend& b = *d.backend;
        constexpr Index n = 64;
        Numbers x(b, 6, n);
        LaunchList list;
        list.append_wave({launch_of(n, Double{x[0], x[5]}), launch_of(n, Double{x[1], x[5]}),
                          launch_of(2, SumBlock{x[5], x[3]}), launch_of(n, Double{x[2], x[5]})});
        list.append_wave({launch_of(n, Double{x[0], x[1]}), launch_of(2, Double{x[4], x[3]})});
        list.append_wave({launch_of(n, Double{x[1], x[0]}), launch_of(2, SumBlock{x[0], x[3]})});
        list.append_wave({launch_of(n, Double{x[2], x[1]}), launch_of(2, Double{x[4], x[3]})});
        EXPECT_EQ(list.waves(), 4U);
        double x0 = 1, x1 = 1, x2 = 1, x4 = 1;
        const long before = b.counts().launches;
        for (int step = 0; step < 4; ++step) { // directly, captured, replayed
            b.run(list, 0, list.size(), {});
            x0 = 2 * x0 + 1;
            x1 = 2 * x1 + 1;
            x2 = 2 * x2 + 1;
            x0 = 2 * x0 + x1;
            x1 = 2 * x1 + x0;
            x2 = 2 * x2 + x1;
            x4 = 2 * (2 * x4 + 32) + 32 * x0;
        }
        EXPECT_EQ(x.last(0), x0) << seed;
        EXPECT_EQ(x.last(1), x1) << seed;
        EXPECT_EQ(x.last(2), x2) << seed;
        EXPECT_EQ(x.first(4), x4) << seed;
        EXPECT_EQ(b.counts().launches - before, 2 * 6); // doubles of a wave are one kernel
        EXPECT_EQ(b.counts().replays, 2);
    }
}

// Work on the side has its own order, whatever waves the main stream has meanwhile.
TEST(CudaWaves, of_the_side_and_of_the_main_stream_do_not_mix) {
    for (unsigned seed = 1; seed <= 40; ++seed) {
        Device d(seed);
        Backend& b = *d.backend;
        constexpr Index n = 64;
        Numbers x(b, 8, n);
        LaunchList first, main, side;
        first.each(n, Double{x[0], x[7]});
        main.append_wave({launch_of(n, Double{x[1], x[0]}), launch_of(2, SumBlock{x[0], x[2]})});
        main.each(n, Double{x[1], x[7]});
        side.append_wave({launch_of(n, Double{x[3], x[0]}), launch_of(2, SumBlock{x[0], x[4]})});
        side.each(n, Double{x[3], x[7]});
        double x0 = 1, x1 = 1, x3 = 1;
        for (int step = 0; step < 5; ++step) {
            b.replay(77, [&] {
                b.run(first, 0, 1, {});
                b.beside([&](void*) { b.run(side, 0, side.size(), {}); });
                b.run(main, 0, main.size(), {});
                b.meet();
                b.run(first, 0, 1, {});
            });
            x0 = 2 * x0 + 1;
            x1 = 2 * (2 * x1 + x0) + 1;
            x3 = 2 * (2 * x3 + x0) + 1;
            x0 = 2 * x0 + 1;
        }
        EXPECT_EQ(x.last(0), x0) << seed;
        EXPECT_EQ(x.last(1), x1) << seed;
        EXPECT_EQ(x.last(3), x3) << seed;
    }
}

// Teams in parts are grids of whole clusters; those of other numbers of parts are kernels of their own.
TEST(CudaWaves, of_teams_in_parts_start_whole_clusters) {
    Device d;
    Backend& b = *d.backend;
    Numbers x(b, 6, 40);
    const auto team = [](Index blocks, const SumOfParts& f) {
        LaunchList list;
        list.team(blocks, f);
        return list.take().front();
    };
    LaunchList list;
    list.append_wave({team(5, SumOfParts{8, x[0], x[1]}), team(3, SumOfParts{4, x[2], x[3]}),
                      team(2, SumOfParts{8, x[4], x[5]})});
    const long before = b.counts().launches;
    b.run(list, 0, list.size(), {});
    EXPECT_EQ(b.counts().launches - before, 2);
    EXPECT_EQ(x.last(1), 36);
    EXPECT_EQ(x.first(3), 10);
    EXPECT_EQ(x.first(5), 36);
}

// As many parts as give every multiprocessor (132 are played) two blocks; none where teams are enough.
TEST(CudaWaves, divide_teams_that_leave_the_device_idle) {
    const Device d;
    EXPECT_EQ(d.backend->parts_of_teams(1), 8);
    EXPECT_EQ(d.backend->parts_of_teams(33), 8);
    EXPECT_EQ(d.backend->parts_of_teams(34), 4);
    EXPECT_EQ(d.backend->parts_of_teams(66), 4);
    EXPECT_EQ(d.backend->parts_of_teams(67), 1);
    EXPECT_EQ(d.backend->parts_of_teams(5000), 1);
    // Code for older devices has no meetings, wherever it runs.
    auto machine = std::make_shared<FakeMachine>();
    machine->code = 80;
    const auto older = device::make_cuda(std::make_unique<FakeCuda>(machine), 0, launchers());
    EXPECT_EQ(older->parts_of_teams(1), 1);
}

// Lists that come and go do not fill the device, and what is kept for one is not taken for another's.
TEST(CudaWaves, of_very_many_lists_are_right) {
    Device d;
    Backend& b = *d.backend;
    Numbers x(b, 3, 32);
    LaunchList kept;
    kept.append_wave({launch_of(32, Double{x[0], x[2]}), launch_of(32, Double{x[1], x[2]})});
    const std::size_t memory = d.machine->memory.size();
    std::size_t most = 0;
    for (int i = 0; i < 3000; ++i) {
        LaunchList list;
        list.append_wave({launch_of(32, Double{x[0], x[2]}), launch_of(32, Double{x[1], x[2]})});
        for (std::size_t k : {0U, 1U}) {
            x.buffers[k].load(std::vector<double>(32, i + static_cast<double>(k)));
        }
        b.run(i % 3 == 0 ? kept : list, 0, 2, {});
        ASSERT_EQ(x.last(0), 2 * i + 1);
        ASSERT_EQ(x.last(1), 2 * i + 3);
        most = std::max(most, d.machine->memory.size());
    }
    EXPECT_LE(most, memory + 1025);
}

} // namespace
} // namespace tether::test
