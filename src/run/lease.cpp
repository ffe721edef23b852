// Times of heartbeats are never compared between machines: a heartbeat is a counter, and who waits
// looks whether it changes, by its own monotonic clock. Takeovers are serialised by a lock on the
// folder where its file system has one, and confirmed by reading the lease back.
#include "tether/run/lease.hpp"

#include "src/run/json_numbers.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/sha256.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/run_storage.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tether::run {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// Two processes see each other's pids exactly if this is equal (and the host's name).
std::string boot_identity() {
    std::array<char, 128> name_space{};
    const ssize_t length = ::readlink("/proc/self/ns/pid", name_space.data(), name_space.size() - 1);
    return first_line("/proc/sys/kernel/random/boot_id") + "/" +
           (length > 0 ? std::string(name_space.data(), static_cast<std::size_t>(length)) : std::string{});
}

struct ProcessState {
    char state = 'X';
    long long start = -1;
};

// State and start time from /proc/PID/stat; the name in parentheses may hold anything.
ProcessState process_state(long pid) {
    const std::string line = first_line(fmt::format("/proc/{}/stat", pid).c_str());
    const auto end = line.rfind(')');
    if (end == std::string::npos) {
        return {};
    }
    std::istringstream rest(line.substr(end + 1));
    ProcessState out;
    rest >> out.state;
    std::string field;
    for (int i = 4; i <= 21; ++i) { // fields 4 to 21; 22 is the start time
        rest >> field;
    }
    rest >> out.start;
    return rest ? out : ProcessState{};
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string{} : value;
}

LeaseHolder this_process() {
    static std::atomic<long> count{0};
    LeaseHolder self;
    self.host = host_name();
    self.boot = boot_identity();
    self.pid = ::getpid();
    self.process_start = process_state(self.pid).start;
    self.job = environment("SLURM_JOB_ID");
    if (!self.job.empty()) {
        const std::string restarts = environment("SLURM_RESTART_COUNT");
        self.job += "." + (restarts.empty() ? "0" : restarts);
    }
    Sha256 hash;
    hash.add(fmt::format("{} {} {} {} {} {}", self.host, self.boot, self.pid, self.process_start, ++count,
                         Clock::now().time_since_epoch().count()));
    self.token = hash.hex().substr(0, 16);
    return self;
}

std::string to_text(const LeaseHolder& holder) {
    return Json{{"host", holder.host},
                {"boot", holder.boot},
                {"pid", holder.pid},
                {"process_start", holder.process_start},
                {"job", holder.job},
                {"token", holder.token},
                {"heartbeat", holder.heartbeat},
                {"time", utc_now()}}
               .dump() +
           "\n";
}

std::optional<LeaseHolder> parse(const std::string& path) {
    try {
        const Json content = Json::parse(read_text(path));
        return LeaseHolder{content.at("host"),
                           content.at("boot"),
                           whole_number(content.at("pid"), path),
                           whole_number(content.at("process_start"), path),
                           content.at("job"),
                           content.at("token"),
                           whole_number(content.at("heartbeat"), path)};
    } catch (const std::exception&) {
        return std::nullopt; // absent, being written, or damaged
    }
}

// Holds the folder's lock for its life; where the file system has none, does nothing.
class FolderLock {
public:
    explicit FolderLock(const std::string& folder)
        : fd_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
        if (fd_ >= 0) {
            while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
            }
        }
    }
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;
    ~FolderLock() {
        if (fd_ >= 0) {
            ::close(fd_); // and the lock with it
        }
    }

private:
    int fd_;
};

[[noreturn]] void refuse(const std::string& folder, const LeaseHolder& holder) {
    fail(ExitCode::usage, "{}: is being written by {}; wait for it to end, or stop it", folder,
         holder.describe());
}

} // namespace

std::string LeaseHolder::describe() const {
    return fmt::format("process {} on host {}{}", pid, host, job.empty() ? "" : " (job " + job + ")");
}

std::optional<LeaseHolder> read_lease(const std::string& folder) { return parse(folder + "/lease"); }

Liveness liveness(const LeaseHolder& holder) {
    if (holder.host != host_name() || holder.boot != boot_identity()) {
        return Liveness::elsewhere;
    }
    const ProcessState process = process_state(holder.pid);
    const bool ended = process.state == 'X' || process.state == 'Z' || process.start != holder.process_start;
    return ended ? Liveness::dead : Liveness::alive;
}

bool lease_is_live(const std::string& folder, LeaseTimes times) {
    const auto holder = read_lease(folder);
    if (!holder) {
        return false;
    }
    const Liveness found = liveness(*holder);
    if (found != Liveness::elsewhere) {
        return found == Liveness::alive;
    }
    std::error_code error;
    const auto written = std::filesystem::last_write_time(folder + "/lease", error);
    return !error && std::filesystem::file_time_type::clock::now() - written < times.expiry;
}

Lease::Lease(const std::string& folder, LeaseTimes times)
    : folder_(folder), path_(folder + "/lease"), times_(times), self_(this_process()) {
    take_or_throw();
    thread_ = std::thread([this] { beat(); });
}

bool Lease::create() {
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        if (errno == EEXIST) {
            return false;
        }
        storage_failure(path_, "create the lease", errno);
    }
    const std::string text = to_text(self_);
    const ssize_t written = ::write(fd, text.data(), text.size()); // one call: whole or nearly never not
    const int reason = errno;
    ::close(fd);
    if (written != static_cast<ssize_t>(text.size())) {
        ::unlink(path_.c_str());
        storage_failure(path_, "write the lease", written < 0 ? reason : ENOSPC);
    }
    return true;
}

void Lease::replace() { publish_text(path_, to_text(self_), "lease"); }

void Lease::take_or_throw() {
    std::optional<LeaseHolder> before; // as first seen by this process, and when
    Clock::time_point since = Clock::now();
    bool said = false;
    for (;; std::this_thread::sleep_for(std::chrono::milliseconds(50))) {
        const FolderLock lock(folder_);
        if (create()) {
            return;
        }
        const std::optional<LeaseHolder> holder = parse(path_);
        const bool changed =
            holder.has_value() != before.has_value() ||
            (holder && (holder->token != before->token || holder->heartbeat != before->heartbeat));
        if (holder && before && changed) {
            refuse(folder_, *holder); // its heart beats
        }
        if (changed) {
            before = holder;
            since = Clock::now();
        }
        const auto waited = Clock::now() - since;
        bool stale = false;
        if (!holder) {
            stale = waited >= times_.unreadable;
        } else if (const Liveness found = liveness(*holder); found == Liveness::alive) {
            refuse(folder_, *holder);
        } else {
            stale = found == Liveness::dead || waited >= times_.expiry;
            if (!stale && !said) {
                said = true;
                log::info("{}: held by {}; waiting up to {} s for a heartbeat", folder_, holder->describe(),
                          std::chrono::duration_cast<std::chrono::seconds>(times_.expiry).count());
            }
        }
        if (!stale) {
            continue;
        }
        replace();
        const auto now = parse(path_);
        if (now && now->token == self_.token) {
            log::info("{}: taken over from {}", path_,
                      holder ? holder->describe() + ", which has ended"
                             : "a process that did not finish taking it");
            return;
        }
    }
}

void Lease::beat() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, times_.beat, [this] { return stop_; })) {
        const FolderLock folder_lock(folder_);
        const auto holder = parse(path_);
        if (!holder || holder->token != self_.token) {
            lost_ = true;
            log::error("{}: lost{}; this process must not write there any more", path_,
                       holder ? " to " + holder->describe() : "");
            return;
        }
        ++self_.heartbeat;
        try {
            replace();
        } catch (const Error& error) { // the disk may be full; the lease stays valid until it expires
            log::error("no heartbeat: {}", error.what());
        }
    }
}

Lease::~Lease() {
    {
        const std::scoped_lock lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
    const FolderLock lock(folder_);
    const auto holder = parse(path_);
    if (holder && holder->token == self_.token) {
        ::unlink(path_.c_str());
    }
}

} // namespace tether::run
