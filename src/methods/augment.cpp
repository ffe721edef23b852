// `augment`: branches with gates of 1; symmetry is learned from inputs and targets turned at random.
#include "tether/methods/method.hpp"

namespace tether::methods {
namespace {

class Augment : public Method {
public:
    explicit Augment(const std::string& name) : Method(name) {}
    [[nodiscard]] SitePolicy sites() const override { return {.gate = Gate::constant, .initial_gamma = 1}; }
    [[nodiscard]] Evaluation primary() const override { return Evaluation::relaxed; }
    [[nodiscard]] Tasks tasks() const override { return {.plain = false, .turned = true}; }
};

std::unique_ptr<Method> make_augment(const MethodSettings& settings) {
    return std::make_unique<Augment>(settings.name);
}

} // namespace

MethodEntry augment_entry();
MethodEntry augment_entry() {
    return {method_choice("augment", "as free, inputs and targets of every sample rotated at random"),
            make_augment};
}

} // namespace tether::methods
