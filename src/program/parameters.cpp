#include "tether/program/parameters.hpp"

#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace tether {
namespace {

std::uint64_t name_key(const std::string& name) { // FNV-1a, 40 bits are used by the stream
    std::uint64_t hash = 14695981039346656037ULL;
    for (const char c : name) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    }
    return hash & 0xFFFFFFFFFFULL;
}

} // namespace

void draw(const Initial& law, std::uint64_t seed, const std::string& name, std::span<double> to) {
    RandomStream random(seed, Purpose::initialisation, name_key(name));
    const auto size = static_cast<Index>(to.size());
    std::size_t piece = 0;
    Index piece_end = law.pieces.empty() ? size : law.pieces.front().first;
    for (Index k = 0; k < size; ++k) {
        while (!law.pieces.empty() && k >= piece_end && piece + 1 < law.pieces.size()) {
            piece_end += law.pieces[++piece].first;
        }
        double value = law.pieces.empty() ? law.scale : law.pieces[piece].second;
        if (law.law == Initial::Law::uniform) {
            value *= 2 * random.uniform() - 1;
        } else if (law.law == Initial::Law::positive) {
            value *= random.uniform();
        } else if (law.law == Initial::Law::normal) {
            value *= random.normal();
        }
        to[static_cast<std::size_t>(k)] = value;
    }
}

int ParameterSet::require(Parameter parameter) {
    if (const int known = find(parameter.name); known >= 0) {
        check(at(known).shape == parameter.shape && at(known).published == parameter.published,
              "parameter {} is declared twice with different shapes: {} and {}", parameter.name,
              at(known).shape, parameter.shape);
        return known;
    }
    parameter.size =
        std::accumulate(parameter.shape.begin(), parameter.shape.end(), Index{1}, std::multiplies<Index>());
    check(parameter.published.empty() || static_cast<Index>(parameter.published.size()) == parameter.size,
          "parameter {}: layout of {} elements for {} values", parameter.name, parameter.published.size(),
          parameter.size);
    parameter.offset = size_;
    size_ += parameter.size;
    const int number = static_cast<int>(parameters_.size());
    by_name_.emplace(parameter.name, number);
    parameters_.push_back(std::move(parameter));
    return number;
}

int ParameterSet::find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? -1 : found->second;
}

Index ParameterSet::count(ParameterKind kind) const {
    Index total = 0;
    for (const Parameter& p : parameters_) {
        total += p.kind == kind ? p.size : 0;
    }
    return total;
}

void ParameterSet::scale_initial(ParameterKind kind, double factor) {
    for (Parameter& p : parameters_) {
        if (p.kind == kind) {
            p.initial.scale *= factor;
            for (auto& [count, scale] : p.initial.pieces) {
                scale *= factor;
            }
        }
    }
}

template <class T>
void ParameterSet::initialise(std::uint64_t seed, std::span<T> flat) const {
    std::vector<double> values;
    for (const Parameter& p : parameters_) {
        values.resize(static_cast<std::size_t>(p.size));
        draw(p.initial, seed, p.name, values);
        std::ranges::transform(values, flat.begin() + p.offset, [](double x) { return static_cast<T>(x); });
    }
}

template <class T>
std::vector<double> ParameterSet::to_published(int number, std::span<const T> flat) const {
    const Parameter& p = at(number);
    std::vector<double> values(static_cast<std::size_t>(p.size));
    for (Index k = 0; k < p.size; ++k) {
        const Index to = p.published.empty() ? k : p.published[static_cast<std::size_t>(k)];
        values[static_cast<std::size_t>(to)] =
            static_cast<double>(flat[static_cast<std::size_t>(p.offset + k)]);
    }
    return values;
}

template <class T>
void ParameterSet::from_published(int number, std::span<const double> values, std::span<T> flat) const {
    const Parameter& p = at(number);
    check(static_cast<Index>(values.size()) == p.size, ExitCode::data, "parameter {}: {} values for shape {}",
          p.name, values.size(), p.shape);
    for (Index k = 0; k < p.size; ++k) {
        const Index from = p.published.empty() ? k : p.published[static_cast<std::size_t>(k)];
        flat[static_cast<std::size_t>(p.offset + k)] = static_cast<T>(values[static_cast<std::size_t>(from)]);
    }
}

template void ParameterSet::initialise<float>(std::uint64_t, std::span<float>) const;
template void ParameterSet::initialise<double>(std::uint64_t, std::span<double>) const;
template std::vector<double> ParameterSet::to_published<float>(int, std::span<const float>) const;
template std::vector<double> ParameterSet::to_published<double>(int, std::span<const double>) const;
template void ParameterSet::from_published<float>(int, std::span<const double>, std::span<float>) const;
template void ParameterSet::from_published<double>(int, std::span<const double>, std::span<double>) const;

} // namespace tether
