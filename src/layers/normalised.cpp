#include "tether/layers/normalised.hpp"

#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"
#include "tether/layers/linear.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/norms.hpp"

#include <cmath>

namespace tether::layers {

Value batch_norm(Builder& b, const std::string& name, Value x, ParameterKind kind, bool training) {
    const Index columns = b.info(x).columns;
    const Value weight = b.parameter(
        {.name = name + ".weight", .shape = {columns}, .kind = kind, .initial = Initial::constant(1)});
    const Value bias = b.parameter(
        {.name = name + ".bias", .shape = {columns}, .kind = kind, .initial = Initial::constant(0)});
    const ops::BatchNormState state{
        b.state({.name = name + ".running_mean", .shape = {columns}, .initial = 0}),
        b.state({.name = name + ".running_var", .shape = {columns}, .initial = 1}),
        b.state({.name = name + ".num_batches_tracked", .shape = {}, .initial = 0})};
    return ops::batch_norm(b, x, weight, bias, state, {.training = training});
}

Value spectral_linear(Builder& b, const std::string& name, Value x, Index out, ParameterKind kind,
                      bool training) {
    constexpr int iterations = 5;
    const Index in = b.info(x).columns;
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    const std::string parametrization = name + ".parametrizations.weight.";
    const Value weight = b.parameter({.name = parametrization + "original",
                                      .shape = {out, in},
                                      .kind = kind,
                                      .initial = Initial::uniform(bound)});
    const Value bias = b.parameter(
        {.name = name + ".bias", .shape = {out}, .kind = kind, .initial = Initial::uniform(bound)});
    const std::string original = parametrization + "original";
    const Value u = b.state({.name = parametrization + "0._u",
                             .shape = {out},
                             .spectral_weight = original,
                             .spectral_left = true});
    const Value v = b.state({.name = parametrization + "0._v", .shape = {in}, .spectral_weight = original});
    const Value y = ops::linear(b, {x}, weight, out);
    return ops::add_bias(
        b, ops::divide_by_spectral_norm(b, y, weight, u, v, out, in, training ? iterations : 0), bias);
}

template <class T>
void initialise_spectral(const ParameterSet& parameters, const StateSet& states, std::uint64_t seed,
                         const std::vector<T>& flat, std::vector<T>& state) {
    for (const StateBuffer& left : states.all()) {
        if (left.spectral_weight.empty() || !left.spectral_left) {
            continue;
        }
        for (const StateBuffer& right : states.all()) {
            if (right.spectral_weight != left.spectral_weight || right.spectral_left) {
                continue;
            }
            const Parameter& p = parameters.at(parameters.find(left.spectral_weight));
            const auto rows = static_cast<std::size_t>(left.size);
            const auto columns = static_cast<std::size_t>(right.size);
            std::vector<double> u(rows), v(columns);
            RandomStream random(seed, Purpose::initialisation, static_cast<std::uint64_t>(left.offset), 1);
            for (double& x : u) {
                x = random.normal();
            }
            const auto w = [&](std::size_t i, std::size_t j) {
                return static_cast<double>(flat[static_cast<std::size_t>(p.offset) + i * columns + j]);
            };
            const auto unit = [](std::vector<double>& x) {
                double square = 0;
                for (const double e : x) {
                    square += e * e;
                }
                for (double& e : x) {
                    e /= std::max(std::sqrt(square), 1e-12);
                }
            };
            for (int k = 0; k < 15; ++k) {
                for (std::size_t j = 0; j < columns; ++j) {
                    v[j] = 0;
                    for (std::size_t i = 0; i < rows; ++i) {
                        v[j] += w(i, j) * u[i];
                    }
                }
                unit(v);
                for (std::size_t i = 0; i < rows; ++i) {
                    u[i] = 0;
                    for (std::size_t j = 0; j < columns; ++j) {
                        u[i] += w(i, j) * v[j];
                    }
                }
                unit(u);
            }
            for (std::size_t i = 0; i < rows; ++i) {
                state[static_cast<std::size_t>(left.offset) + i] = static_cast<T>(u[i]);
            }
            for (std::size_t j = 0; j < columns; ++j) {
                state[static_cast<std::size_t>(right.offset) + j] = static_cast<T>(v[j]);
            }
        }
    }
}

template void initialise_spectral<float>(const ParameterSet&, const StateSet&, std::uint64_t,
                                         const std::vector<float>&, std::vector<float>&);
template void initialise_spectral<double>(const ParameterSet&, const StateSet&, std::uint64_t,
                                          const std::vector<double>&, std::vector<double>&);

} // namespace tether::layers
