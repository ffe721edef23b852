// The ledger of a sweep for people and for scripts.
#pragma once

#include "tether/run/sweep_ledger.hpp"

#include <string>
#include <vector>

namespace tether::cli {

// "12 runs: 3 complete, 2 running, 7 waiting"
[[nodiscard]] std::string ledger_summary(const std::vector<run::LedgerRow>& rows);
[[nodiscard]] std::string ledger_table(const std::vector<run::LedgerRow>& rows);
[[nodiscard]] std::string ledger_json(const run::Manifest& manifest, const std::vector<run::LedgerRow>& rows);
// Expected cost of what is left, on one thread; "" where nothing was measured.
[[nodiscard]] std::string cost_left(const std::vector<run::LedgerRow>& rows);

// The live table of `sweep run`: drawn over itself on a terminal; elsewhere one line for each event and
// the summary once a minute.
class LiveTable {
public:
    LiveTable();
    void show(const std::vector<run::LedgerRow>& rows, const std::string& event);

private:
    bool terminal_;
    int lines_ = 0;
    double said_ = 0;
};

} // namespace tether::cli
