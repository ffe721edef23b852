// Files that must be whole or absent: written under a temporary name, read back, fsynced, renamed,
// and the folder fsynced (spec: operations, "HDF5" and "Faults"). Every failure is an Error(storage)
// that names the path, the system's reason and the space left. Tests reach every stage by hooks.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tether::run {

// Faults for tests. `reach` is called with "<what>.<stage>", in this order: before_write, mid_write,
// before_fsync, before_rename, before_folder_fsync, published; it may throw or end the process.
// `fails` is asked before each system call ("open", "write", "fsync", "rename") and returns an errno
// to fail with, or 0.
struct StorageHooks {
    std::function<void(std::string_view point)> reach;
    std::function<int(std::string_view call)> fails;
};
void set_storage_hooks(StorageHooks hooks); // {} takes them away again
void storage_point(std::string_view what, std::string_view stage);

// Publishes content under path. `what` says in messages and hooks what kind of file it is.
void publish_file(const std::string& path, std::span<const std::byte> content, std::string_view what);
void publish_text(const std::string& path, std::string_view text, std::string_view what);

// Publishes a file somebody else has written (and closed) as `temporary`.
void publish_written(const std::string& temporary, const std::string& path, std::string_view what);

void sync_folder(const std::string& folder);                              // fsync of the folder's own entries
[[nodiscard]] std::vector<std::byte> read_bytes(const std::string& path); // Error(storage)
[[nodiscard]] std::string read_text(const std::string& path);             // Error(storage)

// "12.3 MB free on its file system", for messages.
[[nodiscard]] std::string free_space(const std::string& path);
// "PATH: cannot ACTION: REASON (12.3 MB free on its file system)"
[[noreturn]] void storage_failure(const std::string& path, std::string_view action, int error_number);

[[nodiscard]] std::string parent_folder(const std::string& path);

} // namespace tether::run
