// Memory that the ranks of a node see of each other, and that they have in common.
#include "src/parallel/mpi/communicator.hpp"

#include <memory>
#include <utility>

namespace tether::parallel {

std::optional<SharedMemory> MpiCommunicator::node_memory(std::size_t mine) {
    if (!window_) {
        return std::nullopt;
    }
    std::optional<SharedMemory> memory = SharedMemory::make(node_, mine);
    int good = memory ? 1 : 0;
    TETHER_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, comm_.get()));
    if (good == 0) {
        memory.reset();
    }
    return memory;
}

std::span<std::byte> MpiCommunicator::private_bytes(std::size_t bytes) {
    constexpr std::size_t line = 64;
    private_.push_back(std::make_unique<std::byte[]>(bytes + line));
    void* start = private_.back().get();
    std::size_t room = bytes + line;
    return {static_cast<std::byte*>(std::align(line, bytes, start, room)), bytes};
}

std::span<std::byte> MpiCommunicator::shared_bytes(std::size_t bytes) {
    const Header mine = header(Collective::shared, bytes, 1, -1);
    const Scope scope(*this, mine);
    agree(mine);
    if (std::optional<SharedMemory> memory = node_memory(bytes)) {
        shared_.push_back(std::move(*memory));
        return {shared_.back().of(local_rank_), bytes};
    }
    return private_bytes(bytes);
}

Communicator::Common<std::byte> MpiCommunicator::common_bytes(std::size_t bytes) {
    const Header mine = header(Collective::shared, bytes, 1, -1);
    const Scope scope(*this, mine);
    agree(mine);
    if (std::optional<SharedMemory> memory = node_memory(local_rank_ == 0 ? bytes : 0)) {
        common_.push_back(std::move(*memory));
        return {{common_.back().of(0), bytes}, local_rank_, local_size_};
    }
    return {private_bytes(bytes), 0, 1};
}

void MpiCommunicator::node_barrier() {
    if (window_) {
        const Scope scope(*this, header(Collective::barrier, 0, 0, -1));
        window_->barrier();
    }
}

} // namespace tether::parallel
