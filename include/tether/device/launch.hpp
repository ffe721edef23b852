// What a device is asked to do, as data: a list of launches recorded once and replayed every step (in stream
// order, or captured into a graph). A launch carries a functor by value with all pointers bound, so that a
// replay needs nothing from the host. The mathematics is in the functors (kernels); whoever executes a list
// knows only the three shapes of work below. The emulation runs the same functors on the host.
//
// each   f(i) for 0 <= i < items, in any order, no two writing the same place.
// team   blocks of F::threads threads that share an F::Shared and keep an F::Local each. The work of a block
//        is a sequence of f.phases(block) phases; f.phase(p, block, thread, shared, local) runs for all
//        threads before phase p + 1 begins (on a device: a barrier between phases).
//        A functor with `parts` has that many blocks work together, each with its own F::Shared, its own
//        phases f.phases(block, part) and f.phase(p, block, part, thread, shared, local). After a phase for
//        which f.meets(p, shared) the parts wait for each other (on a device: a cluster of blocks); all meet
//        equally often.
// exchange  sums over devices and ranks in the middle of a step: numbers in device memory, in place.
//
// Launches run one after the other, but for those of a wave: they depend on none of each other and may run in
// any order or at once.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <typeindex>
#include <vector>

namespace tether::device {

constexpr int most_parts = 8; // of a team: the largest cluster that every device with clusters has

// What of a launch waits for each other: levels, between which parts meet; phases of its longest block, where
// that is known, and how many of them make products.
struct LaunchSteps {
    long levels = 1, phases = 0, product_phases = 0;
};

struct Launch {
    enum class Shape : unsigned char { each, team, exchange };
    static constexpr std::size_t most_bytes = 320; // of a functor; CUDA takes 4 KiB

    Shape shape = Shape::each;
    std::type_index functor = typeid(void);
    std::string name;       // of the operation, for profiles
    Index items = 0;        // each: calls at capacity; team: blocks
    int threads = 0;        // team: of a block
    int parts = 1;          // team: blocks that meet
    LaunchSteps steps;      // that wait for each other within it
    double* sums = nullptr; // exchange: [items]
    bool beside = false;    // of the same wave as the launch before
    // each: item i belongs to row i / row_items of *axis_rows rows (without an axis: of `rows`); 0: the items
    // are not dealt out by rows.
    Index row_items = 0;
    const Index* axis_rows = nullptr;
    Index rows = 1;
    bool elementwise = false; // item i reads and writes number i of its operands alone
    alignas(16) std::array<std::byte, most_bytes> bytes{};
    std::size_t size = 0; // of the functor
    // Runs it on the host. Threads of a block go in ascending or descending order: a result that depends
    // on it shows a missing barrier.
    void (*emulate)(const Launch&, bool descending) = nullptr;
};

namespace detail {

template <class F>
F functor_of(const Launch& launch) {
    static_assert(std::is_trivially_copyable_v<F>);
    alignas(F) std::byte place[sizeof(F)];
    std::memcpy(place, launch.bytes.data(), sizeof(F));
    return *reinterpret_cast<const F*>(place);
}

template <class F>
void emulate_each(const Launch& launch, bool descending) {
    const F f = functor_of<F>(launch);
    for (Index i = 0; i < launch.items; ++i) {
        f(descending ? launch.items - 1 - i : i);
    }
}

template <class F>
concept HasParts = requires(const F& f) {
    f.parts;
};

// One block of a team.
template <class F>
class EmulatedBlock {
public:
    EmulatedBlock() : shared_(std::make_unique<typename F::Shared>()), local_(F::threads) {}
    void begin(const F& f, Index block, int part) {
        std::memset(static_cast<void*>(shared_.get()), 0xFF, sizeof *shared_); // not a number until written
        for (auto& l : local_) {
            l = {};
        }
        next_ = 0;
        if constexpr (HasParts<F>) {
            phases_ = f.phases(block, part);
        } else {
            phases_ = f.phases(block);
        }
    }
    // Up to the next place where parts meet, or to the end; whether they met.
    bool run(const F& f, Index block, int part, bool descending) {
        while (next_ < phases_) {
            const Index p = next_++;
            for (int t = 0; t < F::threads; ++t) {
                const int thread = descending ? F::threads - 1 - t : t;
                auto& local = local_[static_cast<std::size_t>(thread)];
                if constexpr (HasParts<F>) {
                    f.phase(p, block, part, thread, *shared_, local);
                } else {
                    f.phase(p, block, thread, *shared_, local);
                }
            }
            if constexpr (HasParts<F>) {
                if (f.meets(p, *shared_)) {
                    return true;
                }
            }
        }
        return false;
    }

private:
    std::unique_ptr<typename F::Shared> shared_;
    std::vector<typename F::Local> local_;
    Index next_ = 0, phases_ = 0;
};

void parts_meet(std::size_t met, std::size_t parts); // Error(usage) unless none or all

template <class F>
void emulate_team(const Launch& launch, bool descending) {
    const F f = functor_of<F>(launch);
    std::vector<EmulatedBlock<F>> parts(static_cast<std::size_t>(launch.parts));
    for (Index b = 0; b < launch.items; ++b) {
        const Index block = descending ? launch.items - 1 - b : b;
        for (std::size_t q = 0; q < parts.size(); ++q) {
            parts[q].begin(f, block, static_cast<int>(q));
        }
        std::size_t met = 0;
        do {
            met = 0;
            for (std::size_t i = 0; i < parts.size(); ++i) {
                const std::size_t q = descending ? parts.size() - 1 - i : i;
                met += parts[q].run(f, block, static_cast<int>(q), descending) ? 1 : 0;
            }
            parts_meet(met, parts.size());
        } while (met > 0);
    }
}

template <class F>
Launch launch_of(const F& f, std::string name, Index items) {
    static_assert(std::is_trivially_copyable_v<F> && sizeof(F) <= Launch::most_bytes && alignof(F) <= 16);
    Launch launch;
    launch.functor = typeid(F);
    launch.name = std::move(name);
    launch.items = items;
    launch.size = sizeof(F);
    std::memcpy(launch.bytes.data(), &f, sizeof(F));
    return launch;
}

} // namespace detail

// What was resolved or captured for a list stays right while its version is the same: every change draws a
// number that no list had before.
class LaunchList {
public:
    // The operation that further launches belong to.
    void name(std::string operation) { name_ = std::move(operation); }

    template <class F>
    void each(Index items, const F& f) {
        if (items > 0) {
            push(detail::launch_of(f, name_, items));
            launches_.back().emulate = &detail::emulate_each<F>;
        }
    }
    // The same, row_items calls for each of `capacity` rows; `times` rows for every row of the axis, if there
    // is one (they stay together: others may see them as one).
    template <class F>
    void rows(Index capacity, Index row_items, const Index* axis_rows, Index times, const F& f) {
        each(capacity * row_items, f);
        if (capacity * row_items > 0) {
            Launch& launch = launches_.back();
            launch.axis_rows = axis_rows;
            launch.rows = axis_rows == nullptr ? times : 1;
            launch.row_items = axis_rows == nullptr ? row_items : row_items * times;
        }
    }
    template <class F>
    void team(Index blocks, const F& f) {
        if (blocks > 0) {
            push(detail::launch_of(f, name_, blocks));
            launches_.back().shape = Launch::Shape::team;
            launches_.back().threads = F::threads;
            if constexpr (detail::HasParts<F>) {
                launches_.back().parts = f.parts;
            }
            launches_.back().emulate = &detail::emulate_team<F>;
        }
    }
    void exchange(double* sums, Index count) {
        Launch launch;
        launch.shape = Launch::Shape::exchange;
        launch.name = name_;
        launch.sums = sums;
        launch.items = count;
        push(std::move(launch));
    }
    // About the launch appended last, if there is one.
    void mark_elementwise() {
        if (!launches_.empty()) {
            launches_.back().elementwise = true;
        }
    }
    void mark_steps(const LaunchSteps& steps) {
        if (!launches_.empty()) {
            launches_.back().steps = steps;
        }
    }
    // In waves as they are; or as one, with nothing in it that depends on anything else of it.
    void append(std::vector<Launch> launches) {
        for (Launch& launch : launches) {
            push(std::move(launch));
        }
    }
    void append_wave(std::vector<Launch> launches) {
        for (std::size_t i = 0; i < launches.size(); ++i) {
            launches[i].beside = i > 0;
            push(std::move(launches[i]));
        }
    }
    void clear() {
        launches_.clear();
        version_ = next_version();
    }
    [[nodiscard]] std::vector<Launch> take() {
        std::vector<Launch> taken = std::move(launches_);
        clear();
        return taken;
    }
    [[nodiscard]] std::uint64_t version() const { return version_; }
    [[nodiscard]] const std::vector<Launch>& launches() const { return launches_; }
    [[nodiscard]] std::size_t size() const { return launches_.size(); }
    // The end of the wave that begins at `first`, at most `last`.
    [[nodiscard]] std::size_t wave_end(std::size_t first, std::size_t last) const {
        std::size_t end = first + 1;
        while (end < last && launches_[end].beside) {
            ++end;
        }
        return end;
    }
    // Waves: how many launches depend on each other one after the other.
    [[nodiscard]] std::size_t waves() const {
        return static_cast<std::size_t>(std::ranges::count(launches_, false, &Launch::beside));
    }

    // The same, counting what waits within a launch: of each wave its longest.
    [[nodiscard]] LaunchSteps steps() const {
        LaunchSteps all{0, 0, 0};
        for (std::size_t begin = 0, end = 0; begin < size(); begin = end) {
            end = wave_end(begin, size());
            LaunchSteps most;
            for (std::size_t i = begin; i < end; ++i) {
                const LaunchSteps& s = launches_[i].steps;
                most = {std::max(most.levels, s.levels), std::max(most.phases, s.phases),
                        std::max(most.product_phases, s.product_phases)};
            }
            all = {all.levels + most.levels, all.phases + most.phases,
                   all.product_phases + most.product_phases};
        }
        return all;
    }

private:
    static std::uint64_t next_version() {
        static std::atomic<std::uint64_t> last{0};
        return ++last;
    }
    void push(Launch launch) {
        launches_.push_back(std::move(launch));
        version_ = next_version();
    }

    std::string name_;
    std::vector<Launch> launches_;
    std::uint64_t version_ = next_version();
};

} // namespace tether::device
