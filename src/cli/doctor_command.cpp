// See doctor_command.hpp: arguments, order of the checks, and how they are printed.
#include "tether/cli/doctor_command.hpp"

#include "tether/cli/arguments.hpp"
#include "tether/parallel/communicator.hpp"
#include "tether/parallel/device_communicator.hpp"
#include "tether/run/provenance.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>

namespace tether::cli {
namespace fs = std::filesystem;
namespace {

const Usage usage{
    .command = "doctor",
    .meaning =
        "Checks what training needs: instruction set, MPI, CUDA, HDF5, file locking, disk, job files.\n"
        "Says for each failure what to do about it; the exit code is that of the first one.",
    .flags = {{.name = "--folder", .value = "DIR", .meaning = "where runs are to be stored (default .)"},
              {.name = "--jobs",
               .value = "DIR",
               .meaning = "job files to read (default jobs, where it exists)"},
              {.name = "--no-launch", .meaning = "do not try to start two processes by mpirun"},
              {.name = "--world", .meaning = "print the number of MPI ranks and nothing else"},
              {.name = "--json", .meaning = "print a JSON list"}},
    .example = "tether doctor --folder /scratch/me/runs"};

const char* word(Health health) {
    switch (health) {
    case Health::ok: return "ok";
    case Health::failed: return "failed";
    case Health::absent: return "absent";
    }
    return "";
}

void print(const std::vector<Finding>& findings, bool json) {
    if (json) {
        nlohmann::ordered_json rows = nlohmann::ordered_json::array();
        for (const Finding& finding : findings) {
            rows.push_back({{"check", finding.check},
                            {"status", word(finding.health)},
                            {"found", finding.found},
                            {"advice", finding.advice}});
        }
        fmt::print("{}\n", rows.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
        return;
    }
    for (const Finding& finding : findings) {
        fmt::print("{:<7} {:<16} {}\n", word(finding.health), finding.check, finding.found);
        if (!finding.advice.empty()) {
            fmt::print("{:<7} {:<16} -> {}\n", "", "", finding.advice);
        }
    }
}

std::string own_path() {
    std::error_code error;
    return fs::read_symlink("/proc/self/exe", error).string();
}

} // namespace

int doctor_command(std::span<const std::string> arguments) {
    const Arguments given(usage, arguments);
    if (given.help_shown()) {
        return 0;
    }
    std::vector<Finding> findings;
    findings.push_back(check_instruction_set());
    Finding world{"MPI", Health::ok, "", "", ExitCode::peer};
    bool speaker = true;
    int size = 1;
    try {
        const std::unique_ptr<parallel::Communicator> communicator = parallel::make_communicator();
        speaker = communicator->rank() == 0;
        size = communicator->size();
        world.found = communicator->description();
        if (given.has("--world")) {
            if (speaker) {
                fmt::print("world {}\n", size);
            }
            return 0;
        }
        communicator->barrier();
    } catch (const Error& error) {
        world.health = Health::failed;
        world.found = error.what();
        world.advice = "start the program with the launcher of the MPI it was built with";
        world.code = error.code();
    }
    if (!speaker) {
        return 0; // the checks below are of the machine, once
    }
    findings.push_back(world);
    if (size == 1 && !given.has("--no-launch")) {
        findings.push_back(check_mpi_launch(own_path()));
    }
    for (Finding& finding : check_devices(device::survey_devices(), parallel::nccl_version())) {
        findings.push_back(std::move(finding));
    }
    const std::string folder = given.value_or("--folder", ".");
    findings.push_back(check_hdf5(folder));
    findings.push_back(check_locking(folder));
    findings.push_back(check_disk(folder, 1.0));
    for (Finding& finding : check_jobs(given.value_or("--jobs", fs::is_directory("jobs") ? "jobs" : ""))) {
        findings.push_back(std::move(finding));
    }
    print(findings, given.has("--json"));
    for (const Finding& finding : findings) {
        if (finding.health == Health::failed) {
            return static_cast<int>(finding.code);
        }
    }
    return 0;
}

} // namespace tether::cli
