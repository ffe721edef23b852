// What a device is told in a step: scalars of the program, of the update and of the optimiser, one block of
// memory, sent in two parts.
#pragma once

#include "tether/device/backend.hpp"
#include "tether/kernels/update.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace tether::run {

// Two copies on the host, used in turn: the device may still read the one of the step before.
template <class T>
struct DeviceControlBlock {
    DeviceControlBlock(device::Backend& b, std::size_t controls, std::size_t sites, std::size_t slacks,
                       std::size_t segments)
        : backend(b), memory(b) {
        const auto take = [this](std::size_t size) {
            const std::size_t at = bytes;
            bytes += (size + 15) / 16 * 16;
            return at;
        };
        controls_at = take(controls * sizeof(T));
        stop_at = take(sizeof(T));
        dgamma_at = take(sites * sizeof(double));
        du_at = take(slacks * sizeof(double));
        count_at = take(sizeof(Index));
        segments_at = take(segments * sizeof(kernels::UpdateSegment<T>));
        memory.require(static_cast<Index>(bytes));
        for (std::byte*& s : staging) {
            s = static_cast<std::byte*>(backend.allocate_staging(bytes));
        }
    }
    ~DeviceControlBlock() {
        for (std::byte* s : staging) {
            backend.release_staging(s);
        }
    }
    DeviceControlBlock(const DeviceControlBlock&) = delete;
    DeviceControlBlock& operator=(const DeviceControlBlock&) = delete;
    template <class X>
    [[nodiscard]] const X* on_device(std::size_t at) const {
        return reinterpret_cast<const X*>(memory.data() + at);
    }
    template <class X>
    void put(std::size_t at, std::span<const X> values) {
        std::ranges::copy(std::as_bytes(values), staging[turn] + at);
    }
    void next() {
        turn = 1 - turn;
        backend.await(staging[turn]);
    }
    // What lies in [from, end) of the block.
    void send(std::size_t from, std::size_t end) {
        if (end > from) {
            backend.to_device(memory.data() + from, staging[turn] + from, end - from);
        }
    }

    device::Backend& backend;
    device::Buffer<std::byte> memory;
    std::array<std::byte*, 2> staging{};
    std::size_t turn = 0, bytes = 0;
    std::size_t controls_at = 0, stop_at = 0, dgamma_at = 0, du_at = 0, count_at = 0, segments_at = 0;
};

} // namespace tether::run
