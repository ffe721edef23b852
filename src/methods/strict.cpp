// `strict`: the exactly equivariant network; branches do not exist.
#include "tether/methods/method.hpp"

namespace tether::methods {
namespace {

class Strict : public Method {
public:
    explicit Strict(const std::string& name) : Method(name) {}
    [[nodiscard]] SitePolicy sites() const override { return {.gate = Gate::absent, .initial_gamma = 0}; }
    [[nodiscard]] Needs needs() const override { return Needs::sites; }
    [[nodiscard]] Evaluation primary() const override { return Evaluation::projected; }
};

std::unique_ptr<Method> make_strict(const MethodSettings& settings) {
    return std::make_unique<Strict>(settings.name);
}

} // namespace

MethodEntry strict_entry();
MethodEntry strict_entry() {
    return {method_choice("strict", "exactly equivariant network, no free branches"), make_strict};
}

} // namespace tether::methods
