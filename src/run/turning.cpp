#include "tether/run/turning.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <array>

namespace tether::run {

bool is_vector_field(const std::string& name, Index width) {
    // Widths alone do not tell: three scalars are no vector.
    static const std::vector<std::string> vectors{"position", "velocity", "target", "position_later"};
    return width % 3 == 0 && std::ranges::find(vectors, name) != vectors.end();
}

std::string group_text(const symmetry::Group& group) {
    const std::string name = group.name(); // "SO2"
    std::string text = name.substr(0, name.size() - 1) + "(" + name.back() + ")";
    if (group.kind == symmetry::GroupKind::so2 || group.kind == symmetry::GroupKind::o2) {
        const std::vector<symmetry::Vector3> axes{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
        const auto axis = std::ranges::find(axes, group.vertical);
        text += axis != axes.end() ? fmt::format(" about {}", "xyz"[axis - axes.begin()])
                                   : fmt::format(" about ({})", fmt::join(group.vertical, ", "));
    }
    return text;
}

void draw_elements(const symmetry::Group& group, std::uint64_t seed, Purpose purpose, Index step,
                   std::span<const Index> samples, std::vector<symmetry::O3Element>& elements) {
    elements.clear();
    for (const Index sample : samples) {
        RandomStream stream(seed, purpose, static_cast<std::uint64_t>(step),
                            static_cast<std::uint64_t>(sample));
        elements.push_back(group.random(stream));
    }
}

template <class T>
void turn_nodes(const BatchPart<T>& part, std::span<T> rows, std::span<const symmetry::O3Element> elements) {
    const Topology& t = part.topology;
    const auto nodes = static_cast<Index>(t.node_begin.back());
    const Index vectors = nodes == 0 ? 0 : static_cast<Index>(rows.size()) / (3 * nodes); // of a node
    for (std::size_t g = 0; g + 1 < t.node_begin.size(); ++g) {
        const std::array<symmetry::Vector3, 3> m = symmetry::rotation_rows(elements[g].rotation);
        const double sign = elements[g].determinant;
        for (Index i = t.node_begin[g] * vectors; i < t.node_begin[g + 1] * vectors; ++i) {
            T* x = rows.data() + i * 3;
            double turned[3];
            for (std::size_t row = 0; row < 3; ++row) {
                turned[row] = m[row][0] * static_cast<double>(x[0]) + m[row][1] * static_cast<double>(x[1]) +
                              m[row][2] * static_cast<double>(x[2]);
            }
            for (std::size_t r = 0; r < 3; ++r) {
                x[r] = static_cast<T>(sign * turned[r]);
            }
        }
    }
}

template <class T>
void turn(BatchPart<T>& part, std::span<const std::string> fields,
          std::span<const symmetry::O3Element> elements) {
    const auto nodes = static_cast<Index>(part.topology.node_begin.back());
    for (std::size_t f = 0; f < fields.size(); ++f) {
        const Index width = nodes == 0 ? 0 : static_cast<Index>(part.field[f].size()) / nodes;
        if (is_vector_field(fields[f], width)) {
            turn_nodes<T>(part, part.field[f], elements);
        }
    }
}

template void turn_nodes<float>(const BatchPart<float>&, std::span<float>,
                                std::span<const symmetry::O3Element>);
template void turn_nodes<double>(const BatchPart<double>&, std::span<double>,
                                 std::span<const symmetry::O3Element>);
template void turn<float>(BatchPart<float>&, std::span<const std::string>,
                          std::span<const symmetry::O3Element>);
template void turn<double>(BatchPart<double>&, std::span<const std::string>,
                           std::span<const symmetry::O3Element>);

} // namespace tether::run
