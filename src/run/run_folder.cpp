// Nothing here reads numbers; what is known of a run beyond its folder is in its run file.
#include "tether/run/run_folder.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/text.hpp"
#include "tether/run/checkpoint_folder.hpp"
#include "tether/run/run_file_reader.hpp"
#include "tether/run/run_storage.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

namespace tether::run {
namespace fs = std::filesystem;
namespace {

constexpr std::array<std::string_view, 3> resume_names{"auto", "never", "require"};
constexpr std::array<std::string_view, 8> condition_names{"running", "killed",   "stopped", "complete",
                                                          "failed",  "starting", "waiting", "unreadable"};

// Letters, digits and .-_ stay: the name becomes a folder's.
std::string folder_name(const std::string& name) {
    std::string out = name.empty() ? "run" : name;
    for (char& letter : out) {
        const bool plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                           (letter >= '0' && letter <= '9') || letter == '-' || letter == '_' ||
                           letter == '.';
        letter = plain ? letter : '_';
    }
    return out.front() == '.' ? "_" + out : out;
}

void search(const fs::path& folder, int depth, std::vector<std::string>& found) {
    std::error_code error;
    if (fs::exists(folder / "run.h5", error) || fs::exists(folder / "job.toml", error)) {
        found.push_back(folder.string());
        return;
    }
    if (depth == 0) {
        return;
    }
    for (const auto& item :
         fs::directory_iterator(folder, fs::directory_options::skip_permission_denied, error)) {
        if (item.is_directory(error)) {
            search(item.path(), depth - 1, found);
        }
    }
}

} // namespace

Resume resume_of(const std::string& name) {
    for (std::size_t i = 0; i < resume_names.size(); ++i) {
        if (resume_names[i] == name) {
            return static_cast<Resume>(i);
        }
    }
    fail(ExitCode::usage, "--resume does not know '{}'{}", name,
         hint(name, std::vector<std::string>(resume_names.begin(), resume_names.end())));
}

RunFolder RunFolder::find(const std::string& runs, const std::string& name, const std::string& job_hash,
                          Resume resume) {
    const std::string base = runs + "/" + folder_name(name) + "-" + job_hash.substr(0, 12);
    const auto numbered = [&](int number) { return number == 1 ? base : fmt::format("{}-{}", base, number); };
    std::error_code error;
    int count = 0; // of those that are there; numbers are given without gaps
    while (fs::exists(numbered(count + 1), error)) {
        ++count;
    }
    RunFolder out;
    out.exists_ = count > 0 && resume != Resume::never;
    out.path_ = numbered(resume == Resume::never ? count + 1 : std::max(count, 1));
    if (resume == Resume::require) {
        check(out.exists_ && !CheckpointFolder(out.checkpoints()).steps().empty(),
              "{}: holds no checkpoint to go on from, and --resume require asks for one", out.path_);
    }
    return out;
}

void RunFolder::open(const std::string& job_toml, LeaseTimes times) {
    std::error_code error;
    fs::create_directories(path_, error);
    if (error) {
        storage_failure(path_, "create the run folder", error.value());
    }
    lease_ = std::make_unique<Lease>(path_, times);
    for (const std::string& file : {run_file(), job_file()}) {
        fs::remove(file + ".part", error);
    }
    CheckpointFolder(checkpoints()).remove_leftovers();
    if (!fs::exists(job_file(), error)) {
        publish_text(job_file(), job_toml, "job file");
    }
}

void RunFolder::tidy() {
    std::error_code error;
    const bool left = fs::exists(run_file() + ".part", error) || fs::exists(path_ + "/lease", error);
    if (left && !lease_is_live(path_)) {
        try {
            open(""); // which clears
        } catch (const Error&) {
            // Somebody came first, or nothing may be written here: the run is complete all the same.
        }
        lease_.reset();
    }
}

bool RunFolder::complete() const {
    std::error_code error;
    if (!fs::exists(run_file(), error)) {
        return false;
    }
    try {
        return RunFileReader(run_file()).state().status == RunStatus::complete;
    } catch (const Error& problem) {
        log::warning("{}", problem.what());
        return false;
    }
}

std::string_view condition_name(RunCondition condition) {
    return condition_names[static_cast<std::size_t>(condition)];
}

RunCondition run_condition(RunStatus status, bool lease_live) {
    switch (status) {
    case RunStatus::complete: return RunCondition::complete;
    case RunStatus::stopped: return lease_live ? RunCondition::running : RunCondition::stopped;
    case RunStatus::failed: return RunCondition::failed;
    case RunStatus::running: break;
    }
    return lease_live ? RunCondition::running : RunCondition::killed;
}

std::vector<std::string> find_runs(const std::string& path) {
    std::vector<std::string> found;
    const fs::path given(path);
    std::error_code error;
    if (given.filename() == "run.h5" && !fs::is_directory(given, error)) {
        return {parent_folder(path)};
    }
    search(given.has_filename() ? given : given.parent_path(), 3, found);
    std::ranges::sort(found);
    return found;
}

} // namespace tether::run
