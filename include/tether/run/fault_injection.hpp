// Faults on demand, so that the way out of each of them is tested as hard as the normal way: the
// environment variable TETHER_FAULT = "KIND:RANK:STEP" strikes one rank before it computes that step.
//   kill, segv, abort   the process ends by that signal       exit   it leaves with code 7
//   throw               an exception of no known kind         hang   it sleeps for ever
//   nan, inf, huge      a parameter gets that value           flip   one bit of a parameter flips
// Unset (always, but in tests) it costs one comparison a step.
#pragma once

#include "tether/core/types.hpp"

#include <optional>
#include <span>
#include <string>

namespace tether::run {

class FaultInjection {
public:
    // Throws Error(usage) for a text that is no fault.
    explicit FaultInjection(const char* text);
    [[nodiscard]] static FaultInjection from_environment();

    [[nodiscard]] bool due(int rank, Index step) const { return step == step_ && rank == rank_; }
    template <class T>
    void strike(std::span<T> parameters) const {
        end_process();
        for (T& value : parameters.first(parameters.empty() ? 0 : 1)) {
            spoil(value);
        }
    }

private:
    void end_process() const;
    void spoil(float& value) const;
    void spoil(double& value) const;
    std::string kind_;
    int rank_ = -1;
    Index step_ = -1;
};

} // namespace tether::run
