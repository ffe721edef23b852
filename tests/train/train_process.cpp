#include "tests/train/train_process.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace tether::test {
namespace {

std::string content(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

void send_to(const std::string& path, int descriptor) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || ::dup2(fd, descriptor) < 0) {
        _exit(126);
    }
    ::close(fd);
}

} // namespace

std::string Outcome::last_line() const {
    const auto end = out.find_last_not_of('\n');
    if (end == std::string::npos) {
        return "";
    }
    const auto start = out.rfind('\n', end);
    return out.substr(start == std::string::npos ? 0 : start + 1,
                      end - (start == std::string::npos ? 0 : start + 1) + 1);
}

std::string Outcome::folder() const {
    const std::string line = last_line();
    return line.starts_with("run ") ? line.substr(4) : "";
}

std::string Place::describe() const {
    return fmt::format("{} ranks of {} threads, {} coordinator{}", ranks, threads,
                       dedicated ? "dedicated" : "shared",
                       lanes_at_once > 0 ? fmt::format(", {} lanes at once", lanes_at_once) : "");
}

bool mpi_available() {
#ifdef TETHER_MPIEXEC
    return true;
#else
    return false;
#endif
}

std::string program() {
    const char* other = std::getenv("TETHER_PROGRAM");
    return other != nullptr ? other : TETHER_PROGRAM;
}

std::vector<std::string> on_ranks(int ranks, const std::vector<std::string>& arguments) {
    std::vector<std::string> command;
#ifdef TETHER_MPIEXEC
    command = {TETHER_MPIEXEC, "--oversubscribe", "--bind-to", "none", "-np", std::to_string(ranks)};
#else
    throw std::runtime_error("this build has no MPI for " + std::to_string(ranks) + " ranks");
#endif
    command.push_back(program());
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

Process::Process(const std::vector<std::string>& command, const std::string& folder) : folder_(folder) {
    static std::atomic<int> count{0};
    name_ = fmt::format("{}/process-{}", folder_, ++count);
#ifdef TETHER_MPIEXEC
    launcher_ = command[0] == TETHER_MPIEXEC;
#endif
    std::vector<char*> arguments;
    for (const std::string& a : command) {
        arguments.push_back(const_cast<char*>(a.c_str()));
    }
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) {
        throw std::runtime_error("fork failed");
    }
    if (pid_ == 0) {
        ::setpgid(0, 0);                            // so that all of it can be killed
        ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1); // test machines are often containers
        ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
        ::setenv("ASAN_OPTIONS", "detect_leaks=0", 0); // of the MPI library, in sanitized builds
        send_to(name_ + ".out", STDOUT_FILENO);
        send_to(name_ + ".err", STDERR_FILENO);
        ::execvp(arguments[0], arguments.data());
        _exit(127);
    }
    ::setpgid(pid_, pid_);
}

Process::~Process() {
    if (!ended_) {
        wait(std::chrono::seconds(0));
    }
}

bool Process::running() {
    if (!ended_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) {
        ended_ = true;
    }
    return !ended_;
}

std::vector<pid_t> Process::children() const {
    std::istringstream list(content(fmt::format("/proc/{}/task/{}/children", pid_, pid_)));
    std::vector<pid_t> out;
    for (pid_t child = 0; list >> child;) {
        out.push_back(child);
    }
    return out;
}

bool Process::left_alone() {
    if (!launcher_) {
        return false;
    }
    const std::vector<pid_t> all = children();
    const bool alive = std::ranges::any_of(all, [](pid_t child) {
        const std::string stat = content(fmt::format("/proc/{}/stat", child));
        const std::size_t state = stat.rfind(") ");
        return state != std::string::npos && stat.substr(state + 2, 1) != "Z";
    });
    has_had_children_ = has_had_children_ || alive;
    return has_had_children_ && !alive;
}

Outcome Process::wait(std::chrono::seconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    bool late = false;
    auto last_with_children = std::chrono::steady_clock::now();
    while (running()) {
        // mpirun of Open MPI 4.1 may lock itself up in PMIx_server_finalize when a rank was killed while
        // it connected: all ranks are gone, and it waits for ever.
        if (!left_alone()) {
            last_with_children = std::chrono::steady_clock::now();
        } else if (std::chrono::steady_clock::now() - last_with_children > std::chrono::seconds(10)) {
            ::kill(pid_, SIGKILL);
        }
        if (!late && std::chrono::steady_clock::now() >= end) {
            late = true;
            for (const pid_t child : children()) {
                ::kill(child, SIGKILL); // mpirun puts its ranks into groups of their own
            }
            ::kill(-pid_, SIGKILL);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    const int code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
    return {late ? 124 : code, content(name_ + ".out"), content(name_ + ".err")};
}

Outcome tether(const std::vector<std::string>& arguments, const std::string& folder) {
    std::vector<std::string> command{program()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return Process(command, folder).wait();
}

} // namespace tether::test
