#include "tether/run/sweep_executor.hpp"

#include "tether/core/error.hpp"
#include "tether/parallel/thread_team.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/run_storage.hpp"
#include "tether/run/signals.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <limits>
#include <list>
#include <sstream>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace tether::run {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// What a training is told to leave by: mpirun hands it on to its ranks, unlike SIGTERM.
constexpr int leave = SIGUSR2;

// The lock of one run among processes that see the same file. It belongs to the open file, which the
// training inherits: it stays taken until the last of them has ended, however they end.
class Claim {
public:
    explicit Claim(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
        if (fd_ < 0) {
            storage_failure(path, "open the lock", errno);
        }
        taken_ = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
    }
    Claim(Claim&& other) noexcept : fd_(std::exchange(other.fd_, -1)), taken_(other.taken_) {}
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    Claim& operator=(Claim&&) = delete;
    ~Claim() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    [[nodiscard]] bool taken() const { return taken_; }
    [[nodiscard]] int descriptor() const { return fd_; }

private:
    int fd_;
    bool taken_ = false;
};

struct Training {
    std::size_t row = 0;
    pid_t pid = -1;
    Claim claim;
    std::string log;
    long long log_start = 0;
};

long long size_of(const std::string& path) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    return error ? 0 : static_cast<long long>(size);
}

// In the child: nothing but system calls until exec.
[[noreturn]] void become(std::vector<char*>& command, const char* log, int claim, pid_t parent) {
    ::setpgid(0, 0); // the terminal's Ctrl-C is for the executor alone
    ::prctl(PR_SET_PDEATHSIG, leave);
    if (::getppid() != parent) {
        _exit(static_cast<int>(ExitCode::requeue)); // it died before
    }
    ::fcntl(claim, F_SETFD, 0);
    const int in = ::open("/dev/null", O_RDONLY);
    const int out = ::open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (in < 0 || out < 0) {
        _exit(static_cast<int>(ExitCode::storage));
    }
    ::dup2(in, STDIN_FILENO);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::execvp(command.front(), command.data());
    const char* reason = std::strerror(errno);
    for (const char* part :
         {"error: cannot start ", static_cast<const char*>(command.front()), ": ", reason, "\n"}) {
        [[maybe_unused]] const auto written = ::write(STDERR_FILENO, part, std::strlen(part));
    }
    _exit(static_cast<int>(ExitCode::usage));
}

// Says by its name and its lock that a process of this machine works on the sweep.
constexpr std::string_view executor_prefix = "executor.";
std::string executor_file(const Manifest& manifest) {
    return fmt::format("{}/claims/{}{}.{}", manifest.directory(), executor_prefix, ::getpid(), host_name());
}

class Executor {
public:
    Executor(const Manifest& manifest, const ExecutorOptions& options)
        : manifest_(manifest), options_(options), ledger_(manifest) {
        const int cores = parallel::cores_available();
        at_once_ = options.at_once > 0 ? options.at_once : std::max(1, cores / std::max(1, options.threads));
        memory_mb_ = options.memory_mb > 0 ? options.memory_mb : 0.9 * free_memory_mb();
        rows_ = ledger_.rows();
        check(self_.taken(), ExitCode::storage, "{}: is locked by another process", executor_file(manifest));
    }
    ~Executor() { ::unlink(executor_file(manifest_).c_str()); }
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    int run() {
        Signals::install();
        bool told = false;
        for (;;) {
            reap();
            if (Signals::stop_requested()) {
                if (!told) {
                    for (const Training& t : trainings_) {
                        ::kill(t.pid, leave);
                    }
                    told = true;
                }
                if (trainings_.empty()) {
                    return static_cast<int>(ExitCode::requeue);
                }
            } else {
                look_around();
                start_due();
                if (trainings_.empty() && finished()) {
                    say("");
                    return code();
                }
            }
            if (Clock::now() - shown_ > 500ms) {
                say("");
            }
            std::this_thread::sleep_for(20ms);
        }
    }

private:
    void say(const std::string& event) {
        shown_ = Clock::now();
        for (const Training& t : trainings_) {
            refresh(t.row);
            if (rows_[t.row].due()) {
                rows_[t.row].state = SweepState::running; // it has not taken its lease yet
            }
        }
        if (options_.show) {
            options_.show(rows_, event);
        }
    }

    void refresh(std::size_t at) { rows_[at] = ledger_.row(manifest_.runs[at]); }

    [[nodiscard]] bool mine(std::size_t row) const {
        return std::ranges::find(trainings_, row, &Training::row) != trainings_.end();
    }

    [[nodiscard]] static bool final(const LedgerRow& row) {
        return row.state == SweepState::complete || row.state == SweepState::failed;
    }

    [[nodiscard]] bool finished() const { return std::ranges::all_of(rows_, final); }

    [[nodiscard]] int code() const {
        const auto failed = std::ranges::find(rows_, SweepState::failed, &LedgerRow::state);
        if (failed == rows_.end()) {
            return 0;
        }
        return failed->code > 128 ? static_cast<int>(ExitCode::peer) : failed->code;
    }

    // What others do: their runs end, or are left behind.
    void look_around() {
        if (Clock::now() - looked_ < 1s) {
            return;
        }
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            if (!final(rows_[i]) && !mine(i)) {
                refresh(i);
            }
        }
        looked_ = Clock::now();
    }

    [[nodiscard]] double expected_memory(std::size_t row) const {
        const double known = manifest_.runs[row].cost.memory_mb;
        return known > 0 ? 1.1 * known + 20 : 0;
    }

    void start_due() {
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            if (static_cast<int>(trainings_.size()) >= at_once_) {
                return;
            }
            if (!rows_[i].due() || mine(i)) {
                continue;
            }
            double memory = expected_memory(i);
            for (const Training& t : trainings_) {
                memory += expected_memory(t.row);
            }
            if (!trainings_.empty() && memory > memory_mb_) {
                return; // when another one has ended
            }
            start(i);
        }
    }

    void start(std::size_t i) {
        const PlannedRun& run = manifest_.runs[i];
        Claim claim(manifest_.directory() + "/claims/" + run.id);
        if (!claim.taken()) {
            rows_[i].state = SweepState::running; // by somebody, until we look around again
            return;
        }
        refresh(i); // before the lock was ours, another may have ended it
        if (!rows_[i].due()) {
            return;
        }
        std::vector<std::string> words = options_.launcher;
        words.insert(words.end(),
                     {options_.program, "train", manifest_.job_file_of(run), "--runs",
                      manifest_.directory() + "/runs", "--threads", std::to_string(options_.threads)});
        words.insert(words.end(), options_.flags.begin(), options_.flags.end());
        std::vector<char*> command;
        for (std::string& word : words) {
            command.push_back(word.data());
        }
        command.push_back(nullptr);
        const std::string log = manifest_.directory() + "/logs/" + run.id + ".log";
        const long long log_start = size_of(log);
        ledger_.record_begin(run, fmt::format("sweep run, process {}", ::getpid()));
        const pid_t parent = ::getpid();
        const pid_t pid = ::fork();
        check(pid >= 0, ExitCode::storage, "cannot start another process: {}", std::strerror(errno));
        if (pid == 0) {
            become(command, log.c_str(), claim.descriptor(), parent);
        }
        trainings_.push_back({i, pid, std::move(claim), log, log_start});
        say(fmt::format("{} {} begins", run.id, run.name));
    }

    void reap() {
        for (auto t = trainings_.begin(); t != trainings_.end();) {
            int status = 0;
            const pid_t ended = ::waitpid(t->pid, &status, WNOHANG);
            if (ended == 0 || (ended < 0 && errno == EINTR)) {
                ++t;
                continue;
            }
            std::list<Training> over; // its lock is kept until the ledger knows
            over.splice(over.begin(), trainings_, t++);
            end(over.front(), WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        }
    }

    void end(const Training& t, int code) {
        const PlannedRun& run = manifest_.runs[t.row];
        if (Signals::stop_requested() && code == 128 + leave) {
            code = static_cast<int>(ExitCode::requeue); // told to leave before it could listen
        }
        const bool worked = ledger_.record_end(run, code, t.log, t.log_start);
        refresh(t.row);
        const LedgerRow& row = rows_[t.row];
        std::string text = fmt::format("{} {} {}", run.id, run.name, state_name(row.state));
        if (!worked) {
            text += ": another process works on it";
            rows_[t.row].state = SweepState::running;
        } else if (is_failure(code)) {
            text += fmt::format(": exit code {}, {}{}{}", code, code_meaning(code),
                                row.message.empty() ? "" : ": ", row.message);
        }
        say(text);
    }

    const Manifest& manifest_;
    const ExecutorOptions& options_;
    Ledger ledger_;
    Claim self_{executor_file(manifest_)}; // this process lives
    int at_once_ = 1;
    double memory_mb_ = 0;
    std::vector<LedgerRow> rows_;
    std::list<Training> trainings_;
    Clock::time_point shown_, looked_ = Clock::now();
};

double number_in(const std::string& path) {
    std::ifstream file(path);
    double value = 0;
    return file >> value ? value : std::numeric_limits<double>::infinity(); // "max", or no such file
}

} // namespace

double free_memory_mb() {
    double free = std::numeric_limits<double>::infinity();
    std::ifstream file("/proc/meminfo");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("MemAvailable:")) {
            free = std::stod(line.substr(13)) / 1024;
        }
    }
    const std::string group = "/sys/fs/cgroup/memory.";
    const double limit = number_in(group + "max");
    if (limit < std::numeric_limits<double>::infinity()) {
        free = std::min(free, (limit - number_in(group + "current")) / 1048576);
    }
    return std::max(0.0, free);
}

StoppedExecutors stop_executors(const Manifest& manifest) {
    StoppedExecutors out;
    std::error_code error;
    for (const auto& item : std::filesystem::directory_iterator(manifest.directory() + "/claims", error)) {
        const std::string name = item.path().filename().string();
        if (!name.starts_with(executor_prefix)) {
            continue;
        }
        char* end = nullptr;
        const long pid = std::strtol(name.c_str() + executor_prefix.size(), &end, 10);
        const std::string host = *end == '.' ? end + 1 : "";
        if (host != host_name()) {
            out.elsewhere.push_back(host);
        } else if (Claim(item.path().string()).taken()) {
            std::filesystem::remove(item.path(), error); // of one that was killed
        } else if (pid > 0 && ::kill(static_cast<pid_t>(pid), SIGTERM) == 0) {
            ++out.stopped;
        }
    }
    return out;
}

int execute_sweep(const Manifest& manifest, const ExecutorOptions& options) {
    return Executor(manifest, options).run();
}

} // namespace tether::run
