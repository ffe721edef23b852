// All trainable numbers of a model as views into one flat vector, so that the optimiser, the norm
// and the reduction between ranks are one call each. Names are those of the published
// implementations; a layout says how the numbers lie inside compared with the published order.
#pragma once

#include "tether/core/types.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tether {

enum class ParameterKind : std::uint8_t {
    equivariant, // part of the exactly equivariant network
    free,        // part of a free branch
    gate         // gamma of a site
};

// How a parameter starts: uniform(-scale, scale), uniform(0, scale), normal(0, scale), or the constant
// `scale`.
struct Initial {
    enum class Law : std::uint8_t { uniform, positive, normal, constant } law = Law::constant;
    double scale = 0;
    // Overrides `scale` piece by piece: {number of elements (published order), scale}, in order.
    std::vector<std::pair<Index, double>> pieces = {};
    static Initial uniform(double bound) { return {Law::uniform, bound, {}}; }
    static Initial positive(double bound) { return {Law::positive, bound, {}}; }
    static Initial normal(double deviation) { return {Law::normal, deviation, {}}; }
    static Initial constant(double value) { return {Law::constant, value, {}}; }
};

struct Parameter {
    std::string name;
    std::vector<Index> shape; // published shape; {} for a scalar
    ParameterKind kind = ParameterKind::equivariant;
    Initial initial;
    Index offset = 0; // in the flat vector
    Index size = 1;   // number of elements
    std::vector<Index> published =
        {}; // element k inside is element published[k] of the published array; empty: same order
};

// Numbers by a law: a pure function of (seed, name).
void draw(const Initial& law, std::uint64_t seed, const std::string& name, std::span<double> to);

class ParameterSet {
public:
    // Adds a parameter, or returns the one of this name after checking that it has the same shape:
    // the programs of one model (training, projected, relaxed) share their parameters by name.
    int require(Parameter parameter);

    [[nodiscard]] const std::vector<Parameter>& all() const { return parameters_; }
    [[nodiscard]] const Parameter& at(int number) const {
        return parameters_[static_cast<std::size_t>(number)];
    }
    [[nodiscard]] int find(const std::string& name) const; // -1 when absent
    [[nodiscard]] Index size() const { return size_; }     // elements of the flat vector
    [[nodiscard]] Index count(ParameterKind kind) const;   // elements of a kind

    // Multiplies the initial scale of all parameters of a kind.
    void scale_initial(ParameterKind kind, double factor);

    // Initial values. A pure function of (seed, name): a network with free branches starts from the
    // same equivariant weights as the one without.
    template <class T>
    void initialise(std::uint64_t seed, std::span<T> flat) const;

    // Between the flat vector and one published array.
    template <class T>
    [[nodiscard]] std::vector<double> to_published(int number, std::span<const T> flat) const;
    template <class T>
    void from_published(int number, std::span<const double> values, std::span<T> flat) const;

private:
    std::vector<Parameter> parameters_;
    std::map<std::string, int> by_name_;
    Index size_ = 0;
};

} // namespace tether
