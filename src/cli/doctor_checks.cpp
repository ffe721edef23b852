// The single checks of `tether doctor`. Each tries the thing itself where it can: writes a file, takes
// a lock, starts two processes.
#include "tether/cli/doctor_command.hpp"

#include "tether/core/hdf5.hpp"
#include "tether/run/job.hpp"
#include "tether/run/provenance.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace tether::cli {
namespace fs = std::filesystem;
namespace {

// A file of this process in a folder, gone with the object.
class Trial {
public:
    Trial(const std::string& folder, const std::string& ending)
        : path_(fmt::format("{}/.tether-doctor-{}{}", folder, ::getpid(), ending)) {}
    ~Trial() {
        std::error_code ignored;
        fs::remove(path_, ignored);
    }
    Trial(const Trial&) = delete;
    Trial& operator=(const Trial&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

class Descriptor {
public:
    Descriptor(const std::string& path, int flags) : id_(::open(path.c_str(), flags, 0600)) {}
    ~Descriptor() {
        if (id_ >= 0) {
            ::close(id_);
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int id() const { return id_; }

private:
    int id_;
};

std::string quoted_for_shell(const std::string& text) {
    std::string out = "'";
    for (const char c : text) {
        out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return out + "'";
}

// Output and exit status of a command line.
std::string run_shell(const std::string& line, int& status) {
    std::FILE* pipe = ::popen(line.c_str(), "r");
    status = -1;
    std::string output;
    if (pipe == nullptr) {
        return output;
    }
    std::array<char, 4096> block{};
    for (std::size_t got = 0; (got = std::fread(block.data(), 1, block.size(), pipe)) > 0;) {
        output.append(block.data(), got);
    }
    status = ::pclose(pipe);
    return output;
}

std::string last_line(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '-')) {
        text.pop_back();
    }
    const std::size_t end = text.rfind('\n');
    return end == std::string::npos ? text : text.substr(end + 1);
}

// What taking, contesting and publishing a file in the folder went wrong with, or "".
std::string try_locking(const std::string& path, const std::string& folder) {
    const auto system = [](const char* what) { return fmt::format("{}: {}", what, std::strerror(errno)); };
    const Descriptor first(path, O_CREAT | O_EXCL | O_RDWR);
    if (first.id() < 0) {
        return system("cannot create a file");
    }
    if (Descriptor(path, O_CREAT | O_EXCL | O_RDWR).id() >= 0) {
        return "a file could be created twice (O_EXCL is not honoured)";
    }
    if (::flock(first.id(), LOCK_EX | LOCK_NB) != 0) {
        return system("cannot lock a file");
    }
    const Descriptor second(path, O_RDWR);
    if (second.id() < 0 || ::flock(second.id(), LOCK_EX | LOCK_NB) == 0) {
        return "a locked file could be locked again (locks are not honoured)";
    }
    if (::write(first.id(), "x", 1) != 1 || ::fsync(first.id()) != 0) {
        return system("cannot write a file to disk");
    }
    const std::string renamed = path + "-renamed";
    if (std::rename(path.c_str(), renamed.c_str()) != 0 || std::rename(renamed.c_str(), path.c_str()) != 0) {
        return system("cannot rename a file");
    }
    const Descriptor place(folder, O_RDONLY | O_DIRECTORY);
    return place.id() >= 0 && ::fsync(place.id()) == 0 ? "" : system("cannot write the folder to disk");
}

} // namespace

Finding check_instruction_set() {
    Finding finding{"instruction set", Health::ok, "", "", ExitCode::device};
    finding.found = fmt::format("built for {}, this machine has {}", run::compiled_instruction_set(),
                                run::machine_instruction_set());
    if (const char* missing = run::missing_instruction_set(); missing != nullptr) {
        finding.health = Health::failed;
        finding.found += fmt::format(", which lacks {}", missing);
        finding.advice = "build on this machine, or with -DTETHER_ARCH=x86-64-v3 for all of them";
    }
    return finding;
}

Finding check_mpi_launch(const std::string& program) {
    Finding finding{"MPI launch", Health::ok, "", "", ExitCode::peer};
    int status = 0;
    if (run_shell("command -v mpirun 2>/dev/null", status).empty()) {
        finding.health = Health::absent;
        finding.found = "no mpirun on the path";
        finding.advice = "one process works without; for several install openmpi-bin or use srun --mpi=pmix";
        return finding;
    }
    // Inside a Slurm allocation of one task mpirun would start one process only.
    const std::string root =
        ::geteuid() == 0 ? "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 " : std::string{};
    const std::string output = run_shell(root + "timeout 60 mpirun --oversubscribe -n 2 " +
                                             quoted_for_shell(program) + " doctor --world 2>&1",
                                         status);
    if (status == 0 && output.find("world 2") != std::string::npos) {
        finding.found = "mpirun started two processes that found each other";
        if (!root.empty() && std::getenv("OMPI_ALLOW_RUN_AS_ROOT") == nullptr) {
            finding.found += "; as root set OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1";
        }
        return finding;
    }
    finding.health = Health::failed;
    finding.found = "two processes by mpirun did not find each other: " + last_line(output);
    finding.advice = "mpirun must belong to the MPI of the build (ldd shows it); or use srun --mpi=pmix";
    return finding;
}

Finding check_hdf5(const std::string& folder) {
    Finding finding{"HDF5", Health::ok, "", "", ExitCode::storage};
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    finding.found = fmt::format("{}.{}.{}", major, minor, release);
    if (major != H5_VERS_MAJOR || minor != H5_VERS_MINOR) {
        finding.health = Health::failed;
        finding.found +=
            fmt::format(", but built with {}.{}.{}", H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE);
        finding.advice = "build again on this machine";
        return finding;
    }
    try {
        const Trial trial(folder, ".h5");
        const std::vector<double> numbers = {1.5, -2.5};
        hdf5::Writer writer(trial.path());
        writer.write("numbers", std::span<const double>(numbers), {2});
        writer.close();
        check(hdf5::Reader(trial.path()).doubles("numbers") == numbers, ExitCode::storage,
              "what was read is not what was written");
        finding.found += fmt::format(", a file in {} was written and read", folder);
    } catch (const Error& error) {
        finding.health = Health::failed;
        finding.found = error.what();
        finding.advice = "choose a folder that exists and can be written: --folder DIR";
        finding.code = ExitCode::storage;
    }
    return finding;
}

Finding check_locking(const std::string& folder) {
    Finding finding{"file locking", Health::ok, "", "", ExitCode::storage};
    const Trial trial(folder, ".lock");
    const std::string problem = try_locking(trial.path(), folder);
    if (problem.empty()) {
        finding.found = fmt::format("exclusive creation, locks, rename and fsync work in {}", folder);
        return finding;
    }
    finding.health = Health::failed;
    finding.found = fmt::format("{}: {}", folder, problem);
    finding.advice = "store runs on another file system; two processes on one run could not be told apart";
    return finding;
}

Finding check_disk(const std::string& folder, double least_gb) {
    Finding finding{"disk", Health::ok, "", "", ExitCode::storage};
    struct statvfs room {};
    if (::statvfs(folder.c_str(), &room) != 0) {
        finding.health = Health::failed;
        finding.found = fmt::format("{}: {}", folder, std::strerror(errno));
        finding.advice = "choose a folder that exists: --folder DIR";
        return finding;
    }
    const double gb = static_cast<double>(room.f_bavail) * static_cast<double>(room.f_frsize) / 1e9;
    finding.found = fmt::format("{:.1f} GB free in {}", gb, folder);
    if (gb < least_gb) {
        finding.health = Health::failed;
        finding.advice =
            fmt::format("free some space: a run takes about 0.1 GB, less than {} GB is little", least_gb);
    }
    return finding;
}

std::vector<Finding> check_devices(const device::Survey& survey, const std::string& nccl) {
    const auto version = [](int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); };
    if (!survey.built) {
        return {{"CUDA", Health::absent,
                 "this build has no CUDA and no NCCL; training runs on processor cores",
                 "to use NVIDIA devices, build with the preset `cuda`", ExitCode::device}};
    }
    std::vector<Finding> findings;
    Finding cuda{"CUDA", Health::ok, "", "", ExitCode::device};
    cuda.found = survey.driver == 0 ? fmt::format("built for CUDA {}, no driver", version(survey.runtime))
                                    : fmt::format("built for CUDA {}, the driver runs up to {}",
                                                  version(survey.runtime), version(survey.driver));
    if (!survey.missing.empty()) {
        cuda.health = Health::absent;
        cuda.advice = survey.missing;
    }
    findings.push_back(cuda);
    for (const device::DeviceFacts& d : survey.devices) {
        findings.push_back(
            {fmt::format("device {}", d.number), Health::ok,
             fmt::format("{}, {:.0f} GB, {} multiprocessors, compute capability {}.{}, {}", d.name,
                         static_cast<double>(d.memory) * 1e-9, d.multiprocessors, d.major, d.minor, d.uuid),
             "", ExitCode::device});
    }
    if (survey.devices.size() > 1) {
        Finding peers{"peer access", Health::ok, "every device reads the memory of every other", "",
                      ExitCode::device};
        if (!survey.no_peer_access.empty()) {
            const auto [a, b] = survey.no_peer_access.front();
            peers.health = Health::absent;
            peers.found = fmt::format("{} pair(s) of devices have none, such as {} and {}",
                                      survey.no_peer_access.size(), a, b);
            peers.advice = "sums between them go through the host's memory, which is slower";
        }
        findings.push_back(peers);
    }
    findings.push_back(nccl.empty() ? Finding{"NCCL", Health::absent,
                                              "this build has no NCCL: sums go through the host",
                                              "install NCCL and configure with NCCL_ROOT", ExitCode::device}
                                    : Finding{"NCCL", Health::ok, nccl, "", ExitCode::device});
    return findings;
}

std::vector<Finding> check_jobs(const std::string& folder) {
    std::error_code error;
    if (folder.empty() || !fs::is_directory(folder, error)) {
        const std::string found = folder.empty() ? "no folder jobs here" : folder + " is no folder";
        const Health health = folder.empty() ? Health::absent : Health::failed;
        return {{"job files", health, found, "name one: --jobs DIR", ExitCode::usage}};
    }
    std::vector<Finding> findings;
    std::vector<std::string> files;
    for (auto entry = fs::recursive_directory_iterator(folder, error); entry != fs::end(entry);
         entry.increment(error)) {
        // Sweep files are no jobs.
        if (entry->path().extension() == ".toml" && entry->path().parent_path().filename() != "sweeps") {
            files.push_back(entry->path().string());
        }
    }
    std::ranges::sort(files);
    for (const std::string& file : files) {
        try {
            (void)run::read_job(file);
        } catch (const Error& wrong) {
            findings.push_back(
                {"job file", Health::failed, wrong.what(), "see tether train --keys", ExitCode::usage});
        }
    }
    if (findings.empty()) {
        const auto [health, found] =
            files.empty() ? std::pair{Health::absent, std::string("none")}
                          : std::pair{Health::ok, fmt::format("all {} are valid", files.size())};
        findings.push_back({"job files", health, found + " in " + folder, "", ExitCode::usage});
    }
    return findings;
}

} // namespace tether::cli
