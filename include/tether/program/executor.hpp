// Runs a program on the host, group by group of its schedule, groups of row-wise nodes tile by tile.
// Every intermediate has a place in one arena, assigned by liveness for a capacity of rows (a tile's
// rows if it does not leave its group); after the first run with the largest batch nothing is allocated.
#pragma once

#include "tether/program/schedule.hpp"

#include <array>
#include <span>
#include <string>
#include <vector>

namespace tether {

// The vectors a program works on; shared by all executors of a model (threads read the same
// parameters and packed weights, each has its own gradient).
template <class T>
struct Environment {
    const T* parameters = nullptr;
    T* gradient = nullptr;       // [parameters.size()]; null for programs without reverse pass
    T* extra_gradient = nullptr; // [Program::extra_gradient]
    const T* totals = nullptr;   // of Program::sums over all lanes; for nodes after the reduction
    const T* state = nullptr;    // [states.size()]
    T* next_state = nullptr;     // may equal `state`
    const T* control = nullptr;  // in the order of Program::controls
    const T* packed = nullptr;   // from PackedWeights
    const Exchange* exchange = nullptr;
    const Parallel* parallel = nullptr;
    bool commits_state = true;
};

// The packed copies of a program's weights, renewed after every change of the parameters.
template <class T>
class PackedWeights {
public:
    // memory: of size(program) numbers, aligned, which others may see; without it the packs have their own.
    explicit PackedWeights(const Program& program, std::span<T> memory = {});
    PackedWeights(const PackedWeights&) = delete;
    PackedWeights& operator=(const PackedWeights&) = delete;
    [[nodiscard]] static Index size(const Program& program) { return offsets(program).back(); }
    // Packs share `part` of `parts` (by elements, whole matrices).
    void renew(const T* parameters, int part = 0, int parts = 1);
    [[nodiscard]] const T* data() const { return packed_.data(); }
    [[nodiscard]] static std::vector<Index> offsets(const Program& program);

private:
    std::vector<WeightView> views_;
    std::vector<Index> offset_;
    std::vector<T> own_;
    std::span<T> packed_;
};

enum class Checking : bool { none, debug };

template <class T>
class HostExecutor {
public:
    // Debug checking: freed regions are poisoned with NaN before reuse, every output is checked for
    // NaN and infinity after its node, naming node, row and column; no tiles.
    // tile_rows: rows of a tile (at least one item with all its times); 0: no tiles. Changes no result.
    explicit HostExecutor(const Program& program, Checking checking = Checking::none,
                          Index tile_rows = usual_tile_rows);

    // A multiple of the products' register blocks; tiles of some hundred columns stay in the second-level
    // cache. Measured with SEGNN: 28 rows cost 6 % more (shorter products), no tiles 2 to 10 %, 140 to 280
    // are the same; EGNO takes 2 to 3 % less with 280 to 420 than with 140, 840 are worse again.
    static constexpr Index usual_tile_rows = 280;

    void run(const BatchPart<T>& batch, const Environment<T>& environment);
    // As run, but only the nodes [first, last), which no group may straddle: the borders of the
    // program's parts, or any without tiles.
    void run_nodes(const BatchPart<T>& batch, const Environment<T>& environment, std::size_t first,
                   std::size_t last);

    [[nodiscard]] std::span<const T> value(Value v) const; // of the last run; throws if it was never whole
    [[nodiscard]] std::span<const T> output(const std::string& name) const;
    void copy_sums(T* to) const; // Program::sums, one after the other

    [[nodiscard]] std::size_t arena_bytes() const { return arena_.size() * sizeof(T); }
    [[nodiscard]] long allocations() const { return allocations_; } // times that memory had to grow
    [[nodiscard]] const Program& program() const { return program_; }
    // Floating-point operations of the nodes as last run.
    [[nodiscard]] double flop() const;

    // Time spent in every node since profiling was switched on, with its work per run.
    struct NodeTime {
        std::string name; // of the operation, with rows and columns of its first output or input
        double seconds = 0, flop = 0;
        long runs = 0;
    };
    void profile(bool on);
    [[nodiscard]] std::vector<NodeTime> node_times() const;

private:
    void plan(const BatchPart<T>& batch);
    void bind(const BatchPart<T>& batch, const Environment<T>& environment);
    void run_node(std::size_t n, Run<T>& r);
    void run_tiles(const NodeGroup& group, Run<T>& r);
    void run_tile(const NodeGroup& group, Index rows, Run<T>& r);
    void check_node(std::size_t n) const;

    const Program& program_;
    Checking checking_;
    Index tile_rows_;
    std::vector<NodeGroup> groups_;
    std::vector<bool> local_;         // per value: lives within a tile
    std::vector<bool> operand_local_; // the same per operand
    std::array<Index, axis_count> capacity_{};
    std::array<Index, axis_count> rows_{};     // of the last run
    std::vector<Index> place_;                 // per value: offset in the arena, -1 outside
    std::vector<std::vector<int>> dies_after_; // per group: values not needed any more (debug)
    std::vector<T> arena_;
    std::vector<T> scratch_;
    std::vector<double> double_sums_;
    std::vector<std::vector<T>> partial_; // per node: sums over the tiles so far
    std::vector<bool> sums_;              // per node: sums over the rows of its group's tiles
    std::vector<Index> lane_scratch_;
    std::vector<Index> packed_offset_;
    std::vector<typename Run<T>::Operand> operands_; // of all nodes, with all their rows
    std::vector<typename Run<T>::Operand> tile_;     // of one node, with the rows of a tile
    std::vector<std::array<std::size_t, 3>> spans_;  // per node: first input, first output, end
    long allocations_ = 0;
    bool profiling_ = false;
    std::vector<double> node_seconds_;
    std::vector<long> node_runs_;
};

} // namespace tether
