// `free`: branches with a constant gate, or with a gate trained without a constraint.
// Keys: gate_initial (1), gate_trained (false).
#include "tether/core/error.hpp"
#include "tether/methods/method.hpp"

#include <cmath>

namespace tether::methods {
namespace {

class Free : public Method {
public:
    Free(const std::string& name, double initial, bool trained)
        : Method(name), policy_{.gate = trained ? Gate::trained : Gate::constant, .initial_gamma = initial} {
        check(std::isfinite(initial), "method.gate_initial is {}, expected a number", initial);
    }
    [[nodiscard]] SitePolicy sites() const override { return policy_; }
    [[nodiscard]] Evaluation primary() const override { return Evaluation::relaxed; }

private:
    SitePolicy policy_;
};

std::unique_ptr<Method> make_free(const MethodSettings& settings) {
    const Settings& values = settings.values;
    return std::make_unique<Free>(settings.name,
                                  values.has("gate_initial") ? values.real("gate_initial") : 1.0,
                                  values.has("gate_trained") && values.boolean("gate_trained"));
}

} // namespace

MethodEntry free_entry();
MethodEntry free_entry() {
    return {method_choice("free", "free branches with gates of 1 and no constraint",
                          {gate_initial_key(),
                           {.name = "gate_trained",
                            .kind = Kind::boolean,
                            .standard = false,
                            .meaning = "train the gates, still without a constraint"}}),
            make_free};
}

} // namespace tether::methods
