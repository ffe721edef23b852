#include "tether/core/log.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <mutex>

namespace tether::log {
namespace {

struct Closer {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

struct State {
    std::mutex mutex;
    std::unique_ptr<std::FILE, Closer> file;
    std::atomic<bool> quiet{false};
    std::atomic<long> warnings{0};
};

State& state() {
    static State instance;
    return instance;
}

const char* name(Level level) {
    switch (level) {
    case Level::info: return "info";
    case Level::warning: return "warning";
    case Level::error: return "error";
    }
    return "";
}

std::string timestamp() {
    const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

} // namespace

void write(Level level, std::string_view message) {
    State& s = state();
    if (level == Level::warning) {
        ++s.warnings;
    }
    if (s.quiet && level != Level::error) {
        return;
    }
    const std::scoped_lock lock(s.mutex);
    if (level == Level::info) {
        fmt::print(stderr, "{}\n", message);
    } else {
        fmt::print(stderr, "{}: {}\n", name(level), message);
    }
    if (s.file) {
        // A full disk shows up here; training goes on without the log (operations: faults).
        std::fprintf(s.file.get(), "%s %s %.*s\n", timestamp().c_str(), name(level),
                     static_cast<int>(message.size()), message.data());
        std::fflush(s.file.get());
    }
}

void set_quiet(bool quiet) { state().quiet = quiet; }

void set_file(const std::string& path) {
    State& s = state();
    {
        const std::scoped_lock lock(s.mutex);
        s.file.reset(path.empty() ? nullptr : std::fopen(path.c_str(), "a"));
        if (path.empty() || s.file) {
            return;
        }
    }
    warning("cannot open log file {}; going on without it", path);
}

long warning_count() noexcept { return state().warnings; }

} // namespace tether::log
