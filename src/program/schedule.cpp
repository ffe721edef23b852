#include "tether/program/schedule.hpp"

#include <algorithm>
#include <array>

namespace tether {
namespace {

// Nodes that a group may leave behind while it grows (sums over its rows mostly): they run after it.
// Few, because every value they read must be kept until then.
constexpr std::size_t most_skipped = 10;

class Scheduler {
public:
    explicit Scheduler(const Program& program)
        : program_(program), producer_(program.values.size(), none), group_of_(program.nodes.size(), none) {
        for (std::size_t n = 0; n < program.nodes.size(); ++n) {
            for (const Value v : program.nodes[n].out) {
                if (v.valid()) {
                    producer_[static_cast<std::size_t>(v.id)] = n;
                }
            }
        }
    }

    void add_part(std::size_t begin, std::size_t end, bool tiles) {
        for (std::size_t n = begin; n < end; ++n) {
            if (group_of_[n] != none) {
                continue;
            }
            NodeGroup group;
            join(group, n);
            if (tiles && row_by_row(n)) {
                group.extent = rows_of(n);
                std::size_t skipped = 0;
                for (std::size_t m = n + 1; m < end && skipped <= most_skipped; ++m) {
                    if (group_of_[m] != none) {
                        continue;
                    }
                    if (row_by_row(m) && rows_of(m) == group.extent && ready(group, m) &&
                        (skipped == 0 || reads_group(m))) {
                        join(group, m);
                    } else if (program_.nodes[m].op->sums_tiles() && ready(group, m) && reads_group(m)) {
                        join(group, m);
                        group.sums.push_back(m);
                    } else {
                        ++skipped;
                    }
                }
                group.tiled = true;
            }
            groups_.push_back(std::move(group));
        }
    }

    std::vector<NodeGroup> finish() {
        std::vector<std::size_t> readers(program_.values.size(), 0);
        std::vector<bool> leaves(program_.values.size(), false); // its group, or the program
        for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
            for (const Value v : program_.nodes[n].in) {
                const auto i = static_cast<std::size_t>(v.id);
                ++readers[i];
                leaves[i] = leaves[i] || producer_[i] == none || group_of_[producer_[i]] != group_of_[n];
            }
        }
        for (const auto& [name, v] : program_.outputs) {
            leaves[static_cast<std::size_t>(v.id)] = true;
        }
        for (const auto& [name, v] : program_.sums) {
            leaves[static_cast<std::size_t>(v.id)] = true;
        }
        for (NodeGroup& group : groups_) {
            for (const std::size_t n : group.nodes) {
                for (const Value v : program_.nodes[n].out) {
                    if (group.tiled && v.valid() && program_.info(v).kind == ValueKind::intermediate &&
                        program_.info(v).extent == group.extent &&
                        readers[static_cast<std::size_t>(v.id)] > 0 &&
                        !leaves[static_cast<std::size_t>(v.id)]) {
                        group.local.push_back(v.id);
                    }
                }
            }
        }
        return std::move(groups_);
    }

private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    [[nodiscard]] Extent rows_of(std::size_t n) const {
        for (const Value v : program_.nodes[n].out) {
            if (v.valid()) {
                return program_.info(v).extent;
            }
        }
        return {};
    }
    // All outputs are intermediates of one extent with more than one row.
    [[nodiscard]] bool row_by_row(std::size_t n) const {
        const Extent rows = rows_of(n);
        return program_.nodes[n].op->tiling() == Tiling::rows && rows.axis != Axis::one &&
               std::ranges::all_of(program_.nodes[n].out, [&](Value v) {
                   return !v.valid() || (program_.info(v).extent == rows &&
                                         program_.info(v).kind == ValueKind::intermediate);
               });
    }
    // The group being built has the number groups_.size().
    [[nodiscard]] bool in_group(std::size_t n) const { return group_of_[n] == groups_.size(); }
    // Whether all operands of a node are there when a tile of the group reaches it: values of the group
    // with the group's extent, and those of earlier groups. Not the sums of the group itself.
    [[nodiscard]] bool ready(const NodeGroup& group, std::size_t m) const {
        return std::ranges::all_of(program_.nodes[m].in, [&](Value v) {
            const std::size_t p = producer_[static_cast<std::size_t>(v.id)];
            return p == none ||
                   (group_of_[p] != none && (!in_group(p) || program_.info(v).extent == group.extent));
        });
    }
    [[nodiscard]] bool reads_group(std::size_t m) const {
        return std::ranges::any_of(program_.nodes[m].in, [&](Value v) {
            const std::size_t p = producer_[static_cast<std::size_t>(v.id)];
            return p != none && in_group(p);
        });
    }
    void join(NodeGroup& group, std::size_t n) {
        group.nodes.push_back(n);
        group_of_[n] = groups_.size();
    }

    const Program& program_;
    std::vector<std::size_t> producer_; // node of each value
    std::vector<std::size_t> group_of_;
    std::vector<NodeGroup> groups_;
};

} // namespace

std::vector<NodeGroup> schedule(const Program& program, bool tiles) {
    Scheduler scheduler(program);
    const std::array<std::size_t, 4> border{0, program.forward_nodes, program.part_nodes,
                                            program.nodes.size()};
    for (std::size_t part = 0; part + 1 < border.size(); ++part) {
        scheduler.add_part(border[part], border[part + 1], tiles);
    }
    return scheduler.finish();
}

} // namespace tether
