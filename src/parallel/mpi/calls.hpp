// MPI as this folder uses it: results checked by one macro, waiting that gives way to others, and
// the process-wide session. MPI is called by the main thread only (MPI_THREAD_FUNNELED).
#pragma once

#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include "src/parallel/launch.hpp"

#include <cstddef>
#include <memory>
#include <span>

namespace tether::parallel {

[[noreturn]] void mpi_failed(const char* call, int result);

#define TETHER_MPI_CHECK(call)                                                                               \
    do {                                                                                                     \
        if (const int tether_mpi_result = (call); tether_mpi_result != MPI_SUCCESS) {                        \
            ::tether::parallel::mpi_failed(#call, tether_mpi_result);                                        \
        }                                                                                                    \
    } while (false)

// MPI_Init and MPI_Finalize. Shared by all communicators; the last one ends it. When an exception
// is on its way out, the other ranks will not come to MPI_Finalize: the job is aborted instead.
class MpiSession {
public:
    explicit MpiSession(const Launch& launch);
    ~MpiSession();
    MpiSession(const MpiSession&) = delete;
    MpiSession& operator=(const MpiSession&) = delete;
    [[nodiscard]] int ranks_per_node() const noexcept { return ranks_per_node_; }

private:
    bool ours_ = false;
    int ranks_per_node_ = 0;
};

// Waits for requests, giving way to other processes; `spin`: there is a core for every rank.
void mpi_wait(std::span<MPI_Request> requests, bool spin);

// Sends to one rank and receives from another (possibly the same) at the same time.
void mpi_exchange(MPI_Comm comm, int to, const void* give, std::size_t give_bytes, int from, void* take,
                  std::size_t take_bytes, int tag, bool spin);

[[nodiscard]] int mpi_count(std::size_t n); // Error(usage) above what an MPI call can express

// An owned communicator; null or freed by its destructor (collective) unless an exception is going.
class MpiComm {
public:
    MpiComm() = default;
    explicit MpiComm(MPI_Comm comm) : comm_(comm) {}
    MpiComm(MpiComm&& other) noexcept : comm_(other.comm_) { other.comm_ = MPI_COMM_NULL; }
    MpiComm& operator=(MpiComm&& other) noexcept;
    MpiComm(const MpiComm&) = delete;
    MpiComm& operator=(const MpiComm&) = delete;
    ~MpiComm();
    [[nodiscard]] MPI_Comm get() const noexcept { return comm_; }
    [[nodiscard]] int rank() const;
    [[nodiscard]] int size() const;
    [[nodiscard]] MpiComm split(int color, int key) const; // color < 0: null
    [[nodiscard]] MpiComm split_by_node() const;

private:
    MPI_Comm comm_ = MPI_COMM_NULL;
};

} // namespace tether::parallel
