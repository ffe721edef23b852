// Runs a program on a device: the launches of its nodes are put into one list, stage by stage
// (device_schedule.hpp), once for a capacity of rows; a batch is copied to fixed places and the list
// replayed. All lanes of the device go through it side by side. Intermediates have places in one arena, by
// liveness.
#pragma once

#include "tether/program/device_run.hpp"
#include "tether/program/device_schedule.hpp"
#include "tether/program/executor.hpp"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tether {

// As Environment, in device memory. Pointers must stay the same while lists are replayed.
template <class T>
struct DeviceEnvironment {
    const T* parameters = nullptr;
    T* gradient = nullptr;
    T* extra_gradient = nullptr;
    T* sums = nullptr; // [Program::sum_columns()]: written after the nodes of the part, read as totals
    const T* state = nullptr;
    T* next_state = nullptr;
    const T* control = nullptr;
    bool commits_state = true;
    bool alone = false; // no other device shares the batch: nothing is exchanged
    kernels::ProductPrecision precision = kernels::ProductPrecision::exact; // of matrix products
    // Products of several rows are launches of their own, in large tiles: for batches that fill a device.
    // Else, and only in exact precision, they are steps of programs over rows (kernels/row_program.hpp). The
    // two add in different orders: all ranks of a job must choose the same.
    bool products_apart = false;
    // Gradients of weights are made, beside what else there is to do, as soon as there are so many of them
    // that can be; 0: all of them at the end of the part.
    Index bucket_elements = 0;
    // Launches that need nothing of the program: they come with its first stage.
    std::vector<device::Launch> ahead = {};
    // The first number of a value goes there after the last node.
    std::vector<std::pair<Value, double*>> stored = {};
};

template <class T>
class DeviceExecutor {
public:
    DeviceExecutor(const Program& program, device::Backend& backend, const DeviceEnvironment<T>& environment);
    ~DeviceExecutor();

    // Makes room for batches of so many lanes and rows per axis, and records for it. Called by load() where a
    // batch is larger than all before; calling it first with the largest batch of a data set avoids that.
    void reserve(Index lanes, const std::array<Index, axis_count>& rows);
    // Copies a part to the device; the part may change as soon as this returns.
    void load(const BatchPart<T>& part);
    // [begin, end) of the numbers from DeviceEnvironment::gradient on.
    using Range = std::pair<Index, Index>;
    // Called for each bucket, beside the rest of the part: these gradients are there.
    using Ready = std::function<void(const std::vector<Range>&)>;
    // Nodes [first, last): whole program, or up to one of its borders. Where the last node of the part is
    // among them, elements that no node writes are zeroed and the sums are copied.
    void run_nodes(std::size_t first, std::size_t last, const device::DeviceExchange& exchange = {},
                   const Ready& ready = {});
    void run(const device::DeviceExchange& exchange = {}) { run_nodes(0, program_.nodes.size(), exchange); }

    // Of the last run; waits for the device.
    [[nodiscard]] std::vector<T> value(Value v) const;

    [[nodiscard]] const device::LaunchList& list() const { return list_; }
    // The same, then those of the buckets.
    [[nodiscard]] std::vector<const device::LaunchList*> lists() const;
    [[nodiscard]] std::size_t arena_bytes() const {
        return static_cast<std::size_t>(arena_.size()) * sizeof(T);
    }
    // Floating-point operations of the nodes as last loaded.
    [[nodiscard]] double flop() const;
    [[nodiscard]] long recordings() const { return recordings_; }
    // As it runs here: nodes may lie elsewhere than in the program given, values do not.
    [[nodiscard]] const Program& program() const { return program_; }

private:
    struct Layout; // of a batch in its staging memory, which mirrors the device's
    void record();
    [[nodiscard]] std::vector<DeviceWork> work_of_nodes() const;
    // What a node appends; sums that may wait go to `deferred`, products to `products`, if there are such.
    [[nodiscard]] std::vector<device::Launch>
    launches_of(std::size_t n, DeviceMemory& memory, DeferredSums<T>* deferred,
                std::vector<kernels::RowProduct<T>>* products = nullptr) const;
    [[nodiscard]] bool products_by_rows() const {
        return !environment_.products_apart && environment_.precision == kernels::ProductPrecision::exact;
    }
    void record_stages(const std::vector<DeviceStage>& stages, std::size_t part_stages);
    [[nodiscard]] std::vector<std::vector<std::size_t>>
    waiting_by_stage(const std::vector<DeviceStage>& stages, std::size_t part_stages) const;
    [[nodiscard]] std::vector<std::vector<Range>> gradient_ranges() const;
    void record_gradients(DeferredSums<T>& deferred, device::LaunchList& list,
                          std::vector<device::Launch> beside_totals = {});
    void record_end_of_part(DeferredSums<T>& deferred);
    void record_stored();
    // The launches of a chain (device_chains.cpp).
    [[nodiscard]] std::vector<device::Launch> chain(const std::vector<std::size_t>& branch);
    [[nodiscard]] std::vector<device::Launch> product_then(const std::vector<std::size_t>& branch);
    [[nodiscard]] std::vector<device::Launch> row_program(const std::vector<std::size_t>& branch);
    void append_side_by_side(const std::vector<device::LaunchList>& branches);
    [[nodiscard]] T* pointer(Value v) const;

    const Program program_; // device_program()
    device::Backend& backend_;
    DeviceEnvironment<T> environment_;
    std::unique_ptr<Layout> layout_;
    DeviceBatch<T> batch_;
    std::array<Index, axis_count> rows_{}; // of the last part
    DeviceMemory memory_;
    device::Buffer<T> arena_;
    device::Buffer<std::byte> part_;
    std::vector<Index> place_;
    device::LaunchList list_;
    std::size_t part_end_ = 0; // of the launches of the part
    // Gradients that are made beside the launches of list_ that follow `after`.
    struct Bucket {
        std::size_t after = 0;
        std::vector<Range> ranges;
        device::LaunchList list;
    };
    std::vector<Bucket> buckets_;
    std::vector<bool> alone_; // per node: writes_gradients_alone()
    std::vector<DeviceWork> work_;
    long recordings_ = 0;
};

} // namespace tether
