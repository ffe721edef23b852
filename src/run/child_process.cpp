#include "tether/run/child_process.hpp"

#include "tether/core/error.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace tether::run {
namespace {

using Pipe = std::array<int, 2>;

Pipe make_pipe() {
    Pipe ends{};
    check(::pipe2(ends.data(), O_CLOEXEC) == 0, ExitCode::storage, "no pipe: {}", std::strerror(errno));
    return ends;
}

// Both at once: a program that fills one pipe while the other is read would wait for ever.
void read_both(int out, int err, Captured& into) {
    std::array<pollfd, 2> open{pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}};
    std::array<char, 4096> block{};
    while (open[0].fd >= 0 || open[1].fd >= 0) {
        if (::poll(open.data(), open.size(), -1) < 0 && errno != EINTR) {
            return;
        }
        for (std::size_t i = 0; i < open.size(); ++i) {
            if (open[i].fd < 0 || open[i].revents == 0) {
                continue;
            }
            const ssize_t got = ::read(open[i].fd, block.data(), block.size());
            if (got > 0) {
                (i == 0 ? into.out : into.err).append(block.data(), static_cast<std::size_t>(got));
            } else if (got == 0 || errno != EINTR) {
                open[i].fd = -1;
            }
        }
    }
}

} // namespace

Captured capture(const std::vector<std::string>& command) {
    std::vector<std::string> words = command;
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    const Pipe out = make_pipe();
    const Pipe err = make_pipe();
    const pid_t child = ::fork();
    check(child >= 0, ExitCode::storage, "cannot start {}: {}", command.front(), std::strerror(errno));
    if (child == 0) {
        ::dup2(out[1], STDOUT_FILENO);
        ::dup2(err[1], STDERR_FILENO);
        ::execvp(arguments.front(), arguments.data());
        _exit(127);
    }
    ::close(out[1]);
    ::close(err[1]);
    Captured result;
    read_both(out[0], err[0], result);
    ::close(out[0]);
    ::close(err[0]);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

bool on_path(const std::string& program) {
    const char* path = std::getenv("PATH");
    std::istringstream folders(path == nullptr ? "" : path);
    for (std::string folder; std::getline(folders, folder, ':');) {
        if (::access((folder + "/" + program).c_str(), X_OK) == 0) {
            return true;
        }
    }
    return false;
}

} // namespace tether::run
