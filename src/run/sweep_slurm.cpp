#include "tether/run/sweep_slurm.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/run/child_process.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/run_storage.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <sys/file.h>
#include <unistd.h>

namespace tether::run {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

std::string submissions(const Manifest& manifest) { return manifest.directory() + "/submissions"; }

// One submission at a time: two would hand over the same runs.
class Turn {
public:
    explicit Turn(const std::string& folder)
        : fd_(::open((folder + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
        if (fd_ < 0) {
            storage_failure(folder + "/lock", "open", errno);
        }
        while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
        }
    }
    ~Turn() { ::close(fd_); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

private:
    int fd_;
};

// Numbers of all submissions so far, in order.
std::vector<std::string> numbers(const Manifest& manifest) {
    std::vector<std::string> out;
    std::error_code error;
    for (const auto& item : fs::directory_iterator(submissions(manifest), error)) {
        if (item.path().extension() == ".list") {
            out.push_back(item.path().stem().string());
        }
    }
    std::ranges::sort(out);
    return out;
}

std::vector<std::string> lines_of(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> out;
    for (std::string line; std::getline(file, line);) {
        out.push_back(line);
    }
    return out;
}

std::string job_name(const Manifest& manifest, const std::string& number) {
    return manifest.name + "." + manifest.id() + "." + number;
}

std::string trimmed(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
        text.pop_back();
    }
    return text;
}

struct Task {
    std::string job, submission, run, state;
};

std::vector<Task> tasks_in_queue(const Manifest& manifest) {
    const std::vector<std::string> all = numbers(manifest);
    if (all.empty()) {
        return {};
    }
    std::map<std::string, std::string> by_name;
    for (const std::string& number : all) {
        by_name[job_name(manifest, number)] = number;
    }
    std::vector<std::string> names;
    for (const auto& [name, number] : by_name) {
        names.push_back(name);
    }
    const Captured asked =
        capture({"squeue", "--noheader", "--array", "--name=" + join(names, ","), "--format=%j|%A|%F|%K|%T"});
    check(asked.code == 0, "squeue does not tell what is queued: {}",
          asked.code == 127 ? "there is no such program here" : trimmed(asked.err));
    std::vector<Task> tasks;
    std::istringstream lines(asked.out);
    for (std::string line; std::getline(lines, line);) {
        std::vector<std::string> fields;
        std::istringstream parts(trimmed(line));
        for (std::string part; std::getline(parts, part, '|');) {
            fields.push_back(part);
        }
        if (fields.size() != 5 || !by_name.contains(fields[0])) {
            continue;
        }
        const std::string& number = by_name[fields[0]];
        const std::vector<std::string> runs = lines_of(submissions(manifest) + "/" + number + ".list");
        const auto index = static_cast<std::size_t>(std::strtoul(fields[3].c_str(), nullptr, 10));
        if (index < runs.size()) {
            tasks.push_back({fields[2], number, runs[index], fields[4]});
        }
    }
    return tasks;
}

bool cancelled(const Manifest& manifest, const std::string& number) {
    std::error_code error;
    return fs::exists(submissions(manifest) + "/" + number + ".cancelled", error);
}

Index largest_array() {
    const Captured told = capture({"scontrol", "show", "config"});
    const std::size_t at = told.out.find("MaxArraySize");
    const std::size_t equals = told.out.find('=', at);
    const long most = at == std::string::npos || equals == std::string::npos
                          ? 1001
                          : std::strtol(told.out.c_str() + equals + 1, nullptr, 10);
    return std::max<Index>(1, most - 1); // the limit is on the index, counted from 0
}

std::vector<std::string> command_of(const Manifest& manifest, const SubmitOptions& options,
                                    const std::string& number, std::size_t tasks) {
    std::string array = fmt::format("0-{}", tasks - 1);
    if (options.at_once > 0) {
        array += fmt::format("%{}", options.at_once);
    }
    std::vector<std::string> words{options.scripts + "/submit",
                                   "--site",
                                   options.site,
                                   "--tether",
                                   options.program,
                                   "--sweep",
                                   manifest.directory(),
                                   "--submission",
                                   number,
                                   "--array",
                                   array};
    return words;
}

std::string call(std::vector<std::string> words, const std::vector<std::string>& flags,
                 const std::vector<std::string>& sbatch) {
    words.insert(words.end(), flags.begin(), flags.end());
    words.emplace_back("--");
    words.insert(words.end(), sbatch.begin(), sbatch.end());
    const Captured answer = capture(words);
    check(answer.code == 0, "nothing was submitted: {}",
          answer.err.empty() ? fmt::format("{} ended with {}", words.front(), answer.code)
                             : trimmed(answer.err));
    return trimmed(answer.out);
}

} // namespace

std::set<std::string> queued_runs(const Manifest& manifest) {
    std::set<std::string> out;
    for (const Task& task : tasks_in_queue(manifest)) {
        // On its way out; a job that puts itself back is `PENDING` or `REQUEUED` by then.
        if (!(task.state == "COMPLETING" && cancelled(manifest, task.submission))) {
            out.insert(task.run);
        }
    }
    return out;
}

std::vector<Submission> submit_sweep(const Manifest& manifest, const SubmitOptions& options) {
    std::error_code error;
    check(fs::is_regular_file(options.site, error),
          "site file {} does not exist: copy {}/site.example.sh, fill it in and name it by --site",
          options.site, options.scripts);
    check(on_path("sbatch"),
          "there is no Slurm on this machine (no sbatch); `tether sweep run {}` works without",
          manifest.directory());
    const Turn turn(submissions(manifest));
    const Ledger ledger(manifest);
    std::vector<std::string> due;
    for (const LedgerRow& row : ledger.rows(queued_runs(manifest))) {
        if (row.due()) {
            due.push_back(row.run->id);
        }
    }
    if (due.empty()) {
        return {};
    }
    const auto most = static_cast<std::size_t>(largest_array());
    (void)call(command_of(manifest, options, "0000", std::min(most, due.size())), {"--test-only"},
               options.sbatch);

    const std::vector<std::string> before = numbers(manifest);
    long number = before.empty() ? 0 : std::strtol(before.back().c_str(), nullptr, 10);
    std::vector<Submission> done;
    for (std::size_t first = 0; first < due.size(); first += most) {
        const std::size_t count = std::min(most, due.size() - first);
        Submission submission;
        submission.number = fmt::format("{:04}", ++number);
        submission.job_name = job_name(manifest, submission.number);
        submission.runs = static_cast<Index>(count);
        std::string list;
        for (std::size_t i = 0; i < count; ++i) {
            list += due[first + i] + "\n";
        }
        const std::string stem = submissions(manifest) + "/" + submission.number;
        publish_text(stem + ".list", list, "submission");
        std::vector<std::string> sbatch = options.sbatch;
        sbatch.push_back("--job-name=" + submission.job_name);
        if (options.at_once > 0 && !done.empty()) {
            sbatch.push_back("--dependency=afterany:" + done.back().job_id); // K holds for all of them
        }
        const std::string answer = call(command_of(manifest, options, submission.number, count), {}, sbatch);
        submission.job_id = answer.substr(0, answer.find(';')); // ";cluster" may follow
        publish_text(stem + ".json",
                     Json{{"job_name", submission.job_name},
                          {"job_id", submission.job_id},
                          {"time", utc_now()},
                          {"runs", count}}
                             .dump() +
                         "\n",
                     "submission");
        done.push_back(std::move(submission));
    }
    return done;
}

std::vector<std::string> cancel_submissions(const Manifest& manifest) {
    const Turn turn(submissions(manifest));
    std::set<std::string> jobs;
    for (const Task& task : tasks_in_queue(manifest)) {
        const std::string mark = submissions(manifest) + "/" + task.submission + ".cancelled";
        if (jobs.insert(task.job).second) {
            publish_text(mark, utc_now() + "\n", "submission"); // first: no job may put itself back
        }
    }
    if (!jobs.empty()) {
        std::vector<std::string> words{"scancel"};
        words.insert(words.end(), jobs.begin(), jobs.end());
        const Captured answer = capture(words);
        check(answer.code == 0, "scancel: {}", trimmed(answer.err));
    }
    return {jobs.begin(), jobs.end()};
}

std::string slurm_scripts(const std::string& program) {
    const char* chosen = std::getenv("TETHER_SLURM");
    const fs::path folder = fs::path(program).parent_path();
    std::vector<std::string> places;
    if (chosen != nullptr && *chosen != '\0') {
        places = {chosen};
    } else {
        places = {(folder / "../../slurm").lexically_normal().string(),
                  (folder / "../share/tether/slurm").lexically_normal().string()};
    }
    for (const std::string& place : places) {
        std::error_code error;
        if (fs::exists(place + "/run.sbatch", error)) {
            return place;
        }
    }
    fail(ExitCode::usage, "the batch scripts are not found (looked for {}); TETHER_SLURM names their folder",
         join(places, " and "));
}

} // namespace tether::run
