#include "tether/run/draws.hpp"

#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"
#include "tether/methods/drawn.hpp"
#include "tether/symmetry/wigner.hpp"

#include <algorithm>
#include <string>

namespace tether::run {
namespace {

bool is_drawn(const std::string& field) { return field.starts_with(methods::drawn_prefix); }

Index rows_of(const data::GraphSet& set, Index sample, Extent extent) {
    const Index rows = extent.axis == Axis::graph  ? 1
                       : extent.axis == Axis::node ? set.nodes(sample)
                                                   : set.edges(sample);
    return rows * extent.times;
}

} // namespace

Draws::Draws(const Program& program, std::uint64_t seed) : seed_(seed) {
    for (const ValueInfo& v : program.values) {
        if (v.kind != ValueKind::input || !is_drawn(v.name)) {
            continue;
        }
        const auto field = static_cast<std::size_t>(v.offset);
        const std::string what = v.name.substr(std::string(methods::drawn_prefix).size());
        if (what.starts_with("turn")) {
            turns_.push_back({field, std::stoi(what.substr(4))});
        } else {
            check(what.starts_with("rows"), "nobody draws the field {}", v.name);
            rows_.push_back({.field = field, .extent = v.extent});
        }
    }
}

template <class Visit>
void Draws::keys_of(Index sample, Index rows, Visit&& visit) const {
    RandomStream stream(seed_, Purpose::method_rows, static_cast<std::uint64_t>(step_),
                        static_cast<std::uint64_t>(sample));
    for (Index row = 0; row < rows; ++row) {
        visit(Key{stream.next(), sample, row});
    }
}

void Draws::begin(const data::GraphSet& set, std::span<const Index> samples, Index step) {
    step_ = step;
    group_ = set.group.proper();
    for (Rows& r : rows_) {
        Index total = 0;
        for (const Index sample : samples) {
            total += rows_of(set, sample, r.extent);
        }
        r.all = total <= methods::drawn_rows_most;
        r.weight = 1 / static_cast<double>(std::max<Index>(1, std::min(total, methods::drawn_rows_most)));
        if (!r.all) {
            keys_.clear();
            for (const Index sample : samples) {
                keys_of(sample, rows_of(set, sample, r.extent),
                        [&](const Key& key) { keys_.push_back(key); });
            }
            const auto last = keys_.begin() + methods::drawn_rows_most - 1;
            std::ranges::nth_element(keys_, last);
            r.last = *last;
        }
    }
}

template <class T>
void Draws::fill(BatchPart<T>& part) const {
    for (const Turn& turn : turns_) {
        std::vector<T>& to = part.field[turn.field];
        to.clear();
        for (const Index sample : part.sample) {
            RandomStream stream(seed_, Purpose::method, static_cast<std::uint64_t>(step_),
                                static_cast<std::uint64_t>(sample));
            const symmetry::Quaternion rotation = group_.random(stream).rotation;
            const auto add = [&to](double x) { to.push_back(static_cast<T>(x)); };
            if (turn.l == 1) { // nearly always: a step allocates nothing
                for (const symmetry::Vector3& row : symmetry::rotation_rows(rotation)) {
                    std::ranges::for_each(row, add);
                }
            } else {
                std::ranges::for_each(symmetry::wigner_d(turn.l, rotation).values, add);
            }
        }
    }
    for (const Rows& r : rows_) {
        std::vector<T>& to = part.field[r.field];
        to.clear();
        const auto rows = part.rows(r.extent);
        if (r.all) {
            to.assign(static_cast<std::size_t>(rows), static_cast<T>(r.weight));
            continue;
        }
        for (std::size_t g = 0; g < part.sample.size(); ++g) {
            Index count = 1;
            if (r.extent.axis != Axis::graph) {
                const std::vector<std::int32_t>& begin = part.topology.node_begin;
                Index first = begin[g];
                Index last = begin[g + 1];
                if (r.extent.axis == Axis::edge) { // edges are sorted by receiver
                    first = part.topology.receiver_begin[static_cast<std::size_t>(first)];
                    last = part.topology.receiver_begin[static_cast<std::size_t>(last)];
                }
                count = last - first;
            }
            keys_of(part.sample[g], count * r.extent.times,
                    [&](const Key& key) { to.push_back(key <= r.last ? static_cast<T>(r.weight) : T(0)); });
        }
    }
}

template void Draws::fill<float>(BatchPart<float>&) const;
template void Draws::fill<double>(BatchPart<double>&) const;

} // namespace tether::run
