#include "tether/program/device_schedule.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace tether {
namespace {

// Where a node was put: a stage and a branch of it.
struct Place {
    std::size_t stage, branch;
};

// What was done with the numbers [begin, end) of one kind of value.
struct Use {
    Index begin, end;
    bool written;
    std::size_t node;
};

class Stages {
public:
    Stages(const Program& program, const std::vector<DeviceWork>& work) : program_(program), work_(work) {}

    void add(std::size_t n) {
        const std::vector<Place> needs = needs_of(n);
        std::size_t after = barrier_; // stages before this one are over when the node begins
        for (const Place& p : needs) {
            after = std::max(after, p.stage + 1);
        }
        if (work_[n] == DeviceWork::sums) {
            after = stages_.size();
        } else if (by_rows(n) && after > barrier_) {
            if (const auto branch = chain_of(n, needs, after - 1)) {
                stages_[after - 1].branches[*branch].push_back(n);
                note(n, {after - 1, *branch});
                return;
            }
        }
        stages_.resize(std::max(stages_.size(), after + 1));
        stages_[after].branches.push_back({n});
        note(n, {after, stages_[after].branches.size() - 1});
        if (work_[n] == DeviceWork::sums) {
            barrier_ = after + 1;
        }
    }
    std::vector<DeviceStage> finish() {
        for (DeviceStage& stage : stages_) {
            std::erase_if(stage.branches, [](const auto& branch) { return branch.empty(); });
        }
        return std::move(stages_);
    }

private:
    // Where numbers lie that the node reads after they were written, or writes after they were used.
    std::vector<Place> needs_of(std::size_t n) {
        std::vector<Place> needs;
        const Node& node = program_.nodes[n];
        const auto collect = [&](Value v, bool writes) {
            const auto [kind, use] = use_of(v, writes, n);
            for (const Use& u : uses_[kind]) {
                if ((u.written || writes) && u.begin < use.end && use.begin < u.end) {
                    needs.push_back(place_.at(u.node));
                }
            }
        };
        for (const Value v : node.in) {
            if (v.valid()) {
                collect(v, false);
            }
        }
        for (const Value v : node.out) {
            if (v.valid()) {
                collect(v, true);
            }
        }
        return needs;
    }
    // Intermediates are told apart by their numbers: they have places of their own.
    std::pair<ValueKind, Use> use_of(Value v, bool writes, std::size_t n) const {
        const ValueInfo& i = program_.info(v);
        if (i.kind == ValueKind::intermediate) {
            return {i.kind, {v.id, v.id + 1, writes, n}};
        }
        // Fields are counted by numbers, never written.
        return {i.kind, {i.offset, i.offset + std::max<Index>(1, i.columns * i.extent.times), writes, n}};
    }
    void note(std::size_t n, Place place) {
        place_[n] = place;
        const Node& node = program_.nodes[n];
        for (const Value v : node.in) {
            if (v.valid()) {
                const auto [kind, use] = use_of(v, false, n);
                uses_[kind].push_back(use);
            }
        }
        for (const Value v : node.out) {
            if (v.valid()) {
                const auto [kind, use] = use_of(v, true, n);
                uses_[kind].push_back(use);
            }
        }
    }
    // The branch of the stage that the node goes on with, if it can: all it needs there is a product whose
    // result has its shape, or chains of its own rows, which become one. What it needs of other axes was
    // there before the stage.
    std::optional<std::size_t> chain_of(std::size_t n, const std::vector<Place>& needs, std::size_t stage) {
        std::vector<std::size_t> branches;
        for (const Place& p : needs) {
            if (p.stage == stage) {
                branches.push_back(p.branch);
            }
        }
        std::ranges::sort(branches);
        branches.erase(std::unique(branches.begin(), branches.end()), branches.end());
        auto& all = stages_[stage].branches;
        const std::size_t into = branches.front();
        if (branches.size() == 1 && work_[all[into].front()] == DeviceWork::product) {
            const ValueInfo& product = result_of(all[into].front());
            const ValueInfo& own = result_of(n);
            const bool follows = work_[n] == DeviceWork::elementwise && product.extent == own.extent &&
                                 product.columns == own.columns;
            return follows ? std::optional(into) : std::nullopt;
        }
        for (const std::size_t b : branches) {
            if (!by_rows(all[b].front()) || !same_rows(all[b].front(), n)) {
                return std::nullopt;
            }
        }
        for (const std::size_t b : branches) {
            if (b != into) {
                for (const std::size_t m : all[b]) {
                    place_[m].branch = into;
                }
                all[into].insert(all[into].end(), all[b].begin(), all[b].end());
                all[b].clear();
            }
        }
        std::ranges::sort(all[into]);
        return into;
    }
    [[nodiscard]] bool by_rows(std::size_t n) const {
        return work_[n] == DeviceWork::rows || work_[n] == DeviceWork::elementwise ||
               work_[n] == DeviceWork::row_product;
    }
    // Rows of one axis are the same rows however many there are for each of it.
    [[nodiscard]] bool same_rows(std::size_t a, std::size_t b) const {
        const Extent x = result_of(a).extent;
        const Extent y = result_of(b).extent;
        return x.axis == y.axis && (x.axis != Axis::one || x.times == y.times);
    }
    // All outputs of a row-wise node have the extent of the first, those of an elementwise one its columns.
    [[nodiscard]] const ValueInfo& result_of(std::size_t n) const {
        return program_.info(*std::ranges::find_if(program_.nodes[n].out, &Value::valid));
    }

    const Program& program_;
    const std::vector<DeviceWork>& work_;
    std::vector<DeviceStage> stages_;
    std::map<std::size_t, Place> place_;
    std::map<ValueKind, std::vector<Use>> uses_;
    std::size_t barrier_ = 0; // stages before this one are closed
};

} // namespace

std::vector<DeviceStage> device_stages(const Program& program, const std::vector<DeviceWork>& work,
                                       std::size_t first, std::size_t last) {
    Stages stages(program, work);
    DeviceStage end;
    for (std::size_t n = first; n < last; ++n) {
        if (work[n] == DeviceWork::later) {
            end.branches.push_back({n});
        } else {
            stages.add(n);
        }
    }
    std::vector<DeviceStage> all = stages.finish();
    if (!end.branches.empty()) {
        all.push_back(std::move(end));
    }
    return all;
}

} // namespace tether
