// Messages from one rank to another: small ones are copied and left to go.
#include "src/parallel/mpi/communicator.hpp"

#include "src/parallel/wait_word.hpp"
#include "tether/core/error.hpp"

#include <array>
#include <iterator>

namespace tether::parallel {
namespace {

// Tags of users lie above those of this file.
int user_tag(int tag) {
    check(tag >= 0 && tag < 1000, "communicator: tag {}, expected 0..999", tag);
    return tag + 16;
}

constexpr std::size_t eager_bytes = std::size_t{64} << 10U; // messages up to this are copied and left to go

} // namespace

void MpiCommunicator::deliver(bool all) {
    for (auto message = pending_.begin(); message != pending_.end();) {
        const auto next = std::next(message);
        int done = 0;
        if (all) {
            mpi_wait(std::span<MPI_Request>(&message->request, 1), spin_);
            done = 1;
        } else {
            TETHER_MPI_CHECK(MPI_Test(&message->request, &done, MPI_STATUS_IGNORE));
        }
        if (done != 0) {
            spare_.splice(spare_.end(), pending_, message);
        }
        message = next;
    }
}

void MpiCommunicator::send(std::span<const std::byte> bytes, int to, int tag) {
    check_rank(to, true);
    deliver(false);
    if (bytes.size() <= eager_bytes) {
        if (spare_.empty()) {
            spare_.emplace_back();
        }
        pending_.splice(pending_.end(), spare_, spare_.begin());
        Pending& message = pending_.back();
        message.bytes.assign(bytes.begin(), bytes.end());
        TETHER_MPI_CHECK(MPI_Isend(message.bytes.data(), mpi_count(bytes.size()), MPI_BYTE, to, user_tag(tag),
                                   comm_.get(), &message.request));
        return;
    }
    std::array<MPI_Request, 1> request{MPI_REQUEST_NULL};
    TETHER_MPI_CHECK(MPI_Isend(bytes.data(), mpi_count(bytes.size()), MPI_BYTE, to, user_tag(tag),
                               comm_.get(), request.data()));
    mpi_wait(request, spin_);
}

bool MpiCommunicator::try_receive(int from, int tag, Bytes& into) {
    check_rank(from, true);
    deliver(false);
    int there = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    TETHER_MPI_CHECK(MPI_Improbe(from, user_tag(tag), comm_.get(), &there, &message, &status));
    if (there == 0) {
        return false;
    }
    int count = 0;
    TETHER_MPI_CHECK(MPI_Get_count(&status, MPI_BYTE, &count));
    into.resize(static_cast<std::size_t>(count));
    std::array<MPI_Request, 1> request{MPI_REQUEST_NULL};
    TETHER_MPI_CHECK(MPI_Imrecv(into.data(), count, MPI_BYTE, &message, request.data()));
    mpi_wait(request, spin_);
    return true;
}

Bytes MpiCommunicator::receive(int from, int tag) {
    Bytes bytes;
    Backoff backoff(spin_);
    while (!try_receive(from, tag, bytes)) {
        backoff.pause();
    }
    return bytes;
}

} // namespace tether::parallel
