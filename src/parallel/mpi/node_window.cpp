#include "src/parallel/mpi/node_window.hpp"

#include "src/parallel/wait_word.hpp"
#include "tether/core/error.hpp"

#include <array>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <utility>

namespace tether::parallel {

std::optional<SharedMemory> SharedMemory::make(const MpiComm& node, std::size_t bytes) {
    SharedMemory memory;
    memory.bytes_ = bytes;
    // Whole pages, and one more to align in: MPI promises no alignment. Mappings start at page
    // boundaries, so all processes align to the same place.
    constexpr std::size_t page = 4096;
    const std::size_t rounded = ((bytes + page - 1) / page + 1) * page;
    void* base = nullptr;
    int good = MPI_Win_allocate_shared(static_cast<MPI_Aint>(rounded), 1, MPI_INFO_NULL, node.get(), &base,
                                       &memory.window_) == MPI_SUCCESS;
    if (good == 0) {
        memory.window_ = MPI_WIN_NULL;
    }
    TETHER_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, node.get()));
    if (good == 0) {
        return std::nullopt;
    }
    for (int rank = 0; rank < node.size(); ++rank) {
        MPI_Aint size = 0;
        int unit = 0;
        TETHER_MPI_CHECK(MPI_Win_shared_query(memory.window_, rank, &size, &unit, &base));
        std::size_t room = rounded;
        std::align(64, bytes, base, room);
        memory.bases_.push_back(static_cast<std::byte*>(base));
    }
    std::memset(memory.of(node.rank()), 0, bytes);
    TETHER_MPI_CHECK(MPI_Barrier(node.get()));
    return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : window_(std::exchange(other.window_, MPI_WIN_NULL)), bytes_(other.bytes_),
      bases_(std::move(other.bases_)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
    std::swap(window_, other.window_);
    std::swap(bytes_, other.bytes_);
    std::swap(bases_, other.bases_);
    return *this;
}

SharedMemory::~SharedMemory() {
    if (window_ != MPI_WIN_NULL && std::uncaught_exceptions() == 0) {
        MPI_Win_free(&window_);
    }
}

// First in every rank's part; the barrier lives in that of rank 0.
struct NodeWindow::Control {
    WaitWord passed;                                // counts completed barriers
    alignas(64) std::atomic<std::uint32_t> arrived; // at the barrier that is being waited for
    alignas(64) std::atomic<std::uint64_t> came;    // barriers this rank has come to
};

struct NodeWindow::Slot {
    alignas(64) Header header;
    alignas(64) std::array<std::byte, payload_bytes> payload;
};

std::optional<NodeWindow> NodeWindow::make(const MpiComm& node, bool spin) {
    static_assert(std::atomic<std::uint32_t>::is_always_lock_free &&
                      std::atomic<std::uint64_t>::is_always_lock_free,
                  "atomics in memory shared by processes must be lock-free");
    auto memory = SharedMemory::make(node, sizeof(Control) + 2 * sizeof(Slot));
    if (!memory) {
        return std::nullopt;
    }
    NodeWindow window(std::move(*memory), node.rank(), node.size(), spin);
    TETHER_MPI_CHECK(MPI_Barrier(node.get())); // all controls are made
    return window;
}

NodeWindow::NodeWindow(SharedMemory memory, int rank, int size, bool spin)
    : memory_(std::move(memory)), rank_(rank), size_(size), spin_(spin ? 200 : 0) {
    new (memory_.of(rank)) Control{};
}

NodeWindow::Control& NodeWindow::control(int rank) const {
    return *std::launder(reinterpret_cast<Control*>(memory_.of(rank)));
}

NodeWindow::Slot& NodeWindow::slot(int rank) const {
    std::byte* first = memory_.of(rank) + sizeof(Control);
    return *std::launder(reinterpret_cast<Slot*>(first + (arrivals_ & 1U) * sizeof(Slot)));
}

void NodeWindow::arrive(const Header& header, std::span<const std::byte> payload) {
    check(payload.size() <= payload_bytes, "communicator: small message of {} bytes, expected at most {}",
          payload.size(), payload_bytes);
    ++arrivals_;
    Slot& mine = slot(rank_);
    mine.header = header;
    if (!payload.empty()) {
        std::memcpy(mine.payload.data(), payload.data(), payload.size());
    }
    payload_size_ = payload.size();
    barrier();
}

const Header& NodeWindow::header(int rank) const { return slot(rank).header; }

std::span<const std::byte> NodeWindow::payload(int rank) const {
    return std::span<const std::byte>(slot(rank).payload).first(payload_size_);
}

void NodeWindow::barrier() {
    Control& shared = control(0);
    control(rank_).came.fetch_add(1, std::memory_order_relaxed);
    const std::uint32_t before = shared.passed.value.load(std::memory_order_acquire);
    if (shared.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<std::uint32_t>(size_)) {
        shared.arrived.store(0, std::memory_order_relaxed);
        shared.passed.advance();
    } else {
        shared.passed.wait_change(before, spin_);
    }
}

std::vector<int> NodeWindow::missing() const {
    std::vector<int> ranks;
    const std::uint64_t mine = control(rank_).came.load(std::memory_order_relaxed);
    for (int rank = 0; rank < size_; ++rank) {
        if (control(rank).came.load(std::memory_order_relaxed) < mine) {
            ranks.push_back(rank);
        }
    }
    return ranks;
}

} // namespace tether::parallel
