// The way between rank 0 of the workers and the coordinator (design 6). The coordinator's role is
// an object of the run; it lives, from its making to its destruction, in one thread of its own (so
// HDF5 has one caller and MPI none there), in the process of rank 0 (`shared`) or on an extra rank
// that has no lanes (`dedicated`: the last of workers + 1).
//
// Protocol: per step rank 0 posts one report and takes the answer to an earlier one:
//     step t:  forward, backward, reduce | post(report t) | wait() -> answer to report t-1 | update
// An answer has one whole step of time, so role, logging and checkpoint writing are hidden behind
// forward and backward. Reports and blobs are worked on in the order in which they were posted.
// post() copies and returns; it would wait only with 64 messages unanswered, which one wait() per
// post() rules out. What the role throws is thrown again, with its exit code, by the next call.
#pragma once

#include "tether/parallel/communicator.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tether::parallel {

class CoordinatorRole {
public:
    virtual ~CoordinatorRole() = default;
    // The numbers stay the role's; they are copied before the next call.
    virtual const std::vector<double>& answer(std::span<const double> report) = 0;
    virtual void blob(const std::string& kind, std::vector<std::byte> bytes) = 0;
    virtual void finish() = 0; // the last call of a run that ended well
};

using CoordinatorFactory = std::function<std::unique_ptr<CoordinatorRole>()>;

// Rank 0's end. Used by one thread.
class CoordinatorLink {
public:
    virtual ~CoordinatorLink() = default; // without finish(): the role is dropped unfinished
    virtual void post(std::span<const double> report) = 0;
    // The answer to the oldest report not yet waited for; valid until the next wait().
    [[nodiscard]] virtual const std::vector<double>& wait() = 0;
    virtual void post_blob(const std::string& kind, std::vector<std::byte> bytes) = 0;
    virtual void finish() = 0; // waits until the role has worked through everything and finished
};

enum class CoordinatorPlace { shared, dedicated };

// Who does what in the world. Exactly one of `workers` and `serve` is what this rank has to do.
struct Cast {
    std::unique_ptr<Communicator> workers; // null on the dedicated coordinator's rank
    std::unique_ptr<Communicator> channel; // rank 0 of the workers and the dedicated coordinator
    [[nodiscard]] bool is_coordinator() const noexcept { return workers == nullptr; }
};

// Collective over the world. dedicated needs at least two ranks: Error(usage).
[[nodiscard]] Cast assign_roles(Communicator& world, CoordinatorPlace place);

// On rank 0 of the workers. Waits until the role is made; an error in making it is thrown here. The
// factory is called in the coordinator's process: here for `shared`, else in serve_coordinator.
[[nodiscard]] std::unique_ptr<CoordinatorLink> connect_coordinator(Cast& cast, CoordinatorPlace place,
                                                                   CoordinatorFactory factory);

// The whole life of the dedicated coordinator's rank. Returns when rank 0 has finished; throws what
// the role threw after rank 0 was told.
void serve_coordinator(Cast& cast, CoordinatorFactory factory);

} // namespace tether::parallel
