// The ledger of a sweep: what is the state of every run, and which are due? The truth is in the run
// folders (run file, lease); what they cannot say, that an attempt failed and why, is in
// DIR/attempts/ID.jsonl, one line for each event, appended in one write. A line cut off by a kill is
// passed over. Nothing here needs Slurm's accounting.
#pragma once

#include "tether/run/sweep_manifest.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace tether::run {

enum class SweepState { waiting, queued, running, stopped, interrupted, failed, complete };
[[nodiscard]] std::string_view state_name(SweepState state);
inline constexpr int sweep_states = 7;

struct LedgerRow {
    const PlannedRun* run = nullptr;
    SweepState state = SweepState::waiting;
    Index step = 0, steps = 0; // steps 0: not known
    double best = 0;           // projected test error of the best checkpoint; NaN: none yet
    int attempts = 0;          // begun so far
    int failures = 0;          // since the last `retry`
    int code = 0;              // of the last attempt that ended
    std::string message;       // its last error
    std::string holder;        // who writes it now
    // To be run now: waiting, stopped, or interrupted with attempts left.
    [[nodiscard]] bool due() const {
        return state == SweepState::waiting || state == SweepState::stopped ||
               state == SweepState::interrupted;
    }
};

// 75 and 0 are no failures; 2, 3 and 12 would come again; others are worth another attempt.
[[nodiscard]] bool is_failure(int code);
[[nodiscard]] bool comes_again(int code);
[[nodiscard]] std::string code_meaning(int code); // "numbers (NaN, divergence)"

class Ledger {
public:
    explicit Ledger(const Manifest& manifest) : manifest_(manifest) {}

    // `queued`: ids of runs that Slurm holds (pending or started).
    [[nodiscard]] LedgerRow row(const PlannedRun& run, const std::set<std::string>& queued = {}) const;
    [[nodiscard]] std::vector<LedgerRow> rows(const std::set<std::string>& queued = {}) const;

    void record_begin(const PlannedRun& run, const std::string& by) const;
    // The message is read from the attempt's log, which begins at byte `from`. False where the attempt did
    // nothing because another process works on the run (train says so by exit code 2): no failure.
    bool record_end(const PlannedRun& run, int code, const std::string& log_file, long long from) const;
    void record_retry(const PlannedRun& run) const; // forgets failures

private:
    void append(const PlannedRun& run, const std::string& line) const;
    const Manifest& manifest_;
};

// The last line of a log, from a byte on, that starts with "error: ", without that; "" where there is none.
[[nodiscard]] std::string last_error(const std::string& log_file, long long from);

} // namespace tether::run
