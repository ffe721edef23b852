// The backend of a CUDA device on a fake of its calls: order of copies and lists, graphs, counts, and what
// every failing call ends in.
#include "cuda_fixture.hpp"

#include "tether/core/log.hpp"

#include <gtest/gtest.h>

#include <array>

namespace tether::test {
namespace {

TEST(CudaBackend, batches_travel_beside_the_work_and_none_is_lost_or_early) {
    for (unsigned seed = 1; seed <= 40; ++seed) {
        Device d(seed);
        Backend& b = *d.backend;
        constexpr Index n = 64;
        device::Buffer<double> x(b), y(b);
        x.require(n);
        y.require(n);
        std::array<double*, 2> staging{};
        for (double*& s : staging) {
            s = static_cast<double*>(b.allocate_staging(n * sizeof(double)));
        }
        auto* back = static_cast<double*>(b.allocate_staging(sizeof(double)));
        LaunchList list;
        list.each(n, Double{x.data(), y.data()});
        std::vector<double> expected(n, 0);
        const long waits = b.counts().waits;
        for (int step = 0; step < 12; ++step) {
            double* s = staging[static_cast<std::size_t>(step % 2)];
            b.await(s);
            for (Index i = 0; i < n; ++i) {
                s[i] = static_cast<double>((step + 1) * (i + 1));
                expected[static_cast<std::size_t>(i)] = 2 * expected[static_cast<std::size_t>(i)] + s[i];
            }
            b.to_device(y.data(), s, n * sizeof(double));
            b.run(list, 0, list.size(), {});
            if (step == 7) {
                b.fetch(back, x.data() + 5, sizeof(double));
                const double then = expected[5];
                b.await(back);
                ASSERT_EQ(*back, then);
            }
        }
        // Only await waited, and at most once per call: nothing moves on this machine until somebody does.
        EXPECT_LE(b.counts().waits - waits, 13);
        std::vector<double> result(n);
        x.store(result);
        ASSERT_EQ(result, expected) << "seed " << seed;
        EXPECT_EQ(b.counts().replays, 10) << "two runs by hand, then a graph";
        EXPECT_EQ(b.counts().launches, 2);
        for (double* s : staging) {
            b.release_staging(s);
        }
        b.release_staging(back);
    }
}

TEST(CudaBackend, an_eager_device_is_never_waited_for) {
    Device d;
    d.machine->eager = true;
    Backend& b = *d.backend;
    device::Buffer<double> x(b);
    x.require(8);
    auto* s = b.allocate_staging(64);
    LaunchList list;
    list.each(8, Double{x.data(), x.data()});
    for (int step = 0; step < 5; ++step) {
        b.await(s);
        b.to_device(x.data(), s, 64);
        b.run(list, 0, 1, {});
        b.fetch(s, x.data(), 64);
    }
    EXPECT_EQ(b.counts().waits, 0);
    b.release_staging(s);
}

TEST(CudaBackend, a_list_is_captured_at_its_third_run_and_again_when_it_changed) {
    Device d;
    Backend& b = *d.backend;
    device::Buffer<double> x(b), y(b);
    x.require(320);
    y.require(10);
    LaunchList list;
    list.each(320, Double{x.data(), x.data()});
    list.team(10, SumBlock{x.data(), y.data()});
    const auto run = [&] { b.run(list, 0, list.size(), {}); };
    const auto ones = [&] { x.load(std::vector<double>(320, 1)); };
    const auto sum = [&] {
        std::vector<double> result(10);
        y.store(result);
        return result[9];
    };
    ones();
    run();
    run();
    EXPECT_EQ(d.machine->count("cudaStreamBeginCapture"), 0);
    EXPECT_EQ(b.counts().launches, 4);
    EXPECT_EQ(sum(), 32.0 * 9);
    run();
    EXPECT_EQ(d.machine->count("cudaStreamBeginCapture"), 1);
    EXPECT_EQ(d.machine->count("cudaGraphLaunch"), 1);
    const std::size_t calls = d.machine->calls.size();
    run();
    EXPECT_EQ(d.machine->calls.size(), calls + 1) << "a replay is one call";
    EXPECT_EQ(d.machine->calls.back(), "cudaGraphLaunch");
    EXPECT_EQ(b.counts().launches, 4);
    EXPECT_EQ(b.counts().replays, 2);
    EXPECT_EQ(sum(), 32.0 * 81);
    // Part of the list is other work; so is the list once it changed.
    for (int i = 0; i < 3; ++i) {
        b.run(list, 0, 1, {});
    }
    EXPECT_EQ(d.machine->count("cudaStreamBeginCapture"), 2);
    list.clear();
    list.each(320, Double{x.data(), x.data()});
    ones();
    run();
    run();
    EXPECT_EQ(d.machine->count("cudaStreamBeginCapture"), 2);
    run();
    EXPECT_EQ(d.machine->count("cudaStreamBeginCapture"), 3);
    std::vector<double> result(320);
    x.store(result);
    EXPECT_EQ(result[319], 27);
}

TEST(CudaBackend, a_replayed_step_holds_lists_exchanges_and_work_on_the_side) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        Device d(seed);
        Backend& b = *d.backend;
        device::Buffer<double> x(b), y(b);
        x.require(32);
        y.require(1);
        LaunchList first, second;
        first.each(32, Double{x.data(), x.data()});
        first.exchange(x.data(), 32);
        first.team(1, SumBlock{x.data(), y.data()});
        second.each(32, Double{x.data(), x.data()});
        // Another device holds as many ones as this one has numbers.
        const device::DeviceExchange exchange(
            [&](double* sums, Index count) {
                d.cuda->put(b.stream(), [=] {
                    for (Index i = 0; i < count; ++i) {
                        sums[i] += 1;
                    }
                });
            },
            true);
        const auto step = [&] {
            b.run(first, 0, first.size(), exchange);
            b.beside([&](void* stream) { d.cuda->put(stream, [at = y.data()] { *at += 0.5; }); });
            b.run(second, 0, second.size(), {});
            b.meet();
        };
        x.load(std::vector<double>(32, 0));
        double expected = 0;
        for (int i = 0; i < 5; ++i) {
            b.replay(7, step);
            expected = (3 * (i == 0 ? 0 : expected)) + 1;
            std::vector<double> sum(1);
            y.store(sum);
            ASSERT_EQ(sum[0], 32 * expected + 0.5) << "step " << i << ", seed " << seed;
            expected *= 3;
        }
        EXPECT_EQ(d.machine->count("cudaStreamBeginCapture"), 1);
        EXPECT_EQ(b.counts().replays, 3);
        EXPECT_EQ(b.counts().launches, 6);
    }
}

TEST(CudaBackend, an_exchange_that_waits_lies_between_graphs) {
    Device d;
    Backend& b = *d.backend;
    device::Buffer<double> x(b);
    x.require(4);
    x.load(std::vector<double>(4, 1));
    LaunchList list;
    list.each(4, Double{x.data(), x.data()});
    list.exchange(x.data(), 4);
    list.each(4, Double{x.data(), x.data()});
    int exchanges = 0;
    const device::DeviceExchange exchange([&](double* sums, Index count) {
        std::vector<double> values(static_cast<std::size_t>(count));
        b.to_host(values.data(), sums, values.size() * sizeof(double));
        ++exchanges;
        b.to_device(sums, values.data(), values.size() * sizeof(double));
    });
    for (int i = 0; i < 4; ++i) {
        b.run(list, 0, list.size(), exchange);
    }
    EXPECT_EQ(exchanges, 4);
    EXPECT_EQ(d.machine->count("cudaStreamBeginCapture"), 2);
    EXPECT_EQ(b.counts().replays, 4);
    std::vector<double> result(4);
    x.store(result);
    EXPECT_EQ(result[0], 6561);
    const std::string refused = message_of([&] {
        for (int i = 0; i < 3; ++i) {
            b.replay(1, [&] { b.run(list, 0, list.size(), exchange); });
        }
    });
    EXPECT_NE(refused.find("an exchange that waits for the host was called while a graph"), std::string::npos)
        << refused;
}

TEST(CudaBackend, replicas_run_as_one_in_whatever_order_they_come) {
    Device d;
    Backend& b = *d.backend;
    constexpr std::size_t members = 5;
    std::vector<device::Buffer<double>> x, y;
    std::vector<LaunchList> lists(members);
    for (std::size_t m = 0; m < members; ++m) {
        const Index n = static_cast<Index>(32 * (m + 1)) * 20; // lists of different lengths
        x.emplace_back(b);
        y.emplace_back(b);
        x[m].require(n);
        y[m].require(n);
        y[m].load(std::vector<double>(static_cast<std::size_t>(n), static_cast<double>(m + 1)));
        lists[m].each(n, Double{x[m].data(), y[m].data()});
        lists[m].team(n / 32, SumBlock{x[m].data(), y[m].data()});
    }
    std::vector<device::BatchedRange> ranges;
    for (const LaunchList& list : lists) {
        ranges.push_back({&list, 0, 1});
    }
    const long launches = b.counts().launches;
    for (int step = 0; step < 5; ++step) {
        b.run_together(ranges);
        std::rotate(ranges.begin(), ranges.begin() + 2, ranges.end());
    }
    EXPECT_EQ(b.counts().launches - launches, 2);
    EXPECT_EQ(b.counts().replays, 3);
    for (device::BatchedRange& r : ranges) {
        r.first = 1;
        r.last = 2;
    }
    b.run_together(ranges);
    for (std::size_t m = 0; m < members; ++m) {
        std::vector<double> values(static_cast<std::size_t>(x[m].size()));
        x[m].store(values);
        EXPECT_EQ(values.back(), 31.0 * static_cast<double>(m + 1));
        y[m].store(values);
        EXPECT_EQ(values[values.size() / 32 - 1], 32 * 31.0 * static_cast<double>(m + 1));
    }
    LaunchList other;
    other.each(3, Double{x[0].data(), y[0].data()});
    ranges[1] = {&other, 0, 1};
    EXPECT_NE(message_of([&] { b.run_together(ranges); }, ExitCode::usage).find("the same program"),
              std::string::npos);
}

TEST(CudaBackend, what_a_graph_cannot_hold_is_refused) {
    const std::map<std::string, std::function<void(Backend&, void*)>> calls{
        {"allocate", [](Backend& b, void*) { b.release(b.allocate(8)); }},
        {"allocate_staging", [](Backend& b, void*) { b.release_staging(b.allocate_staging(8)); }},
        {"to_device", [](Backend& b, void* s) { b.to_device(s, s, 8); }},
        {"to_host", [](Backend& b, void* s) { b.to_host(s, s, 8); }},
        {"fetch", [](Backend& b, void* s) { b.fetch(s, s, 8); }},
        {"await", [](Backend& b, void* s) { b.await(s); }},
        {"synchronise", [](Backend& b, void*) { b.synchronise(); }},
    };
    for (const auto& [name, call] : calls) {
        Device d;
        Backend& b = *d.backend;
        void* s = b.allocate_staging(8);
        const auto step = [&, &refused = call] { refused(b, s); };
        b.replay(1, step);
        b.replay(1, step);
        const std::string message = message_of([&] { b.replay(1, step); });
        EXPECT_EQ(message.find("CUDA device 0 (Fake): " + name + " was called while"), 0U) << message;
        // The device is as it was.
        b.synchronise();
        b.release_staging(s);
    }
}

TEST(CudaBackend, WarnsOnceAndGoesOnWithoutGraphsWhereNoneCanBeMade) {
    for (const char* call :
         {"cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaLaunchKernel"}) {
        Device d;
        d.machine->fail_call = call;
        // The third run launches while it captures.
        d.machine->fail_at = std::string(call) == "cudaLaunchKernel" ? 2 : 0;
        Backend& b = *d.backend;
        device::Buffer<double> x(b);
        x.require(4);
        x.load(std::vector<double>(4, 1));
        LaunchList list;
        list.each(4, Double{x.data(), x.data()});
        const long warnings = log::warning_count();
        for (int i = 0; i < 6; ++i) {
            b.run(list, 0, 1, {});
        }
        EXPECT_EQ(log::warning_count(), warnings + 1) << call;
        EXPECT_EQ(b.counts().replays, 0) << call;
        EXPECT_EQ(b.counts().launches, 6) << call;
        std::vector<double> result(4);
        x.store(result);
        EXPECT_EQ(result[0], 729) << call;
    }
}

// Every call, failing the first, second, ... time: either an error that names device and call, or the graph
// is given up; never a wrong number, a crash or something left.
TEST(CudaBackend, WarnsOrNamesDeviceAndCallWhateverFails) {
    const auto life = [](const std::shared_ptr<FakeMachine>& machine) {
        const auto b = device::make_cuda(std::make_unique<FakeCuda>(machine), 0, launchers());
        device::Buffer<double> x(*b);
        x.require(16);
        struct Staging {
            Backend& b;
            void* memory;
            ~Staging() { b.release_staging(memory); }
        } const s{*b, b->allocate_staging(128)};
        LaunchList list;
        list.each(16, Double{x.data(), x.data()});
        x.clear();
        for (int i = 0; i < 4; ++i) {
            b->await(s.memory);
            std::fill_n(static_cast<double*>(s.memory), 16, i + 1.0);
            b->to_device(x.data(), s.memory, 128);
            b->run(list, 0, 1, {});
            b->beside([&](void*) { b->run(list, 0, 1, {}); });
            b->meet();
        }
        b->fetch(s.memory, x.data(), 128);
        b->await(s.memory);
        EXPECT_EQ(*static_cast<double*>(s.memory), 36);
        b->synchronise();
    };
    const auto whole = std::make_shared<FakeMachine>();
    life(whole);
    EXPECT_TRUE(whole->memory.empty());
    EXPECT_EQ(whole->handles, 0);
    // Those of the survey say more than the call; those of the end have nobody to tell.
    const std::set<std::string> elsewhere{"cudaDriverGetVersion",
                                          "cudaRuntimeGetVersion",
                                          "cudaGetDeviceCount",
                                          "cudaGetDeviceProperties",
                                          "cudaFree",
                                          "cudaFreeHost",
                                          "cudaStreamDestroy",
                                          "cudaEventDestroy",
                                          "cudaGraphDestroy",
                                          "cudaGraphExecDestroy",
                                          "cudaDeviceCanAccessPeer"};
    const std::set<std::string> graphs{"cudaStreamBeginCapture", "cudaStreamEndCapture",
                                       "cudaGraphInstantiate"};
    std::set<std::string> struck;
    for (const auto& [call, times] : whole->number_of) {
        for (int at = 0; at < times && !elsewhere.contains(call); ++at) {
            const auto machine = std::make_shared<FakeMachine>();
            machine->fail_call = call;
            machine->fail_at = at;
            try {
                life(machine);
                // Waiting at the end, and while captured, concerns nobody.
                EXPECT_TRUE(graphs.contains(call) || call == "cudaLaunchKernel" ||
                            call == "cudaStreamSynchronize")
                    << call << " number " << at << " failed unnoticed";
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ExitCode::device);
                EXPECT_NE(std::string(error.what()).find("CUDA device 0 (Fake"), std::string::npos)
                    << error.what();
                EXPECT_NE(std::string(error.what()).find(call), std::string::npos) << error.what();
                EXPECT_NE(std::string(error.what()).find("fake error 2"), std::string::npos) << error.what();
            }
            struck.insert(call);
            EXPECT_TRUE(machine->memory.empty()) << call << " number " << at;
            EXPECT_EQ(machine->handles, 0) << call << " number " << at;
        }
    }
    EXPECT_GE(struck.size(), 13U);
}

TEST(CudaBackend, a_functor_without_a_kernel_is_named_with_its_operation) {
    Device d;
    LaunchList list;
    list.name("new_operation");
    list.each(3, Unknown{});
    const std::string message = message_of([&] { d.backend->run(list, 0, 1, {}); });
    EXPECT_NE(message.find("operation new_operation has no kernel for its functor"), std::string::npos)
        << message;
}

TEST(CudaBackend, says_what_is_missing) {
    const auto missing = [](const std::function<void(FakeMachine&)>& change, int number = 0) {
        const auto machine = std::make_shared<FakeMachine>();
        change(*machine);
        return message_of(
            [&] { (void)device::make_cuda(std::make_unique<FakeCuda>(machine), number, launchers()); });
    };
    EXPECT_NE(missing([](FakeMachine& m) { m.driver = 0; }).find("no NVIDIA driver"), std::string::npos);
    EXPECT_NE(missing([](FakeMachine& m) { m.driver = 12040; }).find("runs CUDA 12.4 and older"),
              std::string::npos);
    EXPECT_NE(missing([](FakeMachine& m) { m.devices = 0; }).find("sees no device"), std::string::npos);
    EXPECT_NE(missing([](FakeMachine&) {}, 1).find("sees 1 device "), std::string::npos);
    EXPECT_NE(
        missing([](FakeMachine& m) { m.fail_call = "cudaGetDeviceProperties"; }).find("does not answer"),
        std::string::npos);
}

TEST(CudaBackend, of_this_build_runs_or_says_what_is_missing) {
    const device::Survey survey = device::survey_devices();
    if (survey.missing.empty()) {
        EXPECT_NE(device::make_cuda(0, launchers()), nullptr);
        return;
    }
    const std::string message = message_of([] { (void)device::make_cuda(0, launchers()); });
    EXPECT_EQ(message, "--device cuda: " + survey.missing);
    EXPECT_EQ(survey.built, device::make_cuda_calls() != nullptr);
}

} // namespace
} // namespace tether::test
