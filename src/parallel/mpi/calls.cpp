#include "src/parallel/mpi/calls.hpp"

#include "src/parallel/wait_word.hpp"
#include "tether/core/error.hpp"

#include <array>
#include <climits>
#include <exception>
#include <string>
#include <utility>

namespace tether::parallel {

void mpi_failed(const char* call, int result) {
    std::array<char, MPI_MAX_ERROR_STRING + 1> text{};
    int length = 0;
    if (MPI_Error_string(result, text.data(), &length) != MPI_SUCCESS) {
        length = 0;
    }
    fail(ExitCode::peer, "MPI: {} failed: {} (code {})", call,
         length > 0 ? std::string(text.data(), static_cast<std::size_t>(length)) : "unknown error", result);
}

MpiSession::MpiSession(const Launch& launch) : ranks_per_node_(launch.ranks_per_node) {
    int done = 0;
    TETHER_MPI_CHECK(MPI_Finalized(&done));
    check(done == 0, "MPI was already ended in this process; it cannot be started again");
    TETHER_MPI_CHECK(MPI_Initialized(&done));
    int provided = 0;
    if (done == 0) {
        TETHER_MPI_CHECK(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided));
        ours_ = true;
    } else {
        TETHER_MPI_CHECK(MPI_Query_thread(&provided)); // started by the program that uses this library
    }
    TETHER_MPI_CHECK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    check(provided >= MPI_THREAD_FUNNELED, "MPI: thread support level {}, expected at least funneled ({})",
          provided, static_cast<int>(MPI_THREAD_FUNNELED));
}

MpiSession::~MpiSession() {
    int done = 0;
    if (!ours_ || MPI_Finalized(&done) != MPI_SUCCESS || done != 0) {
        return;
    }
    int size = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (std::uncaught_exceptions() > 0 && size > 1) {
        MPI_Abort(MPI_COMM_WORLD, static_cast<int>(ExitCode::peer));
    }
    MPI_Finalize();
}

void mpi_wait(std::span<MPI_Request> requests, bool spin) {
    Backoff backoff(spin);
    for (;;) {
        int done = 0;
        TETHER_MPI_CHECK(
            MPI_Testall(mpi_count(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE));
        if (done != 0) {
            return;
        }
        backoff.pause();
    }
}

void mpi_exchange(MPI_Comm comm, int to, const void* give, std::size_t give_bytes, int from, void* take,
                  std::size_t take_bytes, int tag, bool spin) {
    std::array<MPI_Request, 2> requests{MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    TETHER_MPI_CHECK(MPI_Irecv(take, mpi_count(take_bytes), MPI_BYTE, from, tag, comm, &requests[0]));
    TETHER_MPI_CHECK(MPI_Isend(give, mpi_count(give_bytes), MPI_BYTE, to, tag, comm, &requests[1]));
    mpi_wait(requests, spin);
}

int mpi_count(std::size_t n) {
    check(n <= static_cast<std::size_t>(INT_MAX), "MPI: {} bytes in one message, expected less than 2 GiB",
          n);
    return static_cast<int>(n);
}

MpiComm& MpiComm::operator=(MpiComm&& other) noexcept {
    std::swap(comm_, other.comm_);
    return *this;
}

MpiComm::~MpiComm() {
    if (comm_ != MPI_COMM_NULL && std::uncaught_exceptions() == 0) {
        MPI_Comm_free(&comm_);
    }
}

int MpiComm::rank() const {
    int value = 0;
    TETHER_MPI_CHECK(MPI_Comm_rank(comm_, &value));
    return value;
}

int MpiComm::size() const {
    int value = 0;
    TETHER_MPI_CHECK(MPI_Comm_size(comm_, &value));
    return value;
}

MpiComm MpiComm::split(int color, int key) const {
    MPI_Comm made = MPI_COMM_NULL;
    TETHER_MPI_CHECK(MPI_Comm_split(comm_, color < 0 ? MPI_UNDEFINED : color, key, &made));
    return MpiComm(made);
}

MpiComm MpiComm::split_by_node() const {
    MPI_Comm made = MPI_COMM_NULL;
    TETHER_MPI_CHECK(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank(), MPI_INFO_NULL, &made));
    return MpiComm(made);
}

} // namespace tether::parallel
