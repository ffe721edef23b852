// What runs in every training step takes no memory from the system once it is warm.
#include "tests/parallel/world.hpp"
#include "tether/core/fixed_tree.hpp"
#include "tether/parallel/coordinator.hpp"
#include "tether/parallel/thread_team.hpp"
#include "tether/parallel/watchdog.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<long> allocations{0};

} // namespace

// Counting versions of the global functions, for all of this test program.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
    ++allocations;
    if (void* memory = std::malloc(bytes > 0 ? bytes : 1)) {
        return memory;
    }
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace tether::parallel {
namespace {

using test::world;

class Echo : public CoordinatorRole {
public:
    const std::vector<double>& answer(std::span<const double> report) override {
        last_.assign(report.begin(), report.end());
        return last_;
    }
    void blob(const std::string&, std::vector<std::byte>) override {}
    void finish() override {}

private:
    std::vector<double> last_;
};

TEST(CommunicatorAllocations, none_in_a_warm_step) {
    if (!is_power_of_two(world().size())) {
        GTEST_SKIP() << world().size() << " ranks have no tree";
    }
    Cast cast = assign_roles(world(), CoordinatorPlace::shared);
    Communicator& workers = *cast.workers;
    std::unique_ptr<CoordinatorLink> link;
    if (workers.rank() == 0) {
        link = connect_coordinator(cast, CoordinatorPlace::shared, [] { return std::make_unique<Echo>(); });
    }
    ThreadTeam team(2);
    Watchdog watchdog;
    const std::span<float> gradient = workers.shared_buffer<float>(30'000);
    std::vector<float> elsewhere(300'000);
    std::vector<double> losses(10);
    std::vector<double> control(100);
    TreeVectorSum<float> sum(gradient, 4);
    const auto step = [&](Index number) {
        workers.set_step(number);
        watchdog.phase("forward", number);
        for (int leaf = 0; leaf < 4; ++leaf) {
            team.run([&](int thread) {
                sum.leaf()[static_cast<std::size_t>(thread)] = 1;
                team.barrier();
            });
            sum.add();
        }
        sum.finish();
        watchdog.phase("reduce", number);
        workers.all_reduce_tree(gradient);
        workers.all_reduce_tree(std::span<float>(elsewhere));
        workers.all_reduce_tree(std::span<double>(losses));
        workers.all_reduce_max(std::span<double>(losses));
        if (link) {
            link->post(losses);
            control.back() = link->wait()[0];
        }
        workers.broadcast(std::as_writable_bytes(std::span(control)), 0);
    };
    Index number = 0;
    for (; number < 70; ++number) { // once around every ring
        step(number);
    }
    workers.barrier();
    const long before = allocations;
    for (; number < 100; ++number) {
        step(number);
    }
    EXPECT_EQ(allocations - before, 0);
    if (link) {
        link->finish();
    }
}

} // namespace
} // namespace tether::parallel
