// `rpp`, residual pathway priors (methods.md 4): gates of 1 and two Gaussian priors,
//   loss = J0 + kappa_eq |theta_eq|² + kappa_free |theta_free|²,
// biases excluded; parameters that the loss does not reach have no part. Free parameters start at
// free_scale of their usual scale. Keys: kappa_eq (1e-6), kappa_free (1e-2), free_scale (1e-3).
#include "tether/core/error.hpp"
#include "tether/kernels/prior.hpp"
#include "tether/methods/method.hpp"

#include <cmath>

namespace tether::methods {
namespace {

bool is_bias(const std::string& name) { return name.ends_with("bias") || name.ends_with("biases"); }

// Inputs: weights; outputs: their summed gradients, to which 2 kappa w is added, then sum of kappa w².
class Prior : public OpOf<Prior> {
public:
    explicit Prior(std::vector<double> kappa) : kappa_(std::move(kappa)) {}
    [[nodiscard]] std::string_view name() const override { return "gaussian_prior"; }
    template <class T>
    void execute(Run<T>& r) const {
        double loss = 0;
        for (std::size_t p = 0; p < kappa_.size(); ++p) {
            const int i = static_cast<int>(p);
            if (!r.has_out(i)) {
                continue;
            }
            const T factor = static_cast<T>(2 * kappa_[p]);
            const T* w = r.in(i);
            T* gradient = r.out(i);
            double square = 0;
            for (Index k = 0; k < r.in_columns(i); ++k) {
                gradient[k] += factor * w[k];
                square += static_cast<double>(w[k]) * static_cast<double>(w[k]);
            }
            loss += kappa_[p] * square;
        }
        if (const int last = static_cast<int>(kappa_.size()); r.has_out(last)) {
            r.out(last)[0] = static_cast<T>(loss);
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        std::vector<kernels::PriorPart<T>> parts;
        Index numbers = 0;
        for (std::size_t p = 0; p < kappa_.size(); ++p) {
            if (const int i = static_cast<int>(p); r.has_out(i)) {
                parts.push_back({numbers, r.in(i), r.out(i), kappa_[p]});
                numbers += r.in_columns(i);
            }
        }
        const auto count = static_cast<Index>(parts.size());
        const auto* table = r.memory->constants(std::span<const kernels::PriorPart<T>>(parts));
        r.list->each(numbers, kernels::PriorGradientNumbers<T>{table, count});
        if (const int last = static_cast<int>(kappa_.size()); r.has_out(last)) {
            // Every device does this by itself: pieces of the numbers side by side, in place of lanes.
            constexpr Index pieces = 64;
            std::vector<Index> begin;
            for (Index k = 0; k <= pieces; ++k) {
                begin.push_back(numbers * k / pieces);
            }
            r.template sum_over_lanes<1, double>(
                {r.memory->constants(std::span<const Index>(begin)), pieces, 1}, 1,
                kernels::PriorLeaf<T>{table, count}, kernels::PutRounded<T>{r.out(last)});
        }
    }

private:
    std::vector<double> kappa_;
};

class ResidualPathwayPrior : public Method {
public:
    ResidualPathwayPrior(const std::string& name, double kappa_eq, double kappa_free, double free_scale)
        : Method(name), kappa_eq_(kappa_eq), kappa_free_(kappa_free), free_scale_(free_scale) {
        for (const double x : {kappa_eq, kappa_free, free_scale}) {
            check(std::isfinite(x) && x >= 0, "method '{}': {}, expected 0 or more", name, x);
        }
    }
    [[nodiscard]] SitePolicy sites() const override {
        return {.gate = Gate::constant, .initial_gamma = 1, .free_scale = free_scale_};
    }
    [[nodiscard]] Needs needs() const override { return Needs::sites; }
    [[nodiscard]] Evaluation primary() const override { return Evaluation::relaxed; }

    void record(const TrainingProgram& program) const override {
        Builder& b = program.b;
        std::vector<double> kappa;
        std::vector<Value> weights;
        const std::vector<Parameter> all = b.parameters().all();
        for (const Parameter& p : all) {
            if (p.kind != ParameterKind::gate && !is_bias(p.name)) {
                kappa.push_back(p.kind == ParameterKind::free ? kappa_free_ : kappa_eq_);
                weights.push_back(b.parameter(p));
            }
        }
        const Value loss = b.later(1);
        b.output(std::string(added_loss) + "prior", loss);
        b.append_last(std::make_shared<Prior>(std::move(kappa)), weights, weights, {loss});
    }

private:
    double kappa_eq_, kappa_free_, free_scale_;
};

std::unique_ptr<Method> make_rpp(const MethodSettings& settings) {
    const auto real = [&](const char* key, double standard) {
        return settings.values.has(key) ? settings.values.real(key) : standard;
    };
    return std::make_unique<ResidualPathwayPrior>(settings.name, real("kappa_eq", 1e-6),
                                                  real("kappa_free", 1e-2), real("free_scale", 1e-3));
}

Key weight(const char* name, double standard, const char* meaning) {
    return {
        .name = name, .kind = Kind::real, .standard = standard, .meaning = meaning, .low = 0, .high = 1e6};
}

} // namespace

MethodEntry rpp_entry();
MethodEntry rpp_entry() {
    return {
        method_choice("rpp", "residual pathway prior: gates of 1, Gaussian priors on both branches",
                      {weight("kappa_eq", 1e-6, "prior of equivariant weights: kappa_eq |w|^2"),
                       weight("kappa_free", 1e-2, "prior of free weights: kappa_free |w|^2"),
                       weight("free_scale", 1e-3, "first free parameters as a multiple of the usual scale")}),
        make_rpp};
}

} // namespace tether::methods
