// The way to the coordinator and back, in the thread of rank 0 and, under mpirun, on a rank of its
// own: order, latency hidden, blobs, errors with their exit code.
#include "tests/parallel/world.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/parallel/coordinator.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>

namespace tether::parallel {
namespace {

using namespace std::chrono_literals;
using test::world;

// Answers {number of this report, sum of the report, bytes of blobs so far}; in one thread.
class Adder : public CoordinatorRole {
public:
    explicit Adder(std::string go_on = {}) : go_on_(std::move(go_on)) {}
    ~Adder() override { EXPECT_EQ(std::this_thread::get_id(), thread_); }
    const std::vector<double>& answer(std::span<const double> report) override {
        EXPECT_EQ(std::this_thread::get_id(), thread_);
        if (!report.empty() && report[0] == 666) {
            fail(ExitCode::storage, "disk of the run file is full");
        }
        if (!report.empty() && report[0] == 667) {
            throw std::runtime_error("something else");
        }
        if (!report.empty() && report[0] == 1000) { // as slow as the caller wants it
            const auto until = std::chrono::steady_clock::now() + 60s;
            while (!std::filesystem::exists(go_on_) && std::chrono::steady_clock::now() < until) {
                std::this_thread::sleep_for(1ms);
            }
            EXPECT_TRUE(std::filesystem::exists(go_on_)) << "posting waited for the role";
        }
        answer_ = {++count_, std::accumulate(report.begin(), report.end(), 0.0), bytes_};
        answer_.resize(3 + static_cast<std::size_t>(report.empty() ? 0 : report.size() % 5)); // sizes differ
        return answer_;
    }
    void blob(const std::string& kind, std::vector<std::byte> bytes) override {
        EXPECT_EQ(std::this_thread::get_id(), thread_);
        if (kind == "bad") {
            fail(ExitCode::storage, "checkpoint of {} bytes cannot be written", bytes.size());
        }
        EXPECT_EQ(kind, "checkpoint");
        for (const std::byte byte : bytes) {
            EXPECT_EQ(byte, std::byte{9});
        }
        bytes_ += static_cast<double>(bytes.size());
    }
    void finish() override {
        EXPECT_EQ(std::this_thread::get_id(), thread_);
        if (bytes_ == 13) {
            fail(ExitCode::data, "cannot finish");
        }
        finished = true;
    }
    static inline std::atomic<bool> finished{false};

private:
    std::string go_on_; // a file that lets the answer to {1000} go on
    std::thread::id thread_ = std::this_thread::get_id();
    std::vector<double> answer_;
    double count_ = 0;
    double bytes_ = 0;
};

class Coordinator : public testing::TestWithParam<CoordinatorPlace> {
protected:
    void SetUp() override {
        if (GetParam() == CoordinatorPlace::dedicated && world().size() < 2) {
            EXPECT_THROW((void)assign_roles(world(), GetParam()), Error);
            GTEST_SKIP() << "a dedicated coordinator takes a second rank (run under mpirun)";
        }
        Adder::finished = false;
    }
    // `rank_zero` on rank 0 of the workers, `failed` the exit code that ended the coordinator's rank.
    template <class Work>
    void with_link(Work&& rank_zero, ExitCode failed = ExitCode::ok) {
        with_link([] { return std::make_unique<Adder>(); }, rank_zero, failed);
    }
    template <class Work>
    void with_link(const CoordinatorFactory& factory, Work&& rank_zero, ExitCode failed = ExitCode::ok) {
        Cast cast = assign_roles(world(), GetParam());
        if (GetParam() == CoordinatorPlace::dedicated) {
            EXPECT_EQ(cast.is_coordinator(), world().rank() == world().size() - 1);
        } else {
            EXPECT_FALSE(cast.is_coordinator());
        }
        if (cast.is_coordinator()) {
            ExitCode ended = ExitCode::ok;
            try {
                serve_coordinator(cast, factory);
                EXPECT_TRUE(Adder::finished);
            } catch (const Error& error) {
                ended = error.code();
            }
            EXPECT_EQ(ended, failed);
            return;
        }
        EXPECT_EQ(cast.workers->size(), world().size() - (GetParam() == CoordinatorPlace::dedicated ? 1 : 0));
        if (cast.workers->rank() == 0) {
            rank_zero([&] { return connect_coordinator(cast, GetParam(), factory); });
        } else {
            EXPECT_THROW((void)connect_coordinator(cast, GetParam(), factory), Error);
        }
        cast.workers->barrier();
    }
    template <class Call>
    static void expect_error(ExitCode code, const std::string& text, Call&& call) {
        try {
            call();
            ADD_FAILURE() << "no error, expected: " << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code);
            EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
        }
    }
};

TEST_P(Coordinator, answers_come_in_order_one_step_late) {
    with_link([](auto connect) {
        const auto link = connect();
        std::vector<double> report;
        for (int step = 1; step <= 300; ++step) {
            report.assign(static_cast<std::size_t>(step % 40), 1.0);
            link->post(report);
            if (step > 1) {
                const std::vector<double>& answer = link->wait();
                ASSERT_GE(answer.size(), 3U);
                EXPECT_EQ(answer[0], step - 1);
                EXPECT_EQ(answer[1], (step - 1) % 40);
            }
        }
        EXPECT_EQ(link->wait()[0], 300);
        expect_error(ExitCode::usage, "wait() without a report", [&] { (void)link->wait(); });
        link->finish();
    });
}

TEST_P(Coordinator, posting_does_not_wait_for_the_role) {
    const test::TemporaryFolder folder;
    std::array<char, 256> name{}; // rank 0's folder, known to all
    folder.file("go-on").copy(name.data(), name.size() - 1);
    world().broadcast(std::as_writable_bytes(std::span(name)), 0);
    const std::string go_on = name.data();
    with_link([&] { return std::make_unique<Adder>(go_on); },
              [&](auto connect) {
                  const auto link = connect();
                  link->post(std::array{1000.0}); // the role is held up until the file is there
                  for (int i = 0; i < 10; ++i) {
                      link->post(std::array{1.0});
                  }
                  std::ofstream(go_on) << "go on";
                  for (int i = 1; i <= 11; ++i) {
                      EXPECT_EQ(link->wait()[0], i);
                  }
                  link->finish();
              });
    world().barrier(); // the folder goes away
}

TEST_P(Coordinator, blobs_come_whole_and_in_order_with_the_reports) {
    with_link([](auto connect) {
        const auto link = connect();
        double total = 0;
        for (const std::size_t size : {0U, 1U, 60'000U, 70'000U, 12'000'000U}) {
            link->post_blob("checkpoint", std::vector<std::byte>(size, std::byte{9}));
            total += static_cast<double>(size);
            link->post({});
            EXPECT_EQ(link->wait()[2], total);
        }
        link->finish();
        if (GetParam() == CoordinatorPlace::shared) {
            EXPECT_TRUE(Adder::finished);
        }
    });
}

TEST_P(Coordinator, reports_still_unanswered_are_worked_on_before_the_end) {
    with_link([](auto connect) {
        const auto link = connect();
        for (int i = 0; i < 30; ++i) {
            link->post(std::array{1.0, 2.0});
        }
        link->finish();
    });
}

TEST_P(Coordinator, an_error_in_an_answer_comes_back_with_its_exit_code) {
    with_link(
        [](auto connect) {
            const auto link = connect();
            link->post(std::array{1.0});
            link->post(std::array{666.0});
            EXPECT_EQ(link->wait()[0], 1); // what was answered before still counts
            expect_error(ExitCode::storage, "disk of the run file is full", [&] { (void)link->wait(); });
            expect_error(ExitCode::storage, "disk of the run file is full", [&] { link->post({}); });
            expect_error(ExitCode::storage, "disk of the run file is full", [&] { link->finish(); });
        },
        ExitCode::storage);
}

TEST_P(Coordinator, an_error_in_a_blob_comes_back_with_a_later_call) {
    with_link(
        [](auto connect) {
            const auto link = connect();
            link->post_blob("bad", std::vector<std::byte>(5));
            expect_error(ExitCode::storage, "checkpoint of 5 bytes", [&] {
                for (int i = 0; i < 10'000; ++i) {
                    link->post(std::array{1.0});
                    (void)link->wait();
                }
            });
        },
        ExitCode::storage);
}

TEST_P(Coordinator, other_exceptions_come_back_as_errors) {
    with_link(
        [](auto connect) {
            const auto link = connect();
            link->post(std::array{667.0});
            expect_error(ExitCode::peer, "something else", [&] { (void)link->wait(); });
        },
        ExitCode::peer);
}

TEST_P(Coordinator, an_error_in_finishing_comes_back) {
    with_link(
        [](auto connect) {
            const auto link = connect();
            link->post_blob("checkpoint", std::vector<std::byte>(13, std::byte{9}));
            expect_error(ExitCode::data, "cannot finish", [&] { link->finish(); });
        },
        ExitCode::data);
}

TEST_P(Coordinator, an_error_in_making_the_role_comes_back_at_once) {
    with_link(
        []() -> std::unique_ptr<CoordinatorRole> { fail(ExitCode::storage, "the lease is held"); },
        [](auto connect) { expect_error(ExitCode::storage, "the lease is held", [&] { (void)connect(); }); },
        ExitCode::storage);
}

INSTANTIATE_TEST_SUITE_P(places, Coordinator,
                         testing::Values(CoordinatorPlace::shared, CoordinatorPlace::dedicated),
                         [](const auto& place) {
                             return place.param == CoordinatorPlace::shared ? "shared" : "dedicated";
                         });

TEST(CoordinatorShared, a_link_dropped_without_finish_leaves_the_role_unfinished) {
    Adder::finished = false;
    Cast cast = assign_roles(world(), CoordinatorPlace::shared);
    if (cast.workers->rank() == 0) {
        auto link =
            connect_coordinator(cast, CoordinatorPlace::shared, [] { return std::make_unique<Adder>(); });
        link->post(std::array{1.0});
        link.reset();
    }
    EXPECT_FALSE(Adder::finished);
}

} // namespace
} // namespace tether::parallel
