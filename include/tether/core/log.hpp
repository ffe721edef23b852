// Messages for people: to stderr and, where a run has one, to its log file. Only the rank that
// speaks for the job prints (quiet elsewhere); warnings are counted because any logged warning
// fails a test. A log file that cannot be written never stops a training run.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tether::log {

enum class Level { info, warning, error };

void write(Level level, std::string_view message);

void set_quiet(bool quiet);                  // true on ranks that do not speak: only errors pass
void set_file(const std::string& path);      // append to this file too; empty: stop doing so
[[nodiscard]] long warning_count() noexcept; // warnings written by this process so far

// Several runs in one process: a thread that adopts a context logs under its label and into its file; threads
// that it starts adopt its context. Without one, the process has one file and no label.
class Context {
public:
    explicit Context(std::string label);
    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    struct Sink;

private:
    friend void write(Level, std::string_view);
    friend void set_file(const std::string&);
    std::string label_;
    std::unique_ptr<Sink> sink_;
};
[[nodiscard]] Context* context() noexcept; // of this thread
void adopt(Context* context) noexcept;

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

} // namespace tether::log
