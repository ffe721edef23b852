// Every call of the interface, on however many ranks there are: started plainly this tests the
// communicator of one process, under mpirun (see tests/CMakeLists.txt) the one over MPI.
#include "tests/parallel/world.hpp"
#include "tether/core/error.hpp"
#include "tether/core/fixed_tree.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tether::parallel {
namespace {

using test::world;

constexpr int leaves = 8;

template <class T>
class CommunicatorSums : public testing::Test {
protected:
    // The sum over eight leaves: each rank adds its block, then all ranks together.
    void SetUp() override {
        if (leaves % world().size() != 0) {
            GTEST_SKIP() << world().size() << " ranks do not divide " << leaves << " leaves";
        }
    }
    static void sum_own_leaves(std::span<T> into, std::uint64_t seed) {
        const int mine = leaves / world().size();
        TreeVectorSum<T> sum(into, mine);
        for (int leaf = 0; leaf < mine; ++leaf) {
            const auto values = test::wild_numbers<T>(
                seed + static_cast<std::uint64_t>(world().rank() * mine + leaf), into.size());
            std::ranges::copy(values, sum.leaf().begin());
            sum.add();
        }
        sum.finish();
    }
    static std::vector<T> expected(std::size_t count, std::uint64_t seed) {
        std::vector<std::vector<T>> all;
        std::vector<const T*> pointers;
        for (std::uint64_t leaf = 0; leaf < leaves; ++leaf) {
            all.push_back(test::wild_numbers<T>(seed + leaf, count));
            pointers.push_back(all.back().data());
        }
        std::vector<T> sum(count);
        if (count > 0) {
            tree_sum_vectors<T>(pointers, 0, static_cast<Index>(count), sum.data());
        }
        return sum;
    }
};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CommunicatorSums, Reals);

TYPED_TEST(CommunicatorSums, tree_sum_has_the_same_bits_for_every_number_of_ranks) {
    using T = TypeParam;
    std::uint64_t seed = 100;
    for (const std::size_t count : {0U, 1U, 2U, 7U, 63U, 1000U, 1025U, 65536U, 262145U}) {
        std::vector<T> values(count);
        this->sum_own_leaves(values, seed);
        world().all_reduce_tree(std::span<T>(values));
        EXPECT_TRUE(test::same_bits<T>(values, this->expected(count, seed))) << count << " entries";
        seed += 50;
    }
}

TYPED_TEST(CommunicatorSums, tree_sum_in_shared_memory_has_the_same_bits) {
    using T = TypeParam;
    const std::span<T> buffer = world().shared_buffer<T>(50'003);
    ASSERT_EQ(buffer.size(), 50'003U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U);
    EXPECT_EQ(buffer[0], T{});
    EXPECT_EQ(buffer[50'002], T{});
    std::uint64_t seed = 5000;
    for (int round = 0; round < 2; ++round) {
        for (const auto& [first, count] :
             {std::pair<std::size_t, std::size_t>{0, 50'003}, {17, 20'001}, {5, 3}}) {
            const std::span<T> part = buffer.subspan(first, count);
            this->sum_own_leaves(part, seed);
            world().all_reduce_tree(part);
            EXPECT_TRUE(test::same_bits<T>(part, this->expected(count, seed))) << count << " entries";
            seed += 50;
        }
    }
}

// Every rank writes its part of what the ranks of a node have in common, in turns with reading all of it.
TEST(Communicator, common_memory_is_seen_by_all_ranks_of_a_node) {
    constexpr Index count = 10'007;
    const auto [values, part, parts] = world().common_buffer<std::int64_t>(count);
    ASSERT_EQ(std::ssize(values), count);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(values.data()) % 64, 0U);
    if (parts > 1) {
        EXPECT_EQ(part, world().local_rank());
        EXPECT_EQ(parts, world().local_size());
    } else {
        EXPECT_EQ(part, 0); // a rank of its own node, or memory that cannot be shared
    }
    for (std::int64_t round = 0; round < 50; ++round) {
        for (Index i = count * part / parts; i < count * (part + 1) / parts; ++i) {
            values[static_cast<std::size_t>(i)] += round + i;
        }
        world().node_barrier();
        for (Index i = 0; i < count; ++i) {
            ASSERT_EQ(values[static_cast<std::size_t>(i)], round * (round + 1) / 2 + (round + 1) * i);
        }
        world().node_barrier();
    }
    const std::span<std::int64_t> other = world().common_buffer<std::int64_t>(5).values;
    EXPECT_EQ(other[4], 0);
    EXPECT_EQ(values[4], 49 * 50 / 2 + 50 * 4);
}

TYPED_TEST(CommunicatorSums, fast_sum_agrees_within_rounding_and_between_ranks) {
    using T = TypeParam;
    for (const std::size_t count : {0U, 5U, 3000U}) {
        std::vector<T> values(count);
        this->sum_own_leaves(values, 900);
        world().all_reduce_fast(std::span<T>(values));
        const std::vector<T> expected = this->expected(count, 900);
        for (std::size_t i = 0; i < count; ++i) {
            EXPECT_NEAR(values[i], expected[i], 3e7 * std::numeric_limits<T>::epsilon());
        }
        const auto everybody = world().all_gather(std::as_bytes(std::span<const T>(values)));
        for (const Bytes& other : everybody) {
            EXPECT_EQ(other, everybody[0]);
        }
    }
}

TYPED_TEST(CommunicatorSums, not_a_number_stays_not_a_number) {
    using T = TypeParam;
    std::vector<T> values(3000, T{1});
    if (world().rank() == world().size() - 1) {
        values[2999] = std::numeric_limits<T>::quiet_NaN();
        values[0] = std::numeric_limits<T>::infinity();
    }
    world().all_reduce_tree(std::span<T>(values));
    EXPECT_TRUE(std::isnan(values[2999]));
    EXPECT_TRUE(std::isinf(values[0]));
    EXPECT_EQ(values[1], static_cast<T>(world().size()));
}

TEST(Communicator, ranks_know_their_places) {
    Communicator& w = world();
    EXPECT_GE(w.rank(), 0);
    EXPECT_LT(w.rank(), w.size());
    EXPECT_GE(w.local_rank(), 0);
    EXPECT_LT(w.local_rank(), w.local_size());
    EXPECT_LE(w.local_size(), w.size());
    EXPECT_FALSE(w.description().empty());
    EXPECT_EQ(w.waiting_for(), "");
}

TEST(Communicator, small_reductions) {
    Communicator& w = world();
    const double last = w.size() - 1;
    std::array<double, 3> real{static_cast<double>(w.rank()), -static_cast<double>(w.rank()), 4.0};
    w.all_reduce_max(std::span<double>(real));
    EXPECT_EQ(real, (std::array<double, 3>{last, 0.0, 4.0}));
    real = {static_cast<double>(w.rank()), -static_cast<double>(w.rank()), 4.0};
    w.all_reduce_min(std::span<double>(real));
    EXPECT_EQ(real, (std::array<double, 3>{0.0, -last, 4.0}));

    const std::int64_t big = (std::int64_t{1} << 60) + w.rank(); // more than a double holds
    std::array<std::int64_t, 2> whole{big, w.rank()};
    w.all_reduce_max(std::span<std::int64_t>(whole));
    EXPECT_EQ(whole[0], (std::int64_t{1} << 60) + w.size() - 1);
    whole = {big, w.rank()};
    w.all_reduce_min(std::span<std::int64_t>(whole));
    EXPECT_EQ(whole[0], std::int64_t{1} << 60);
    whole = {std::int64_t{1} << w.rank(), 0};
    w.all_reduce_or(std::span<std::int64_t>(whole));
    EXPECT_EQ(whole[0], (std::int64_t{1} << w.size()) - 1);
    EXPECT_EQ(whole[1], 0);

    for (int owner = 0; owner < w.size(); ++owner) {
        std::array<double, 1> one{w.rank() == owner ? std::nan("") : 1.0};
        w.all_reduce_max(std::span<double>(one));
        EXPECT_TRUE(std::isnan(one[0]));
        one[0] = w.rank() == owner ? std::nan("") : 1.0;
        w.all_reduce_min(std::span<double>(one));
        EXPECT_TRUE(std::isnan(one[0]));
    }
}

TEST(Communicator, broadcast_from_every_rank_in_all_sizes) {
    Communicator& w = world();
    for (int root = 0; root < w.size(); ++root) {
        for (const std::size_t size : {0U, 1U, 4096U, 4097U, 1'000'003U}) {
            std::vector<std::byte> bytes(size, static_cast<std::byte>(w.rank() == root ? 7 + root : 255));
            w.broadcast(bytes, root);
            EXPECT_EQ(bytes, std::vector<std::byte>(size, static_cast<std::byte>(7 + root)));
        }
        EXPECT_EQ(w.broadcast_value(w.rank() == root ? 2.5 : 0.0, root), 2.5);
    }
    EXPECT_THROW(w.broadcast({}, w.size()), Error);
    EXPECT_THROW(w.broadcast({}, -1), Error);
}

TEST(Communicator, gather_of_unequal_parts) {
    Communicator& w = world();
    const auto part_of = [](int rank) {
        return Bytes(static_cast<std::size_t>(rank * 3000), static_cast<std::byte>(rank));
    };
    const auto check_all = [&](const std::vector<Bytes>& all) {
        ASSERT_EQ(all.size(), static_cast<std::size_t>(w.size()));
        for (int rank = 0; rank < w.size(); ++rank) {
            EXPECT_EQ(all[static_cast<std::size_t>(rank)], part_of(rank));
        }
    };
    check_all(w.all_gather(part_of(w.rank())));
    for (int root = 0; root < w.size(); ++root) {
        const auto all = w.gather(part_of(w.rank()), root);
        if (w.rank() == root) {
            check_all(all);
        } else {
            EXPECT_TRUE(all.empty());
        }
    }
}

TEST(Communicator, messages_keep_their_order_and_their_tags) {
    Communicator& w = world();
    if (w.size() == 1) {
        Bytes nothing;
        EXPECT_THROW(w.send({}, 0, 1), Error);
        EXPECT_THROW((void)w.receive(0, 1), Error);
        EXPECT_THROW(w.try_receive(1, 1, nothing), Error);
        return;
    }
    const int right = (w.rank() + 1) % w.size();
    const int left = (w.rank() + w.size() - 1) % w.size();
    const auto message = [](int from, int number) {
        return Bytes(static_cast<std::size_t>(number * 500), static_cast<std::byte>(from + number));
    };
    for (int number = 0; number < 20; ++number) { // small ones go off at once, all around the ring
        w.send(message(w.rank(), number), right, 3);
    }
    w.send(message(w.rank(), 100), right, 4); // these wait nowhere either: 50 kB
    EXPECT_EQ(w.receive(left, 4), message(left, 100));
    for (int number = 0; number < 20; ++number) {
        EXPECT_EQ(w.receive(left, 3), message(left, number));
    }
    Bytes nothing;
    EXPECT_FALSE(w.try_receive(left, 3, nothing));
    w.barrier();
    const Bytes large(5'000'000, std::byte{42}); // waits for its receiver
    if (w.rank() == 0) {
        w.send(large, 1, 5);
    } else if (w.rank() == 1) {
        EXPECT_EQ(w.receive(0, 5), large);
    }
    EXPECT_THROW(w.send({}, w.rank(), 1), Error);
    EXPECT_THROW(w.send({}, w.size(), 1), Error);
    EXPECT_THROW(w.send({}, right, -1), Error);
    w.barrier();
}

TEST(Communicator, split_and_duplicate) {
    Communicator& w = world();
    const auto copy = w.duplicate();
    EXPECT_EQ(copy->rank(), w.rank());
    EXPECT_EQ(copy->size(), w.size());

    const auto half = w.split(w.rank() % 2, -w.rank()); // even and odd ranks, in reverse order
    ASSERT_NE(half, nullptr);
    EXPECT_EQ(half->size(), (w.size() + 1 - w.rank() % 2) / 2);
    std::array<std::int64_t, 1> sum{std::int64_t{1} << w.rank()};
    half->all_reduce_or(std::span<std::int64_t>(sum));
    std::int64_t expected = 0;
    for (int rank = w.rank() % 2; rank < w.size(); rank += 2) {
        expected |= std::int64_t{1} << rank;
    }
    EXPECT_EQ(sum[0], expected);
    EXPECT_EQ(half->rank(), half->size() - 1 - w.rank() / 2);
    if (is_power_of_two(half->size())) { // ranks that are no neighbours of each other
        std::vector<float> values(100'000, 1.0F);
        half->all_reduce_tree(std::span<float>(values));
        EXPECT_EQ(values, std::vector<float>(100'000, static_cast<float>(half->size())));
    }

    const auto first = w.split(w.rank() == 0 ? 0 : -1, 0);
    EXPECT_EQ(first != nullptr, w.rank() == 0);
    if (first) {
        EXPECT_EQ(first->size(), 1);
        first->barrier();
    }
}

TEST(Communicator, tree_sum_wants_a_power_of_two_of_ranks) {
    Communicator& w = world();
    if (w.size() < 4) {
        return; // three ranks cannot be had
    }
    const auto three = w.split(w.rank() < 3 ? 0 : -1, w.rank());
    if (three) {
        std::vector<float> values(10, 1.0F);
        EXPECT_THROW(three->all_reduce_tree(std::span<float>(values)), Error);
        three->all_reduce_fast(std::span<float>(values));
        EXPECT_EQ(values, std::vector<float>(10, 3.0F));
    }
}

TEST(Communicator, a_skipped_collective_is_told_with_the_rank) {
    Communicator& w = world();
    if (w.size() == 1) {
        w.barrier(); // nobody to disagree with
        return;
    }
    const auto c = w.duplicate();
    c->set_step(12);
    std::string message;
    try {
        if (c->rank() == 1) {
            std::array<double, 2> values{};
            c->all_reduce_max(std::span<double>(values));
        } else {
            c->barrier();
        }
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::peer);
        message = error.what();
    }
    EXPECT_NE(message.find("rank 1 is at collective"), std::string::npos) << message;
    EXPECT_NE(message.find("all_reduce_max of 2 x 8 bytes, step 12"), std::string::npos) << message;
    EXPECT_NE(message.find("barrier"), std::string::npos) << message;
    w.barrier();

    const auto sizes = w.duplicate(); // same call, other size
    std::vector<float> values(w.rank() == 0 ? 100U : 101U);
    EXPECT_THROW(sizes->all_reduce_tree(std::span<float>(values)), Error);
    w.barrier();

    const auto steps = w.duplicate(); // same call, one step ahead
    steps->set_step(w.rank() == w.size() - 1 ? 6 : 5);
    EXPECT_THROW(steps->barrier(), Error);
    steps->set_step(7);
    w.barrier();
}

TEST(Communicator, a_second_world_is_refused_or_alone) {
    if (world().size() == 1) {
        EXPECT_EQ(make_self_communicator()->size(), 1);
    }
    EXPECT_EQ(guarded(*make_self_communicator(), [] {}), 0);
    EXPECT_EQ(guarded(*make_self_communicator(), [] { fail(ExitCode::storage, "full"); }), 14);
    EXPECT_EQ(guarded(*make_self_communicator(), [] { throw std::runtime_error("?"); }), 13);
}

} // namespace
} // namespace tether::parallel
