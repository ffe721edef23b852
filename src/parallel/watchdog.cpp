#include "tether/parallel/watchdog.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>

namespace tether::parallel {
namespace {

using Clock = std::chrono::steady_clock; // monotonic; keeps running while a process is stopped
using std::chrono::milliseconds;

void to_stderr(const std::string& message) {
    // Not through the log: the thread that hangs may hold its lock.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message.data(), message.size());
}

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : "?";
}

} // namespace

struct Watchdog::State {
    explicit State(WatchdogOptions given) : options(std::move(given)), host(host_name()) {
        if (!options.exit) {
            options.exit = [](int code) { ::_exit(code); };
        }
        if (!options.report) {
            options.report = to_stderr;
        }
    }

    struct Now {
        const char* name = nullptr; // null: resting
        Index step = 0;
        milliseconds limit{0};
        std::uint64_t number = 0; // of this phase; tells a new one from one that lasts
    };

    [[nodiscard]] std::string say(const Now& now, milliseconds lasted, std::string_view what) {
        std::function<std::string()> detail;
        std::string who;
        {
            const std::lock_guard lock(mutex);
            detail = options.detail;
            who = rank < 0 ? "?" : std::to_string(rank);
        }
        std::string facts = detail ? detail() : std::string();
        return fmt::format(
            "tether: rank {} on {}: phase '{}' of step {} has lasted {:.1f} s (limit {:.1f} s){}{}{}\n", who,
            host, now.name, now.step, static_cast<double>(lasted.count()) * 1e-3,
            static_cast<double>(now.limit.count()) * 1e-3, facts.empty() ? "" : "; ", facts, what);
    }

    void watch() {
        Now watched;
        milliseconds lasted{0};
        bool mentioned = false;
        bool expired = false;
        auto before = Clock::now();
        std::unique_lock lock(mutex);
        while (!stop) {
            const milliseconds limit = current.name != nullptr ? current.limit : options.limit;
            const milliseconds tick =
                std::clamp(std::min(limit, options.grace) / 8, milliseconds(1), milliseconds(1000));
            wake.wait_for(lock, tick, [this] { return stop; });
            const auto time = Clock::now();
            // A gap far above a tick means that this process itself stood still.
            const auto gap = std::chrono::duration_cast<milliseconds>(time - before);
            before = time;
            if (current.number != watched.number || current.name == nullptr) {
                if (expired && !stop) {
                    const std::string message = fmt::format(
                        "tether: phase '{}' of step {} went on after all\n", watched.name, watched.step);
                    lock.unlock();
                    options.report(message);
                    lock.lock();
                }
                watched = current;
                lasted = milliseconds{0};
                mentioned = expired = false;
                continue;
            }
            lasted += std::min(gap, 2 * tick + milliseconds(50));
            const auto part = milliseconds(static_cast<std::int64_t>(
                options.mention_after * static_cast<double>(watched.limit.count())));
            const bool give_up = lasted >= watched.limit + options.grace;
            std::string_view what;
            if (give_up) {
                what = ": giving up, exit 13";
            } else if (!expired && lasted >= watched.limit) {
                expired = true;
                what = ": taken for a hang";
            } else if (!mentioned && lasted >= part) {
                mentioned = true;
                what = ": straggling";
            } else {
                continue;
            }
            lock.unlock();
            options.report(say(watched, lasted, what));
            if (give_up) {
                options.exit(static_cast<int>(ExitCode::peer));
            }
            lock.lock();
            if (give_up) {
                return; // only with an exit function that returns
            }
        }
    }

    WatchdogOptions options;
    std::string host;
    std::mutex mutex;
    std::condition_variable wake;
    bool stop = false;
    int rank = -1;
    Now current;
    std::thread thread;
};

Watchdog::Watchdog(WatchdogOptions options) : state_(std::make_unique<State>(std::move(options))) {
    State& s = *state_;
    check(s.options.limit.count() > 0 && s.options.grace.count() > 0,
          "watchdog: limit {} ms and grace {} ms, expected more than 0", s.options.limit.count(),
          s.options.grace.count());
    s.thread = std::thread([&s, run = log::context()] {
        log::adopt(run);
        s.watch();
    });
}

Watchdog::~Watchdog() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stop = true;
    }
    state_->wake.notify_all();
    state_->thread.join();
}

void Watchdog::set_rank(int rank) {
    const std::lock_guard lock(state_->mutex);
    state_->rank = rank;
}

void Watchdog::set_detail(std::function<std::string()> detail) {
    const std::lock_guard lock(state_->mutex);
    state_->options.detail = std::move(detail);
}

void Watchdog::phase(const char* name, Index step, std::chrono::milliseconds limit) {
    State& s = *state_;
    const std::lock_guard lock(s.mutex);
    s.current = {name, step, limit.count() > 0 ? limit : s.options.limit, s.current.number + 1};
}

void Watchdog::rest() {
    State& s = *state_;
    const std::lock_guard lock(s.mutex);
    s.current.name = nullptr;
    ++s.current.number;
}

} // namespace tether::parallel
