// Sums over devices by NCCL, on a fake of its calls with every rank a thread: the fixed tree bit for bit,
// buckets, and what lost peers, failing calls and shared devices end in.
#include "tests/parallel/fake_nccl.hpp"
#include "tests/parallel/world.hpp"
#include "tether/core/fixed_tree.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>

namespace tether::parallel {
namespace {

using namespace std::chrono_literals;
using test::FakeNccl;
using test::FakeNode;
using test::FakeRanks;

struct Rank {
    Rank(FakeNode& node, int number) : ranks(node, number), backend(device::make_emulation()) {}
    void connect(FakeNode& node, const DeviceCommunicatorOptions& options) {
        sums =
            make_nccl_communicator(std::make_unique<FakeNccl>(node, ranks.rank()), ranks, *backend, options);
    }
    FakeRanks ranks;
    std::unique_ptr<device::Backend> backend;
    std::unique_ptr<DeviceCommunicator> sums;
};

// Every rank in a thread; what each threw.
std::vector<std::string> on_ranks(FakeNode& node, const std::function<void(Rank&)>& work,
                                  const DeviceCommunicatorOptions& options = {.poll = 5ms},
                                  ExitCode code = ExitCode::peer) {
    std::vector<std::string> thrown(static_cast<std::size_t>(node.ranks));
    std::vector<std::thread> threads;
    for (int r = 0; r < node.ranks; ++r) {
        threads.emplace_back([&, r] {
            try {
                Rank rank(node, r);
                rank.connect(node, options);
                work(rank);
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), code) << error.what();
                thrown[static_cast<std::size_t>(r)] = error.what();
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    return thrown;
}

template <class T>
std::vector<T> summed(Rank& rank, SumOrder order, const std::vector<T>& mine) {
    device::Buffer<T> buffer(*rank.backend);
    buffer.require(std::max<Index>(1, static_cast<Index>(mine.size())));
    buffer.load(mine);
    rank.sums->sum(buffer.data(), static_cast<Index>(mine.size()), order);
    rank.sums->check_peers();
    std::vector<T> result(mine.size());
    buffer.store(result);
    return result;
}

template <class T>
void expect_tree(int ranks, std::size_t count, Index small_bytes) {
    std::vector<std::vector<T>> leaves;
    std::vector<const T*> pointers;
    for (int r = 0; r < ranks; ++r) {
        leaves.push_back(test::wild_numbers<T>(static_cast<std::uint64_t>(r), count));
    }
    for (const auto& leaf : leaves) {
        pointers.push_back(leaf.data());
    }
    std::vector<T> expected(count);
    tree_sum_vectors<T>(pointers, 0, static_cast<Index>(count), expected.data());
    FakeNode node(ranks);
    const auto thrown = on_ranks(node,
                                 [&](Rank& rank) {
                                     // Twice, and on another place: plans are kept and made anew.
                                     for (int time = 0; time < 2; ++time) {
                                         const auto found =
                                             summed(rank, SumOrder::tree,
                                                    leaves[static_cast<std::size_t>(rank.ranks.rank())]);
                                         ASSERT_TRUE(test::same_bits<T>(found, expected))
                                             << ranks << " ranks, " << count << " numbers";
                                     }
                                 },
                                 {.small_bytes = small_bytes, .poll = 5ms});
    for (const std::string& text : thrown) {
        EXPECT_EQ(text, "");
    }
    EXPECT_EQ(node.ends, ranks);
    EXPECT_EQ(node.aborts, 0);
}

TEST(DeviceSums, in_the_order_of_the_tree_have_the_bits_of_the_host) {
    for (const int ranks : {1, 2, 4, 8}) {
        for (const std::size_t count : {1UL, 7UL, 64UL, 1001UL}) {
            for (const Index small : {Index{0}, Index{1} << 20}) {
                expect_tree<float>(ranks, count, small);
                expect_tree<double>(ranks, count, small);
            }
        }
    }
}

TEST(DeviceSums, of_the_tree_send_each_number_about_twice) {
    FakeNode node(8);
    on_ranks(node, [&](Rank& rank) { (void)summed(rank, SumOrder::tree, std::vector<float>(800, 1)); },
             {.small_bytes = 0, .poll = 5ms});
    EXPECT_EQ(std::count(node.record.begin(), node.record.end(), "ncclSend"), 6);
    FakeNode small(8);
    on_ranks(small, [&](Rank& rank) { (void)summed(rank, SumOrder::tree, std::vector<float>(800, 1)); },
             {.small_bytes = 3200, .poll = 5ms});
    EXPECT_EQ(std::count(small.record.begin(), small.record.end(), "ncclSend"), 3);
}

TEST(DeviceSums, of_the_tree_need_a_power_of_two) {
    FakeNode node(3);
    for (const std::string& text : on_ranks(
             node, [](Rank& rank) { (void)summed(rank, SumOrder::tree, std::vector<float>(5, 1)); },
             {.poll = 5ms}, ExitCode::usage)) {
        EXPECT_NE(text.find("over 3 devices, expected a power of two"), std::string::npos) << text;
    }
}

TEST(DeviceSums, fast_go_in_buckets_for_any_number_of_ranks) {
    for (const int ranks : {2, 3, 5}) {
        FakeNode node(ranks);
        on_ranks(node,
                 [&](Rank& rank) {
                     std::vector<double> mine(1000);
                     std::iota(mine.begin(), mine.end(), rank.ranks.rank());
                     const auto found = summed(rank, SumOrder::fast, mine);
                     for (std::size_t i = 0; i < mine.size(); ++i) {
                         ASSERT_EQ(found[i], static_cast<double>(i) * ranks + ranks * (ranks - 1) / 2.0);
                     }
                 },
                 {.bucket_bytes = 3000, .poll = 5ms});
        EXPECT_EQ(std::count(node.record.begin(), node.record.end(), "ncclAllReduce"), 3); // of 375 numbers
    }
}

TEST(DeviceSums, say_what_they_are_made_by) {
    FakeNode node(2);
    node.slow_starts = 20;
    on_ranks(node, [](Rank& rank) {
        EXPECT_EQ(rank.sums->description().find("NCCL 2.28.9, 2 devices, "), 0U) << rank.sums->description();
        EXPECT_TRUE(rank.sums->in_graph());
        EXPECT_EQ(rank.sums->trouble(), "");
    });
}

TEST(DeviceSums, a_rank_that_never_starts_ends_the_others_within_the_limit) {
    FakeNode node(2);
    const auto begin = std::chrono::steady_clock::now();
    FakeRanks first(node, 0), second(node, 1);
    std::thread other([&] { // goes through the host's part, then is lost
        (void)second.all_gather({});
        (void)second.broadcast_value(0, 0);
        (void)second.broadcast_value(NcclId{}, 0);
    });
    const auto backend = device::make_emulation();
    std::string text;
    try {
        (void)make_nccl_communicator(std::make_unique<FakeNccl>(node, 0), first, *backend, {.limit = 50ms});
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::peer);
        text = error.what();
    }
    other.join();
    EXPECT_EQ(text.find("rank 0: NCCL: ncclCommInitRankConfig did not end within 0.05 s"), 0U) << text;
    EXPECT_EQ(node.aborts, 1);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
}

// One rank is lost in the middle: the others hang in their kernels until the library notices; then everybody
// comes back with an error, nobody with numbers.
TEST(DeviceSums, a_lost_rank_ends_the_others_when_the_library_notices) {
    for (const SumOrder order : {SumOrder::tree, SumOrder::fast}) {
        FakeNode node(4);
        const auto thrown = on_ranks(node, [&](Rank& rank) {
            (void)summed(rank, order, std::vector<float>(100, 1));
            if (rank.ranks.rank() == 2) {
                const std::scoped_lock lock(node.mutex);
                node.reported_to_all = 6;
                fail(ExitCode::peer, "lost");
            }
            (void)summed(rank, order, std::vector<float>(100, 1));
            for (;;) { // a rank that had no need of the lost one hears of it when it asks
                rank.sums->check_peers();
                std::this_thread::sleep_for(1ms);
            }
        });
        for (std::size_t r = 0; r < thrown.size(); ++r) {
            EXPECT_NE(thrown[r].find(r == 2 ? "lost" : "a peer or the network is lost: fake NCCL 6"),
                      std::string::npos)
                << "rank " << r << ": " << thrown[r];
        }
        EXPECT_EQ(node.ends, 0);
        EXPECT_EQ(node.aborts, 4);
    }
}

TEST(DeviceSums, a_failing_call_is_named) {
    for (const char* call : {"ncclGetVersion", "ncclCommInitRankConfig"}) {
        FakeNode node(1);
        node.fail_call = call;
        const auto thrown = on_ranks(node, [](Rank&) {});
        EXPECT_NE(thrown[0].find(std::string("rank 0: NCCL: ") + call + " failed: fake NCCL 3"),
                  std::string::npos)
            << thrown[0];
    }
    for (const char* call : {"ncclGroupStart", "ncclSend", "ncclRecv", "ncclGroupEnd", "ncclAllReduce"}) {
        FakeNode node(2);
        node.fail_call = call;
        node.fail_rank = 1;
        const auto thrown = on_ranks(node, [&](Rank& rank) {
            const SumOrder order = std::string(call) == "ncclAllReduce" ? SumOrder::fast : SumOrder::tree;
            try {
                (void)summed(rank, order, std::vector<float>(50, 1));
            } catch (...) {
                const std::scoped_lock lock(node.mutex);
                node.reported_to_all = 6; // what the other hears
                throw;
            }
            for (;;) {
                rank.sums->check_peers();
                std::this_thread::sleep_for(1ms);
            }
        });
        EXPECT_NE(thrown[1].find("rank 1: NCCL: nccl"), std::string::npos) << thrown[1];
        EXPECT_NE(thrown[1].find("failed: fake NCCL 3"), std::string::npos) << call << ": " << thrown[1];
        EXPECT_NE(thrown[0].find("fake NCCL 6"), std::string::npos) << call << ": " << thrown[0];
    }
}

TEST(DeviceSums, without_an_id_every_rank_is_told) {
    FakeNode node(2);
    node.fail_call = "ncclGetUniqueId";
    for (const std::string& text : on_ranks(node, [](Rank&) {})) {
        EXPECT_NE(text.find("ncclGetUniqueId failed on rank 0: fake NCCL 3"), std::string::npos) << text;
    }
}

// A backend with the identity of a device.
class Named final : public device::Backend {
public:
    explicit Named(std::string identity) : identity_(std::move(identity)), real_(device::make_emulation()) {}
    [[nodiscard]] std::string name() const override { return "named"; }
    [[nodiscard]] std::string identity() const override { return identity_; }
    [[nodiscard]] void* allocate(std::size_t bytes) override { return real_->allocate(bytes); }
    void release(void* memory) override { real_->release(memory); }
    [[nodiscard]] void* allocate_staging(std::size_t bytes) override {
        return real_->allocate_staging(bytes);
    }
    void release_staging(void* memory) override { real_->release_staging(memory); }
    void to_device(void* d, const void* h, std::size_t bytes) override { real_->to_device(d, h, bytes); }
    void to_host(void* h, const void* d, std::size_t bytes) override { real_->to_host(h, d, bytes); }
    void fetch(void* s, const void* d, std::size_t bytes) override { real_->fetch(s, d, bytes); }
    void await(const void* s) override { real_->await(s); }
    void clear(void* d, std::size_t bytes) override { real_->clear(d, bytes); }
    void run(const device::LaunchList& list, std::size_t first, std::size_t last,
             const device::DeviceExchange& exchange) override {
        real_->run(list, first, last, exchange);
    }
    void run_together(std::span<const device::BatchedRange> ranges) override { real_->run_together(ranges); }
    void replay(std::uint64_t version, const std::function<void()>& body) override {
        real_->replay(version, body);
    }
    void beside(const std::function<void(void*)>& work) override { real_->beside(work); }
    void meet() override { real_->meet(); }
    [[nodiscard]] void* stream() const override { return nullptr; }
    void synchronise() override { real_->synchronise(); }
    [[nodiscard]] Counts counts() const override { return real_->counts(); }

private:
    std::string identity_;
    std::unique_ptr<device::Backend> real_;
};

TEST(DeviceSums, two_ranks_on_one_device_are_refused_on_all_ranks) {
    FakeNode node(4);
    std::vector<std::thread> threads;
    std::array<std::string, 4> thrown;
    for (int r = 0; r < 4; ++r) {
        threads.emplace_back([&, r] {
            FakeRanks ranks(node, r);
            const Named backend("GPU-" + std::to_string(r % 3));
            try {
                check_devices_differ(ranks, backend);
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ExitCode::device);
                thrown[static_cast<std::size_t>(r)] = error.what();
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    for (const std::string& text : thrown) {
        EXPECT_EQ(text.find("ranks 0 and 3 use the same device GPU-0: start as many ranks"), 0U) << text;
    }
}

// Through the host, by the ranks this program was started with.
TEST(CommunicatorOfDevices, sums_through_the_host_where_there_is_no_stream) {
    Communicator& world = test::world();
    const auto backend = device::make_emulation();
    const auto sums = make_device_communicator(world, *backend);
    device::Buffer<float> buffer(*backend);
    buffer.require(3);
    for (const SumOrder order : {SumOrder::tree, SumOrder::fast}) {
        buffer.load(std::vector<float>{1, static_cast<float>(world.rank()), 2});
        sums->sum(buffer.data(), 3, order);
        std::vector<float> result(3);
        buffer.store(result);
        const auto n = static_cast<float>(world.size());
        EXPECT_EQ(result, (std::vector<float>{n, n * (n - 1) / 2, 2 * n}));
    }
    EXPECT_EQ(sums->in_graph(), world.size() == 1);
}

} // namespace
} // namespace tether::parallel
