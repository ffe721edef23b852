// The training of one job from first step to last (design 1), on any number of ranks and threads,
// interrupted and resumed at will.
#pragma once

#include "tether/core/error.hpp"
#include "tether/device/backend.hpp"
#include "tether/parallel/communicator.hpp"
#include "tether/program/executor.hpp"
#include "tether/run/job.hpp"
#include "tether/run/run_folder.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace tether::run {

struct TrainOptions {
    std::string runs = "runs";
    int threads = 0;            // 0: the cores this process may use, shared by the ranks of a node
    std::string device = "cpu"; // device_names()
    std::function<std::unique_ptr<device::Backend>()> backend; // instead of `device`, where it is given
    Resume resume = Resume::automatic;
    Index stop_after = 0;           // finish this step, checkpoint, stop; 0: none
    std::optional<double> max_wall; // seconds
    std::chrono::seconds watchdog{300};
    Checking checking = Checking::none;
    std::string local_data; // folder on every node's own disk; the data are copied there and read from there
};

struct TrainResult {
    ExitCode code = ExitCode::ok;
    std::string folder;
    bool was_complete = false; // a finished run was recognised and not repeated
};

// Collective over the world. Throws Error.
[[nodiscard]] TrainResult train(const Job& job, const TrainOptions& options, parallel::Communicator& world);

// Threads for this rank when the user names none.
[[nodiscard]] int default_threads(const parallel::Communicator& world);

} // namespace tether::run
