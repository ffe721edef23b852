// Starts the program as a user does and watches it: alone or under mpirun, with a time limit, its
// output in files (a pipe would fill). A process still running at the end of its life is killed with
// all its children. The environment variable TETHER_PROGRAM names another binary than the built one.
#pragma once

#include <chrono>
#include <csignal>
#include <string>
#include <sys/types.h>
#include <vector>

namespace tether::test {

struct Outcome {
    int code = -1; // exit code; 128 + signal where one ended it, as a shell tells it
    std::string out;
    std::string err;
    [[nodiscard]] std::string last_line() const; // of out
    [[nodiscard]] std::string folder() const;    // "run FOLDER", the last line, without the word
};

// How a training is placed. None of it may change a number.
struct Place {
    int ranks = 1; // that compute
    int threads = 1;
    bool dedicated = false; // coordinator on a rank of its own
    int lanes_at_once = 0;
    bool launched = false; // by mpirun even if it is one rank
    [[nodiscard]] std::string describe() const;
};

[[nodiscard]] bool mpi_available();
[[nodiscard]] std::string program();
// The command line of `tether ARGUMENTS` on so many ranks.
[[nodiscard]] std::vector<std::string> on_ranks(int ranks, const std::vector<std::string>& arguments);

class Process {
public:
    // Output goes to files in `folder`.
    Process(const std::vector<std::string>& command, const std::string& folder);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    [[nodiscard]] bool running();
    [[nodiscard]] std::vector<pid_t> children() const; // the ranks of an mpirun
    void signal(int number) const { ::kill(pid_, number); }
    // Waits for the end; after the limit everything is killed and the code is 124.
    Outcome wait(std::chrono::seconds limit = std::chrono::seconds(300));

private:
    // It is mpirun, had ranks, and they have all ended.
    [[nodiscard]] bool left_alone();

    std::string folder_;
    std::string name_;
    pid_t pid_ = -1;
    int status_ = 0;
    bool ended_ = false;
    bool launcher_ = false;
    bool has_had_children_ = false;
};

// Runs `tether ARGUMENTS` to its end.
[[nodiscard]] Outcome tether(const std::vector<std::string>& arguments, const std::string& folder);

} // namespace tether::test
