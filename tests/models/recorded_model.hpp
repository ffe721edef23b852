// A model recorded for evaluation (no loss) or for training, with weights, run on particles.
#pragma once

#include "tests/ops/batches.hpp"
#include "tether/core/philox.hpp"
#include "tether/models/model.hpp"
#include "tether/ops/loss.hpp"
#include "tether/program/executor.hpp"
#include "tether/symmetry/rotation.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace tether::test {

using Rows = std::vector<double>; // row-major

// Rows of one batch: every field by name, and its graphs (one lane).
struct Particles {
    Batch batch;
    std::map<std::string, Rows> field;
};

// Edges between like charges are of kind 1, others of kind 2.
inline void derive_kind(Particles& p) {
    const BatchPart<double> part = make_part<double>(p.batch, 0, p.batch.lanes.size());
    Rows& kind = p.field["kind"];
    kind.clear();
    for (std::size_t e = 0; e < part.topology.sender.size(); ++e) {
        const Rows& charge = p.field.at("charge");
        kind.push_back(1.5 - 0.5 * charge[static_cast<std::size_t>(part.topology.sender[e])] *
                                 charge[static_cast<std::size_t>(part.topology.receiver[e])]);
    }
}

// y over its largest value in the batch.
inline void derive_height(Particles& p) {
    const Rows& position = p.field.at("position");
    double most = -1e300;
    for (std::size_t i = 1; i < position.size(); i += 3) {
        most = std::max(most, position[i]);
    }
    Rows& height = p.field["height"];
    height.clear();
    for (std::size_t i = 1; i < position.size(); i += 3) {
        height.push_back(position[i] / most);
    }
}

// Random positions, velocities, charges and species on the given graphs.
inline Particles random_particles(std::vector<Graph> graphs, std::uint64_t seed) {
    Particles p{{"particles", {std::move(graphs)}}, {}};
    RandomStream random(seed, Purpose::test);
    for (Index i = 0; i < p.batch.rows(Axis::node); ++i) {
        for (int c = 0; c < 3; ++c) {
            p.field["position"].push_back(random.normal());
            p.field["velocity"].push_back(0.5 * random.normal());
        }
        p.field["charge"].push_back(random.below(2) == 0 ? 1.0 : -1.0);
        const std::uint64_t species = random.below(5);
        for (std::uint64_t s = 0; s < 5; ++s) {
            p.field["feature"].push_back(s == species ? 1.0 : 0.0);
        }
    }
    derive_kind(p);
    derive_height(p);
    return p;
}

class RecordedModel {
public:
    // `gate`: what the sites have; trained gates start from `gamma`.
    RecordedModel(const models::Model& model, layers::Gate gate, double gamma = 1, std::uint64_t seed = 1)
        : target(model.target()) {
        Builder b(parameters, states);
        layers::Sites sites(model.sites(), {.gate = gate, .initial_gate = gamma});
        models::Recording r{b, sites};
        const Value prediction = model.record(r);
        b.output("prediction", prediction);
        extent = b.info(prediction).extent;
        columns = b.info(prediction).columns;
        recorded_sites = static_cast<Index>(sites.recorded().size());
        program = b.finish();
        weights.resize(static_cast<std::size_t>(parameters.size()));
        parameters.initialise<double>(seed, weights);
        states.initialise(state);
        // Vectors of power iterations start from iterations in a run; here any unit vectors do.
        for (const StateBuffer& s : states.all()) {
            for (Index k = 0; k < s.size && !s.spectral_weight.empty(); ++k) {
                state[static_cast<std::size_t>(s.offset + k)] = 1 / std::sqrt(static_cast<double>(s.size));
            }
        }
    }

    template <class T>
    [[nodiscard]] Rows run(const Particles& p) const {
        BatchPart<T> part = make_part<T>(p.batch, 0, p.batch.lanes.size());
        for (const std::string& name : program.fields) {
            const Rows& rows = p.field.at(name);
            part.field.emplace_back(rows.begin(), rows.end());
        }
        const std::vector<T> trained(weights.begin(), weights.end()), states_now(state.begin(), state.end());
        PackedWeights<T> packed(program);
        packed.renew(trained.data());
        HostExecutor<T> executor(program, Checking::debug);
        executor.run(part,
                     {.parameters = trained.data(), .state = states_now.data(), .packed = packed.data()});
        const auto values = executor.output("prediction");
        return {values.begin(), values.end()};
    }

    ParameterSet parameters;
    StateSet states;
    Program program;
    models::FieldInfo target;
    Extent extent;
    Index columns = 0;
    Index recorded_sites = 0;
    std::vector<double> weights, state;
};

// max |found - right| / max |right|.
inline double relative_error(const Rows& found, const Rows& right) {
    if (found.size() != right.size()) {
        return 1e300;
    }
    double difference = 0;
    double scale = 1e-300;
    for (std::size_t i = 0; i < right.size(); ++i) {
        difference = std::max(difference, std::abs(found[i] - right[i]));
        scale = std::max(scale, std::abs(right[i]));
    }
    return difference / scale;
}

// Rows of vectors turned (and reflected) by g, then moved.
inline Rows transformed(const Rows& rows, const symmetry::Matrix& g,
                        const symmetry::Vector3& shift = {0, 0, 0}) {
    Rows out(rows.size());
    for (std::size_t r = 0; r < rows.size(); r += 3) {
        for (std::size_t i = 0; i < 3; ++i) {
            out[r + i] = shift[i];
            for (std::size_t j = 0; j < 3; ++j) {
                out[r + i] += g(static_cast<Index>(i), static_cast<Index>(j)) * rows[r + j];
            }
        }
    }
    return out;
}

} // namespace tether::test
