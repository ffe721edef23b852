// The lease on a run folder: one process at a time writes there (HDF5's locks are not enough, and
// Slurm can start one job twice). The file `lease` is made with O_EXCL and names host, process,
// job and time of last heartbeat. A holder that is dead on this machine is succeeded at once; one
// elsewhere when its heartbeat has not changed for the expiry time. A second process ends with exit
// code 2: nothing is wrong with the storage, and 2 is never requeued, so that a copy of a job that
// Slurm started twice cannot requeue, and thereby end, the copy that works.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace tether::run {

struct LeaseHolder {
    std::string host;
    std::string boot; // identifies host's current boot and the process name space
    long pid = 0;
    long long process_start = 0;                // clock ticks since boot: a reused pid has another one
    std::string job;                            // "SLURM_JOB_ID.SLURM_RESTART_COUNT", or empty
    std::string token;                          // of this acquisition
    long long heartbeat = 0;                    // counts up while the holder lives
    [[nodiscard]] std::string describe() const; // "process 123 on host node7 (job 42.0)"
};

struct LeaseTimes {
    std::chrono::milliseconds beat{10'000};
    std::chrono::milliseconds expiry{45'000};
    std::chrono::milliseconds unreadable{2'000}; // how long a lease may stay half-written
};

class Lease {
public:
    // Takes the lease of a folder or throws Error(usage) that names the holder. Waits, at most for
    // the expiry time, only for a holder on another machine whose heartbeat does not change.
    explicit Lease(const std::string& folder, LeaseTimes times = {});
    ~Lease(); // gives it back
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    // True when somebody else has taken over (this process was stopped for longer than the expiry
    // time): it must not write any more.
    [[nodiscard]] bool lost() const noexcept { return lost_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    void take_or_throw();
    [[nodiscard]] bool create(); // O_EXCL; false where there is one
    void replace();              // over a stale one
    void beat();
    std::string folder_;
    std::string path_;
    LeaseTimes times_;
    LeaseHolder self_;
    std::atomic<bool> lost_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stop_ = false;
    std::thread thread_; // heartbeat
};

// Who holds a folder's lease by what its file says; nothing where there is no readable one.
[[nodiscard]] std::optional<LeaseHolder> read_lease(const std::string& folder);

enum class Liveness { alive, dead, elsewhere }; // elsewhere: cannot be told from this machine
[[nodiscard]] Liveness liveness(const LeaseHolder& holder);
// What `status` needs: alive here, or elsewhere with a heartbeat younger than the expiry time.
[[nodiscard]] bool lease_is_live(const std::string& folder, LeaseTimes times = {});

} // namespace tether::run
