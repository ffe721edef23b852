// The folder `checkpoint/` of a run: the last K checkpoints (step-000000001200.ckpt) and the best
// ones on validation (best-projected.ckpt, best-relaxed.ckpt), each published atomically, then the
// manifest (manifest.json with its own checksum) last. Loading takes the newest file that is whole,
// whatever the manifest says, and warns about everything it had to pass over.
#pragma once

#include "tether/run/checkpoint.hpp"

namespace tether::run {

enum class CheckpointKind { last, best_projected, best_relaxed };
// "last", "best-projected", "best-relaxed": the names `eval --checkpoint` takes.
[[nodiscard]] std::string_view kind_name(CheckpointKind kind);
[[nodiscard]] CheckpointKind kind_of(const std::string& name); // Error(usage) with the nearest name

struct LoadedCheckpoint {
    Checkpoint checkpoint;
    std::string path;
    bool fell_back = false; // a newer one was there and is damaged
};

class CheckpointFolder {
public:
    // keep: how many of kind `last` stay (at least 1). The folder is made by the first publish.
    explicit CheckpointFolder(std::string folder, int keep = 2);

    // Publishes Checkpoint::encode()d bytes; returns the seconds it took. Error(storage); what was
    // there before stays valid then. Only the holder of the run's lease may call it.
    double publish(std::span<const std::byte> bytes, CheckpointKind kind, Index step);

    // The newest whole checkpoint; nothing where there is none. Damaged ones are passed over with a
    // warning; all damaged: Error(storage); a whole one of another schema, job,
    // model or precision: Error(data).
    [[nodiscard]] std::optional<LoadedCheckpoint> load_newest(const CheckpointHeader& expected) const;
    // One kind; `last` is load_newest. Absent: Error(data) that says what to do.
    [[nodiscard]] LoadedCheckpoint load(CheckpointKind kind, const CheckpointHeader& expected) const;

    [[nodiscard]] std::string path_of(CheckpointKind kind, Index step) const;
    [[nodiscard]] std::vector<Index> steps() const; // of kind `last`, newest first, whole or not
    void remove_leftovers() const;                  // temporary files of killed writers

private:
    struct Entry {
        std::string file;
        Index step = 0;
        std::string sha256;
    };
    [[nodiscard]] std::vector<Entry> read_manifest() const; // empty and a warning where damaged
    void write_manifest(const std::vector<Entry>& entries) const;
    std::string folder_;
    int keep_;
};

} // namespace tether::run
