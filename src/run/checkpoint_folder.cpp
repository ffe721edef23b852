// Order in publish: the file, then the manifest that lists it, then the removal of what the manifest
// no longer lists. A kill between any two leaves at least the newest two good files.
#include "tether/run/checkpoint_folder.hpp"

#include "src/run/json_numbers.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/sha256.hpp"
#include "tether/core/text.hpp"
#include "tether/run/run_storage.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <filesystem>

namespace tether::run {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;
constexpr std::array<std::string_view, 3> kind_names{"last", "best-projected", "best-relaxed"};
constexpr std::string_view suffix = ".ckpt";

std::string sha256_of(std::string_view text) {
    Sha256 hash;
    hash.add(text);
    return hash.hex();
}

// The step in step-000000001200.ckpt; -1 for any other name.
Index step_of(const std::string& name) {
    constexpr std::string_view prefix = "step-";
    if (!name.starts_with(prefix) || !name.ends_with(suffix)) {
        return -1;
    }
    Index step = -1;
    const char* first = name.data() + prefix.size();
    const char* last = name.data() + name.size() - suffix.size();
    const auto result = std::from_chars(first, last, step);
    return result.ec == std::errc{} && result.ptr == last ? step : -1;
}

} // namespace

std::string_view kind_name(CheckpointKind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

CheckpointKind kind_of(const std::string& name) {
    for (std::size_t i = 0; i < kind_names.size(); ++i) {
        if (kind_names[i] == name) {
            return static_cast<CheckpointKind>(i);
        }
    }
    const std::vector<std::string> known(kind_names.begin(), kind_names.end());
    fail(ExitCode::usage, "no checkpoint is called '{}'{}", name, hint(name, known));
}

CheckpointFolder::CheckpointFolder(std::string folder, int keep)
    : folder_(std::move(folder)), keep_(std::max(keep, 1)) {}

std::string CheckpointFolder::path_of(CheckpointKind kind, Index step) const {
    return kind == CheckpointKind::last ? fmt::format("{}/step-{:012}{}", folder_, step, suffix)
                                        : fmt::format("{}/{}{}", folder_, kind_name(kind), suffix);
}

std::vector<Index> CheckpointFolder::steps() const {
    std::vector<Index> out;
    std::error_code error;
    for (const auto& item : fs::directory_iterator(folder_, error)) {
        if (const Index step = step_of(item.path().filename().string()); step >= 0) {
            out.push_back(step);
        }
    }
    std::ranges::sort(out, std::greater{});
    return out;
}

void CheckpointFolder::remove_leftovers() const {
    std::error_code error;
    for (const auto& item : fs::directory_iterator(folder_, error)) {
        if (item.path().extension() == ".part") {
            fs::remove(item.path(), error);
        }
    }
}

std::vector<CheckpointFolder::Entry> CheckpointFolder::read_manifest() const {
    const std::string path = folder_ + "/manifest.json";
    std::error_code error;
    if (!fs::exists(path, error)) {
        return {};
    }
    try {
        const Json whole = Json::parse(read_text(path));
        const Json& content = whole.at("content");
        check(whole.at("sha256") == sha256_of(content.dump()), ExitCode::data, "its checksum does not agree");
        std::vector<Entry> out;
        for (const Json& item : content.at("checkpoints")) {
            out.push_back({item.at("file"), whole_number(item.at("step"), path), item.at("sha256")});
        }
        return out;
    } catch (const std::exception& problem) {
        log::warning("{}: passed over ({}); the checkpoints themselves are looked at", path, problem.what());
        return {};
    }
}

void CheckpointFolder::write_manifest(const std::vector<Entry>& entries) const {
    Json list = Json::array();
    for (const Entry& entry : entries) {
        list.push_back({{"file", entry.file}, {"step", entry.step}, {"sha256", entry.sha256}});
    }
    const Json content{{"schema_version", checkpoint_schema_version}, {"checkpoints", list}};
    const Json whole{{"content", content}, {"sha256", sha256_of(content.dump())}};
    publish_text(folder_ + "/manifest.json", whole.dump(1) + "\n", "manifest");
}

double CheckpointFolder::publish(std::span<const std::byte> bytes, CheckpointKind kind, Index step) {
    const auto begin = std::chrono::steady_clock::now();
    check(bytes.size() > 64, "a checkpoint of {} bytes was not made by encode()", bytes.size());
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error) {
        storage_failure(folder_, "create the folder", error.value());
    }
    const std::string path = path_of(kind, step);
    publish_file(path, bytes, "checkpoint");

    const std::string file = fs::path(path).filename().string();
    std::vector<Entry> entries = read_manifest();
    std::erase_if(entries, [&](const Entry& entry) { return entry.file == file; });
    const auto sum = bytes.last(64); // encode() ends with the checksum
    entries.push_back({file, step, {reinterpret_cast<const char*>(sum.data()), sum.size()}});
    // What stays: the best ones and the last K. Steps beyond the one just written belong to a past
    // that resume has undone (their file was damaged): they must not come back.
    std::vector<Index> kept = steps();
    if (kind == CheckpointKind::last) {
        std::erase_if(kept, [&](Index other) { return other > step; });
    }
    kept.resize(std::min(kept.size(), static_cast<std::size_t>(keep_)));
    const auto dropped = [&](const std::string& name) {
        const Index of = step_of(name);
        return of >= 0 && std::ranges::find(kept, of) == kept.end();
    };
    std::erase_if(entries, [&](const Entry& entry) { return dropped(entry.file); });
    write_manifest(entries);

    storage_point("checkpoint", "pruning");
    for (const Index other : steps()) {
        if (const std::string old = path_of(CheckpointKind::last, other);
            dropped(fs::path(old).filename().string())) {
            fs::remove(old, error); // a file that stays costs space only
        }
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::optional<LoadedCheckpoint> CheckpointFolder::load_newest(const CheckpointHeader& expected) const {
    const std::vector<Index> found = steps();
    const std::vector<Entry> manifest = read_manifest();
    bool fell_back = false;
    const Index newest = found.empty() ? -1 : found.front();
    for (const Entry& entry : manifest) {
        if (step_of(entry.file) > newest) {
            log::warning("{}/{}: is listed in the manifest but is gone", folder_, entry.file);
            fell_back = true;
        }
    }
    for (const Index step : found) {
        const std::string path = path_of(CheckpointKind::last, step);
        std::optional<Checkpoint> checkpoint;
        try {
            checkpoint = Checkpoint::decode(read_bytes(path), path);
            check(checkpoint->header.step == step, ExitCode::storage, "{}: holds step {}", path,
                  checkpoint->header.step);
        } catch (const Error& problem) {
            if (problem.code() != ExitCode::storage) {
                throw; // whole, but not ours: an older one will not be either
            }
            log::warning("checkpoint passed over: {}", problem.what());
            fell_back = true;
            continue;
        }
        checkpoint->expect(expected, path);
        if (fell_back) {
            log::warning("{}: taken instead, going on from step {}", path, step);
        }
        return LoadedCheckpoint{std::move(*checkpoint), path, fell_back};
    }
    check(found.empty() && !fell_back, ExitCode::storage,
          "{}: all {} checkpoints are damaged; start afresh with --resume never", folder_, found.size());
    return std::nullopt;
}

LoadedCheckpoint CheckpointFolder::load(CheckpointKind kind, const CheckpointHeader& expected) const {
    if (kind == CheckpointKind::last) {
        auto loaded = load_newest(expected);
        check(loaded.has_value(), ExitCode::data, "{}: holds no checkpoint yet", folder_);
        return std::move(*loaded);
    }
    const std::string path = path_of(kind, 0);
    std::error_code error;
    check(fs::exists(path, error), ExitCode::data,
          "{}: there is no such checkpoint (it is written by the first evaluation; --checkpoint last "
          "takes the newest one)",
          path);
    LoadedCheckpoint out{Checkpoint::decode(read_bytes(path), path), path, false};
    out.checkpoint.expect(expected, path);
    return out;
}

} // namespace tether::run
