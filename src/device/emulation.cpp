// The device as the host plays it: memory with guards at its ends, lists run functor by functor. What it
// shows is the arithmetic of the functors, their indices and the order of their phases; never speed.
#include "launch_waves.hpp"

#include "tether/core/error.hpp"
#include "tether/device/backend.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>

namespace tether::device {

void detail::parts_meet(std::size_t met, std::size_t parts) {
    check(met == 0 || met == parts,
          "{} of the {} parts of a team meet, the others have ended: on a device "
          "they would wait for ever",
          met, parts);
}

namespace {

class Emulation : public Backend {
public:
    explicit Emulation(bool descending) : descending_(descending) {}
    ~Emulation() override {
        for (auto& [address, memory] : memory_) {
            std::free(memory.block);
        }
    }
    [[nodiscard]] std::string name() const override { return "emulation on the host"; }
    // As on a large device, or few.
    [[nodiscard]] int parts_of_teams(Index teams) const override {
        return descending_ ? 2 : device::parts_of_teams(teams, 132);
    }

    [[nodiscard]] void* allocate(std::size_t bytes) override {
        auto* block = static_cast<std::byte*>(
            std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment + 2 * guard));
        check(block != nullptr, ExitCode::device, "{}: no memory for {} bytes", name(), bytes);
        std::fill_n(block, guard, mark);
        std::fill_n(block + guard, bytes, std::byte{0});
        std::fill_n(block + guard + bytes, guard, mark);
        memory_[block + guard] = {block, bytes};
        ++counts_.allocations;
        return block + guard;
    }
    void release(void* address) override {
        const auto found = memory_.find(static_cast<std::byte*>(address));
        check(found != memory_.end(), ExitCode::device, "{}: memory released that was never allocated",
              name());
        const auto [block, bytes] = found->second;
        intact_ = intact_ && std::all_of(block, block + guard, is_mark) &&
                  std::all_of(block + guard + bytes, block + 2 * guard + bytes, is_mark);
        std::free(block);
        memory_.erase(found);
    }
    [[nodiscard]] void* allocate_staging(std::size_t bytes) override { return std::calloc(1, bytes); }
    void release_staging(void* memory) override { std::free(memory); }
    void to_device(void* device, const void* host, std::size_t bytes) override {
        inside(device, bytes);
        std::memcpy(device, host, bytes);
    }
    void to_host(void* host, const void* device, std::size_t bytes) override {
        inside(device, bytes);
        std::memcpy(host, device, bytes);
        ++counts_.waits;
    }
    void fetch(void* staging, const void* device, std::size_t bytes) override {
        inside(device, bytes);
        std::memcpy(staging, device, bytes);
    }
    void await(const void* /*staging*/) override {}
    void clear(void* device, std::size_t bytes) override {
        inside(device, bytes);
        std::memset(device, 0, bytes);
    }
    void run(const LaunchList& list, std::size_t first, std::size_t last,
             const DeviceExchange& exchange) override {
        for (std::size_t begin = first, end = first; begin < last; begin = end) {
            end = list.wave_end(begin, last);
            for (std::size_t i = begin; i < end; ++i) {
                const Launch& launch = list.launches()[descending_ ? end - 1 - (i - begin) : i];
                if (launch.shape != Launch::Shape::exchange) {
                    launch.emulate(launch, descending_);
                } else if (exchange) {
                    exchange(launch.sums, launch.items);
                }
            }
        }
        count_kernels({&list, first, last});
        check_guards();
    }
    void run_together(std::span<const BatchedRange> ranges) override {
        check_same_launches(ranges);
        const BatchedRange& one = ranges.front();
        for (std::size_t begin = one.first, end = begin; begin < one.last; begin = end) {
            end = one.list->wave_end(begin, one.last);
            for (std::size_t i = begin; i < end; ++i) {
                const std::size_t at = (descending_ ? end - 1 - (i - begin) : i) - one.first;
                for (const BatchedRange& r : ranges) {
                    const Launch& launch = r.list->launches()[r.first + at];
                    if (launch.emulate != nullptr) {
                        launch.emulate(launch, descending_);
                    }
                }
            }
        }
        count_kernels(ranges.front()); // of one for all of them
        check_guards();
    }
    void replay(std::uint64_t /*version*/, const std::function<void()>& body) override { body(); }
    void beside(const std::function<void(void*)>& work) override { work(nullptr); }
    void meet() override {}
    [[nodiscard]] void* stream() const override { return nullptr; }
    void synchronise() override { ++counts_.waits; }
    [[nodiscard]] Counts counts() const override { return counts_; }

private:
    struct Memory {
        std::byte* block;
        std::size_t bytes;
    };
    static constexpr std::size_t alignment = 256, guard = 256;
    static constexpr std::byte mark{0xA5};
    static bool is_mark(std::byte b) { return b == mark; }

    // As many as a device would start: one for all launches of a wave with the same functor.
    void count_kernels(const BatchedRange& range) {
        for (const auto& wave : launch_waves({&range, 1}, [](const Launch&) { return Kernels{}; }).waves) {
            counts_.launches +=
                wave.front().first.shape == Launch::Shape::exchange ? 0 : static_cast<long>(wave.size());
        }
    }
    void inside(const void* address, std::size_t bytes) const {
        const auto* at = static_cast<const std::byte*>(address);
        auto found = memory_.upper_bound(const_cast<std::byte*>(at));
        check(found != memory_.begin() && (--found, at + bytes <= found->first + found->second.bytes),
              ExitCode::device, "{}: a copy of {} bytes leaves its buffer", name(), bytes);
    }
    void check_guards() const {
        for (const auto& [address, memory] : memory_) {
            check(std::all_of(memory.block, memory.block + guard, is_mark) &&
                      std::all_of(address + memory.bytes, address + memory.bytes + guard, is_mark),
                  ExitCode::device, "{}: a launch wrote beyond a buffer of {} bytes", name(), memory.bytes);
        }
        check(intact_, ExitCode::device, "{}: a launch wrote beyond a buffer that is gone", name());
    }

    bool descending_;
    bool intact_ = true;
    std::map<std::byte*, Memory> memory_;
    Counts counts_;
};

} // namespace

std::unique_ptr<Backend> make_emulation(bool descending) { return std::make_unique<Emulation>(descending); }

} // namespace tether::device
