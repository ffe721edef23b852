// Order of stages: write, fsync, read back, rename, fsync of the folder. A failure before the rename
// leaves what was under the final name untouched and removes the temporary file.
#include "tether/run/run_storage.hpp"

#include "tether/core/error.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace tether::run {
namespace {

StorageHooks& hooks() {
    static StorageHooks instance;
    return instance;
}

// True where the call may go on; else errno holds the injected reason.
bool allowed(std::string_view call) {
    if (!hooks().fails) {
        return true;
    }
    errno = hooks().fails(call);
    return errno == 0;
}

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] int close() { return ::close(std::exchange(fd_, -1)); }

private:
    int fd_;
};

// Removes the temporary file unless it has got its final name.
class Leftover {
public:
    explicit Leftover(const std::string& path) : path_(path) {}
    Leftover(const Leftover&) = delete;
    Leftover& operator=(const Leftover&) = delete;
    ~Leftover() {
        if (armed_) {
            ::unlink(path_.c_str());
        }
    }
    void disarm() { armed_ = false; }

private:
    const std::string& path_;
    bool armed_ = true;
};

void write_all(int fd, std::span<const std::byte> content, const std::string& path) {
    while (!content.empty()) {
        const ssize_t written = allowed("write") ? ::write(fd, content.data(), content.size()) : -1;
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            storage_failure(path, "write", written == 0 ? EIO : errno);
        }
        content = content.subspan(static_cast<std::size_t>(written));
    }
}

void sync_descriptor(int fd, const std::string& path) {
    if (!allowed("fsync") || ::fsync(fd) != 0) {
        storage_failure(path, "bring to disk (fsync)", errno);
    }
}

void rename_and_sync(const std::string& temporary, const std::string& path, std::string_view what) {
    storage_point(what, "before_rename");
    if (!allowed("rename") || ::rename(temporary.c_str(), path.c_str()) != 0) {
        storage_failure(path, "rename the finished file to", errno);
    }
    storage_point(what, "before_folder_fsync");
    sync_folder(parent_folder(path));
    storage_point(what, "published");
}

} // namespace

void set_storage_hooks(StorageHooks new_hooks) { hooks() = std::move(new_hooks); }

void storage_point(std::string_view what, std::string_view stage) {
    if (hooks().reach) {
        hooks().reach(std::string(what) + "." + std::string(stage));
    }
}

std::string parent_folder(const std::string& path) {
    const std::string parent = std::filesystem::path(path).parent_path().string();
    return parent.empty() ? "." : parent;
}

std::string free_space(const std::string& path) {
    struct statvfs information {};
    if (::statvfs(path.c_str(), &information) != 0 &&
        ::statvfs(parent_folder(path).c_str(), &information) != 0) {
        return "free space unknown";
    }
    const double bytes =
        static_cast<double>(information.f_bavail) * static_cast<double>(information.f_frsize);
    return fmt::format("{:.1f} MB free on its file system", bytes / 1e6);
}

void storage_failure(const std::string& path, std::string_view action, int error_number) {
    fail(ExitCode::storage, "{}: cannot {}: {} ({})", path, action,
         std::generic_category().message(error_number), free_space(path));
}

void sync_folder(const std::string& folder) {
    const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (descriptor.fd() < 0) {
        storage_failure(folder, "open the folder", errno);
    }
    // Some network file systems do not know fsync of a folder; their renames are synchronous.
    if (!allowed("fsync") || (::fsync(descriptor.fd()) != 0 && errno != EINVAL && errno != ENOTSUP)) {
        storage_failure(folder, "bring the folder to disk (fsync)", errno);
    }
}

void publish_file(const std::string& path, std::span<const std::byte> content, std::string_view what) {
    const std::string temporary = path + ".part";
    storage_point(what, "before_write");
    Descriptor file(
        allowed("open") ? ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1);
    if (file.fd() < 0) {
        storage_failure(temporary, "create", errno);
    }
    Leftover leftover(temporary);
    const std::size_t half = content.size() / 2;
    write_all(file.fd(), content.first(half), temporary);
    storage_point(what, "mid_write");
    write_all(file.fd(), content.subspan(half), temporary);
    storage_point(what, "before_fsync");
    sync_descriptor(file.fd(), temporary);
    if (file.close() != 0) {
        storage_failure(temporary, "close", errno);
    }
    const std::vector<std::byte> found = read_bytes(temporary);
    check(std::ranges::equal(found, content), ExitCode::storage,
          "{}: reads back differently from what was written ({} bytes, {} expected)", temporary, found.size(),
          content.size());
    rename_and_sync(temporary, path, what);
    leftover.disarm();
}

void publish_text(const std::string& path, std::string_view text, std::string_view what) {
    publish_file(path, std::as_bytes(std::span(text.data(), text.size())), what);
}

void publish_written(const std::string& temporary, const std::string& path, std::string_view what) {
    Leftover leftover(temporary);
    {
        const Descriptor file(::open(temporary.c_str(), O_RDONLY | O_CLOEXEC));
        if (file.fd() < 0) {
            storage_failure(temporary, "open", errno);
        }
        storage_point(what, "before_fsync");
        sync_descriptor(file.fd(), temporary);
    }
    rename_and_sync(temporary, path, what);
    leftover.disarm();
}

std::vector<std::byte> read_bytes(const std::string& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (file.fd() < 0 || ::fstat(file.fd(), &status) != 0) {
        storage_failure(path, "open for reading", errno);
    }
    check(S_ISREG(status.st_mode), ExitCode::storage, "{}: is not a regular file", path);
    std::vector<std::byte> content(static_cast<std::size_t>(status.st_size));
    std::size_t done = 0;
    while (done < content.size()) {
        const ssize_t count = ::read(file.fd(), content.data() + done, content.size() - done);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            storage_failure(path, "read", errno);
        }
        if (count == 0) { // shorter than it said: being replaced or cut
            content.resize(done);
        }
        done += static_cast<std::size_t>(count);
    }
    return content;
}

std::string read_text(const std::string& path) {
    const std::vector<std::byte> content = read_bytes(path);
    return {reinterpret_cast<const char*>(content.data()), content.size()};
}

} // namespace tether::run
