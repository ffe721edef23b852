// `tether doctor`: is this machine fit to train on? One line per check: ok, failed or absent (a part
// this build or machine does without), what was found, and what to do about a failure.
#pragma once

#include "tether/core/error.hpp"
#include "tether/device/devices.hpp"

#include <span>
#include <string>
#include <vector>

namespace tether::cli {

enum class Health { ok, failed, absent };

struct Finding {
    std::string check;
    Health health = Health::ok;
    std::string found;
    std::string advice = {};           // what to do; empty where all is well
    ExitCode code = ExitCode::storage; // of the program when this is the first failure
};

// Single checks, for tests; none of them throws.
[[nodiscard]] Finding check_instruction_set();
[[nodiscard]] Finding check_hdf5(const std::string& folder);
[[nodiscard]] Finding check_locking(const std::string& folder);
[[nodiscard]] Finding check_disk(const std::string& folder, double least_gb);
// Driver, devices and access between them; NCCL. Absent is no failure: training runs on cores as well.
[[nodiscard]] std::vector<Finding> check_devices(const device::Survey& survey, const std::string& nccl);
[[nodiscard]] std::vector<Finding> check_jobs(const std::string& folder);
// Starts two processes of `program` by mpirun, which must find each other.
[[nodiscard]] Finding check_mpi_launch(const std::string& program);

// Arguments after `doctor`. Returns 0, or the exit code of the first failed check.
int doctor_command(std::span<const std::string> arguments);

} // namespace tether::cli
