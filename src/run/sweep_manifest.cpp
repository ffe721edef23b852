#include "tether/run/sweep_manifest.hpp"

#include "src/run/json_numbers.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/sha256.hpp"
#include "tether/core/text.hpp"
#include "tether/methods/method.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/run_folder.hpp"
#include "tether/run/run_storage.hpp"
#include "tether/run/setup.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <unistd.h>

namespace tether::run {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;
constexpr int manifest_schema_version = 1;

std::string sha256_of_text(const std::string& text) {
    Sha256 sum;
    sum.add(text);
    return sum.hex();
}

Json pairs_to_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
    Json out = Json::object();
    for (const auto& [key, value] : pairs) {
        out[key] = value;
    }
    return out;
}

std::vector<std::pair<std::string, std::string>> pairs_of_json(const Json& json) {
    std::vector<std::pair<std::string, std::string>> out;
    for (const auto& [key, value] : json.items()) {
        out.emplace_back(key, value.get<std::string>());
    }
    return out;
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
double number_of(const Json& json) { return json.is_null() ? Cost::nan : json.get<double>(); }

Json to_json(const Manifest& manifest) {
    Json runs = Json::array();
    for (const PlannedRun& run : manifest.runs) {
        runs.push_back({{"id", run.id},
                        {"folder", run.folder},
                        {"name", run.name},
                        {"hash", run.hash},
                        {"model", run.model},
                        {"method", run.method},
                        {"labels", pairs_to_json(run.labels)},
                        {"changes", pairs_to_json(run.changes)},
                        {"job_sha256", run.job_sha256},
                        {"cost",
                         {{"steps", run.cost.steps},
                          {"step_s", number(run.cost.step_s)},
                          {"seconds", number(run.cost.seconds)},
                          {"memory_mb", number(run.cost.memory_mb)}}}});
    }
    Json sources = Json::array();
    for (const SourceFile& source : manifest.sources) {
        sources.push_back({{"role", source.role}, {"path", source.path}, {"sha256", source.sha256}});
    }
    return {{"schema_version", manifest_schema_version},
            {"kind", "sweep"},
            {"name", manifest.name},
            {"created", manifest.created},
            {"tether_version", manifest.tether_version},
            {"git_commit", manifest.git_commit},
            {"retries", manifest.retries},
            {"sources", sources},
            {"runs", runs}};
}

// Jobs of a sweep: read, checked as far as that is possible without training, and told apart.
std::vector<Job> jobs_of(const Sweep& sweep) {
    std::vector<Job> jobs;
    std::map<std::string, std::size_t> owners;
    for (const SweepRun& run : sweep.runs) {
        Job job = sweep.job(run);
        try {
            (void)make_model(job);
            (void)methods::make_method(job.method_settings());
        } catch (const Error& problem) {
            fail(problem.code(), "{}: run ({}): {}", sweep.file, run.description(), problem.what());
        }
        const auto [other, fresh] = owners.emplace(job.hash(), jobs.size());
        if (!fresh) {
            fail(ExitCode::usage, "{}: the runs ({}) and ({}) are the same job: their numbers cannot differ",
                 run.origin, sweep.runs[other->second].description(), run.description());
        }
        jobs.push_back(std::move(job));
    }
    return jobs;
}

std::vector<SourceFile> sources_of(const Sweep& sweep, const std::vector<Job>& jobs) {
    const auto source = [](const std::string& path, const std::string& role) {
        return SourceFile{fs::absolute(path).lexically_normal().string(), role, sha256_of_file(path)};
    };
    std::vector<SourceFile> out{source(sweep.file, "sweep"), source(sweep.base, "base")};
    std::vector<std::string> files;
    for (const Job& job : jobs) {
        files.push_back(job.data_file());
    }
    std::ranges::sort(files);
    files.erase(std::unique(files.begin(), files.end()), files.end());
    for (const std::string& file : files) {
        if (fs::is_regular_file(file)) {
            out.push_back(source(file, "data"));
        }
    }
    return out;
}

// Text files written one after another; the disk is waited for once, before they get their names.
void write_text(const fs::path& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text << std::flush;
    if (!file.good()) {
        storage_failure(path.string(), "write", errno);
    }
}

void make_folder(const fs::path& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) {
        storage_failure(path.string(), "create the folder", error.value());
    }
}

// Folders of freezes that were killed: "NAME.partial-PID" of a process that is gone.
void remove_leftovers(const fs::path& directory) {
    const std::string stem = directory.filename().string() + ".partial-";
    std::error_code error;
    for (const auto& item : fs::directory_iterator(directory.parent_path(), error)) {
        const std::string name = item.path().filename().string();
        if (name.starts_with(stem)) {
            const int pid = std::atoi(name.c_str() + stem.size());
            if (pid == ::getpid() || ::kill(pid, 0) != 0) {
                fs::remove_all(item.path(), error);
            }
        }
    }
}

bool same_jobs(const Manifest& a, const Manifest& b) {
    const auto same = [](const PlannedRun& x, const PlannedRun& y) {
        return x.folder == y.folder && x.job_sha256 == y.job_sha256;
    };
    return a.retries == b.retries && std::ranges::equal(a.runs, b.runs, same) &&
           std::ranges::equal(a.sources, b.sources, {}, &SourceFile::sha256, &SourceFile::sha256);
}

} // namespace

Manifest Manifest::read(const std::string& directory) {
    const std::string path = directory + "/manifest.json";
    std::error_code error;
    check(fs::exists(path, error), "{}: is no sweep: there is no manifest.json (tether sweep plan makes one)",
          directory);
    Manifest out;
    out.directory_ = fs::absolute(directory).lexically_normal().string();
    if (out.directory_.size() > 1 && out.directory_.ends_with('/')) {
        out.directory_.pop_back();
    }
    try {
        Json json = Json::parse(read_text(path));
        const std::string expected = json.at("sha256");
        json.erase("sha256");
        check(sha256_of_text(json.dump()) == expected, ExitCode::data,
              "{}: was changed after freezing (its checksum does not fit); a frozen sweep stays as it is: "
              "plan another one",
              path);
        check(json.at("schema_version") == manifest_schema_version, ExitCode::data,
              "{}: is of schema version {}, this program reads version {}", path,
              json["schema_version"].dump(), manifest_schema_version);
        out.name = json.at("name");
        out.created = json.at("created");
        out.tether_version = json.at("tether_version");
        out.git_commit = json.at("git_commit");
        out.retries = whole_number(json.at("retries"), path);
        for (const Json& s : json.at("sources")) {
            out.sources.push_back({s.at("path"), s.at("role"), s.at("sha256")});
        }
        for (const Json& r : json.at("runs")) {
            const Json& cost = r.at("cost");
            out.runs.push_back({r.at("id"),
                                r.at("folder"),
                                r.at("name"),
                                r.at("hash"),
                                r.at("model"),
                                r.at("method"),
                                r.at("job_sha256"),
                                pairs_of_json(r.at("labels")),
                                pairs_of_json(r.at("changes")),
                                {whole_number(cost.at("steps"), path), number_of(cost.at("step_s")),
                                 number_of(cost.at("seconds")), number_of(cost.at("memory_mb"))}});
        }
    } catch (const Json::exception& problem) {
        fail(ExitCode::data, "{}: is damaged: {}", path, problem.what());
    }
    return out;
}

void Manifest::check_unchanged(bool sources_too) const {
    for (const SourceFile& source : sources) {
        const bool data = source.role == "data";
        if (!data && !sources_too) {
            continue;
        }
        std::error_code error;
        const bool there = fs::exists(source.path, error);
        if (!there && !data) {
            continue; // the frozen jobs do without
        }
        check(there, ExitCode::data, "{}: the data file of this sweep is gone ({})", source.path, directory_);
        const std::string now = sha256_of_file(source.path);
        check(now == source.sha256, data ? ExitCode::data : ExitCode::usage,
              "{}: the {} file was changed after freezing {} (sha256 {} then, {} now){}", source.path,
              source.role, directory_, source.sha256.substr(0, 12), now.substr(0, 12),
              data ? "" : "; --as-frozen goes on with the jobs as they were frozen, or plan another sweep");
    }
    for (const PlannedRun& run : runs) {
        const std::string path = job_file_of(run);
        std::error_code error;
        check(fs::exists(path, error), ExitCode::data, "{}: the frozen job is gone", path);
        check(sha256_of_text(read_text(path)) == run.job_sha256, ExitCode::data,
              "{}: the frozen job was changed after freezing; plan another sweep for another job", path);
    }
}

std::string Manifest::id() const {
    std::string all = directory_;
    for (const PlannedRun& run : runs) {
        all += run.hash;
    }
    return sha256_of_text(all).substr(0, 8);
}

const PlannedRun& Manifest::find(const std::string& word) const {
    const std::string last = fs::path(word).filename().string();
    std::vector<std::string> names;
    for (const PlannedRun& run : runs) {
        if (run.id == word || run.folder == last || run.name == word ||
            (run.id.size() > word.size() && run.id == std::string(run.id.size() - word.size(), '0') + word)) {
            return run;
        }
        names.push_back(run.name);
    }
    const std::string near = nearest_name(word, names);
    fail(ExitCode::usage, "{}: has no run '{}'{}", directory_, word,
         near.empty() ? fmt::format(" (ids are {} .. {})", runs.front().id, runs.back().id)
                      : " (did you mean '" + near + "'?)");
}

bool freeze(const Sweep& sweep, const std::string& directory, Index bench_steps) {
    check(!directory.empty(), "sweep plan: the folder's name is empty");
    fs::path target = fs::absolute(directory).lexically_normal();
    if (!target.has_filename()) {
        target = target.parent_path();
    }
    const std::vector<Job> jobs = jobs_of(sweep);
    Manifest manifest;
    manifest.name = sweep.name;
    manifest.created = utc_now();
    const Provenance from = provenance();
    manifest.tether_version = from.tether_version;
    manifest.git_commit = commit_text(from);
    manifest.retries = sweep.retries;
    manifest.sources = sources_of(sweep, jobs);
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        const Job& job = jobs[i];
        texts.push_back(job.resolved());
        PlannedRun run;
        run.id = fmt::format("{:04}", i + 1);
        run.folder =
            fs::path(RunFolder::find("runs", job.name, job.hash(), Resume::automatic).path()).filename();
        run.name = job.name;
        run.hash = job.hash();
        run.model = job.model.name;
        run.method = job.method.label();
        run.job_sha256 = sha256_of_text(texts.back());
        run.labels = sweep.runs[i].labels;
        for (const SweepChange& change : sweep.runs[i].changes) {
            run.changes.emplace_back(change.key, change.value);
        }
        manifest.runs.push_back(std::move(run));
    }
    std::error_code error;
    if (fs::exists(target, error) && !(fs::is_directory(target, error) && fs::is_empty(target, error))) {
        check(fs::exists(target / "manifest.json", error),
              "{}: is there already and is no sweep; name a new folder", target.string());
        check(same_jobs(Manifest::read(target.string()), manifest),
              "{}: holds another sweep; a frozen sweep stays as it is: name a new folder", target.string());
        return false;
    }
    if (bench_steps > 0) {
        const std::vector<Cost> costs = measure_costs(jobs, bench_steps);
        for (std::size_t i = 0; i < costs.size(); ++i) {
            manifest.runs[i].cost = costs[i];
        }
    }
    remove_leftovers(target);
    const fs::path partial = target.string() + fmt::format(".partial-{}", ::getpid());
    try {
        for (const char* inside : {"runs", "attempts", "claims", "logs", "submissions"}) {
            make_folder(partial / inside);
        }
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            make_folder(partial / "runs" / manifest.runs[i].folder);
            write_text(partial / "runs" / manifest.runs[i].folder / "job.toml", texts[i]);
        }
        fs::copy_file(sweep.file, partial / "sweep.toml");
        Json json = to_json(manifest);
        json["sha256"] = sha256_of_text(json.dump());
        write_text(partial / "manifest.json", json.dump(1) + "\n");
        const int descriptor = ::open(partial.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const int synced = descriptor < 0 ? -1 : ::syncfs(descriptor);
        const int reason = errno;
        if (descriptor >= 0) {
            ::close(descriptor);
        }
        if (synced != 0) {
            storage_failure(partial.string(), "write to disk", reason);
        }
        fs::rename(partial, target, error);
        if (error) {
            // Somebody else planned here meanwhile; what they froze decides.
            fs::remove_all(partial);
            check(fs::exists(target / "manifest.json") &&
                      same_jobs(Manifest::read(target.string()), manifest),
                  ExitCode::storage, "{}: cannot take its name: {}", target.string(), error.message());
            return false;
        }
        sync_folder(target.parent_path().string());
    } catch (...) {
        fs::remove_all(partial, error);
        throw;
    }
    return true;
}

} // namespace tether::run
