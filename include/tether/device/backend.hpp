// A device: memory, copies and the execution of launch lists. Implementations: CUDA, and an emulation that
// runs on the host for tests and for the checks that need no device. All calls are made by one thread, in
// order; copies and lists run asynchronously on a device until synchronise().
// Errors: Error(device) naming the device and what failed.
#pragma once

#include "tether/device/launch.hpp"
#include "tether/device/launchers.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace tether::device {

// Adds the numbers over all devices and ranks, in place; in host or device memory as the backend has it. One
// that only puts work on the backend's stream may become part of a graph; one that reads and waits may not:
// the lists around it are then graphs of their own.
struct DeviceExchange {
    std::function<void(double* sums, Index count)> add;
    bool in_graph = false;

    DeviceExchange() = default;
    template <std::invocable<double*, Index> F>
    DeviceExchange(F add_, bool in_graph_ = false) : add(std::move(add_)), in_graph(in_graph_) {}
    explicit operator bool() const { return add != nullptr; }
    void operator()(double* sums, Index count) const { add(sums, count); }
};

// Launches [first, last) of one of several lists that run together.
struct BatchedRange {
    const LaunchList* list = nullptr;
    std::size_t first = 0, last = 0;
};
// Error(usage) unless all have the same functors in the same order.
void check_same_launches(std::span<const BatchedRange> ranges);

class Backend {
public:
    Backend() = default;
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;
    virtual ~Backend() = default;

    [[nodiscard]] virtual std::string name() const = 0;
    // The same for two backends: the same piece of hardware. Empty where that does not matter.
    [[nodiscard]] virtual std::string identity() const { return {}; }
    // Zeroed; freed by release.
    [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
    virtual void release(void* memory) = 0;
    // Page-locked where that makes copies faster.
    [[nodiscard]] virtual void* allocate_staging(std::size_t bytes) = 0;
    virtual void release_staging(void* memory) = 0;
    // From staging memory: returns at once, is copied beside what runs, and takes effect after all that was
    // asked for before; await() before the staging memory is written again. From other memory: waits.
    virtual void to_device(void* device, const void* host, std::size_t bytes) = 0;
    virtual void to_host(void* host, const void* device, std::size_t bytes) = 0;
    // Copies to staging memory without waiting; await() before it is read.
    virtual void fetch(void* staging, const void* device, std::size_t bytes) = 0;
    // Until the copies from and to this staging memory were made. Counted as a wait where it had to.
    virtual void await(const void* staging) = 0;
    virtual void clear(void* device, std::size_t bytes) = 0;
    // Into how many parts so many teams (launch.hpp) are best divided: 1 where blocks cannot meet.
    [[nodiscard]] virtual int parts_of_teams(Index /*teams*/) const { return 1; }
    // Launches [first, last) of a list. A list that has run twice unchanged may be captured and replayed.
    virtual void run(const LaunchList& list, std::size_t first, std::size_t last,
                     const DeviceExchange& exchange) = 0;
    // Recordings of the same program (replica_group.hpp), wave by wave over all of them.
    virtual void run_together(std::span<const BatchedRange> ranges) = 0;
    // Runs body; where the device has graphs, the third call with the same version captures what body asks
    // for (lists, exchanges, beside, meet; copies and memory are refused) and from the fourth on the graph
    // runs in its place: body must ask for the same work every time, or come with another version.
    virtual void replay(std::uint64_t version, const std::function<void()>& body) = 0;
    // What `work` asks for runs after all that was asked for before, and beside what is asked for afterwards
    // until meet(). `stream` is that of the device (cudaStream_t), null where it has none.
    virtual void beside(const std::function<void(void* stream)>& work) = 0;
    virtual void meet() = 0;
    // Where lists run at present; null where the device has no streams.
    [[nodiscard]] virtual void* stream() const = 0;
    virtual void synchronise() = 0;

    struct Counts {
        long launches = 0; // kernels started one by one
        long replays = 0;  // graphs started
        long waits = 0;    // times the host waited for the device
        long allocations = 0;
    };
    [[nodiscard]] virtual Counts counts() const = 0;
};

// Memory of one type on a device, grown on request, never shrunk.
template <class T>
class Buffer {
public:
    explicit Buffer(Backend& backend) : backend_(&backend) {}
    Buffer(Buffer&& other) noexcept
        : backend_(other.backend_), data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    Buffer& operator=(Buffer&&) = delete;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
        if (data_ != nullptr) {
            backend_->release(data_);
        }
    }
    // Contents are lost where it grows; returns whether it did (pointers changed).
    bool require(Index size) {
        if (size <= size_) {
            return false;
        }
        if (data_ != nullptr) {
            backend_->release(data_);
            data_ = nullptr;
        }
        data_ = static_cast<T*>(backend_->allocate(static_cast<std::size_t>(size) * sizeof(T)));
        size_ = size;
        return true;
    }
    void load(std::span<const T> values) {
        if (!values.empty()) {
            backend_->to_device(data_, values.data(), values.size_bytes());
        }
    }
    void store(std::span<T> values) const {
        if (!values.empty()) {
            backend_->to_host(values.data(), data_, values.size_bytes());
        }
    }
    void clear() {
        if (size_ > 0) {
            backend_->clear(data_, static_cast<std::size_t>(size_) * sizeof(T));
        }
    }
    [[nodiscard]] T* data() const { return data_; }
    [[nodiscard]] Index size() const { return size_; }

private:
    Backend* backend_;
    T* data_ = nullptr;
    Index size_ = 0;
};

// What suits a device of so many multiprocessors: two blocks for each, which hide each other's waiting. Teams
// that fill more than half of it by themselves need nobody to meet.
[[nodiscard]] int parts_of_teams(Index teams, Index multiprocessors);

// `descending`: items, blocks and threads run from the last to the first. Memory not yet written holds
// what the allocation left, guarded: a write beyond a buffer's end is found when it is released.
[[nodiscard]] std::unique_ptr<Backend> make_emulation(bool descending = false);

// Device `number` of this machine, running functors by what `launchers` has for them (kernels/launchers.hpp
// has all of this library); Error(device), exit code 15, where this build or machine has none.
[[nodiscard]] std::unique_ptr<Backend> make_cuda(int number, const Launchers& launchers);

} // namespace tether::device
