#include "tether/core/log.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <mutex>
#include <utility>

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

thread_local Context* of_thread = nullptr;

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

struct Context::Sink {
    std::unique_ptr<std::FILE, Closer> file;
};

Context::Context(std::string label) : label_(std::move(label)), sink_(std::make_unique<Sink>()) {}
Context::~Context() = default;

Context* context() noexcept { return of_thread; }
void adopt(Context* context) noexcept { of_thread = context; }

void write(Level level, std::string_view message) {
    State& s = state();
    if (level == Level::warning) {
        ++s.warnings;
    }
    if (s.quiet && level != Level::error) {
        return;
    }
    const std::scoped_lock lock(s.mutex);
    const std::string label = of_thread == nullptr ? "" : of_thread->label_ + ": ";
    if (level == Level::info) {
        fmt::print(stderr, "{}{}\n", label, message);
    } else {
        fmt::print(stderr, "{}: {}{}\n", name(level), label, message);
    }
    if (std::FILE* file = (of_thread == nullptr ? s.file : of_thread->sink_->file).get(); file != nullptr) {
        // A full disk shows up here; training goes on without the log (operations: faults).
        std::fprintf(file, "%s %s %.*s\n", timestamp().c_str(), name(level), static_cast<int>(message.size()),
                     message.data());
        std::fflush(file);
    }
}

void set_quiet(bool quiet) { state().quiet = quiet; }

void set_file(const std::string& path) {
    State& s = state();
    {
        const std::scoped_lock lock(s.mutex);
        auto& file = of_thread == nullptr ? s.file : of_thread->sink_->file;
        file.reset(path.empty() ? nullptr : std::fopen(path.c_str(), "a"));
        if (path.empty() || file) {
            return;
        }
    }
    warning("cannot open log file {}; going on without it", path);
}

long warning_count() noexcept { return state().warnings; }

} // namespace tether::log
