// Chains of nodes as one launch: a product and elementwise nodes over its result, or nodes over the same rows
// as a program in levels (device_schedule.hpp).
#include "tether/kernels/row_program.hpp"
#include "tether/program/device_executor.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <utility>

namespace tether {
namespace {

// Rows of a team that makes products: a tile of them (kernels/row_program.hpp).
constexpr Index product_rows = 16;
// Else as many as have so many items in a step, a few for every thread.
constexpr Index block_items = 1024;

// The launches of nodes that go by rows, put into levels: a step of one comes after all that its node needs.
template <class T>
class Levels {
public:
    explicit Levels(const Program& program) : program_(program) {}

    void add(std::size_t n, bool elementwise, const std::vector<device::Launch>& launches,
             std::vector<kernels::RowProduct<T>> products) {
        const std::vector<const Made*> needs = needs_of(program_.nodes[n]);
        std::size_t level = 0; // the first one in which all that it needs is there
        for (const Made* m : needs) {
            level = std::max(level, m->level + 1);
        }
        Made made;
        made.shape = shape_of(n);
        if (elementwise && follow(needs, level, launches, made)) {
            // a number of the result goes on as soon as it is there
            level = made.level;
        } else if (!products.empty()) {
            made = {level, made.shape, Made::Kind::product, at(level).products.size()};
            at(level).products.push_back(std::move(products.front()));
        } else {
            for (std::size_t i = 0; i < launches.size(); ++i) { // each may need the one before
                at(level + i).steps.push_back(*kernels::row_step<T>(launches[i]));
            }
            const bool goes_on = elementwise && launches.size() == 1;
            made = {level + launches.size() - 1, made.shape,
                    goes_on ? Made::Kind::elementwise : Made::Kind::rows, n};
        }
        for (const Made* m : needs) { // parts have rows of their own, but columns of a product
            const bool crosses = m->kind == Made::Kind::product || made.kind == Made::Kind::product;
            if (crosses && m->level < level) {
                crossings_.emplace_back(level, m->level);
            }
        }
        for (const Value v : program_.nodes[n].out) {
            if (v.valid()) {
                made_[v.id] = made;
            }
        }
    }
    // With as few meetings as do: one between the levels of every crossing.
    [[nodiscard]] std::vector<kernels::RowLevel<T>> take() {
        std::ranges::sort(crossings_);
        std::size_t met = 0; // before this level
        for (const auto& [to, from] : crossings_) {
            if (met <= from) {
                levels_[to - 1].meet = true;
                met = to;
            }
        }
        return std::move(levels_);
    }

private:
    using Shape = std::pair<Extent, Index>;
    struct Made {
        enum class Kind : unsigned char { rows, elementwise, product };
        std::size_t level = 0;
        Shape shape;
        Kind kind = Kind::rows;
        std::size_t chain = 0; // of the level: number of the product, or first node of an elementwise chain
    };
    kernels::RowLevel<T>& at(std::size_t level) {
        levels_.resize(std::max(levels_.size(), level + 1));
        return levels_[level];
    }
    [[nodiscard]] Shape shape_of(std::size_t n) const {
        const ValueInfo& i = program_.info(*std::ranges::find_if(program_.nodes[n].out, &Value::valid));
        return {i.extent, i.columns};
    }
    std::vector<const Made*> needs_of(const Node& node) const {
        std::vector<const Made*> needs;
        for (const Value v : node.in) {
            if (const auto found = made_.find(v.id); v.valid() && found != made_.end()) {
                needs.push_back(&found->second);
            }
        }
        return needs;
    }
    // Joins the level before, if all that it needs there is one product or elementwise chain of its shape.
    bool follow(const std::vector<const Made*>& needs, std::size_t level,
                const std::vector<device::Launch>& launches, Made& made) {
        const Made* before = nullptr;
        for (const Made* m : needs) {
            if (m->level + 1 != level) {
                continue;
            }
            const bool same = before == nullptr || (m->kind == before->kind && m->chain == before->chain);
            if (!same || m->kind == Made::Kind::rows || !(m->shape == made.shape)) {
                return false;
            }
            before = m;
        }
        if (before == nullptr) {
            return false;
        }
        kernels::RowLevel<T>& with = at(before->level);
        for (const device::Launch& launch : launches) {
            const kernels::RowStep step = *kernels::row_step<T>(launch);
            if (before->kind == Made::Kind::product) {
                with.products[before->chain].then.push_back(step);
            } else {
                with.steps.push_back(step);
            }
        }
        made = *before;
        return true;
    }

    const Program& program_;
    std::vector<kernels::RowLevel<T>> levels_;
    std::map<int, Made> made_;                                   // by value
    std::vector<std::pair<std::size_t, std::size_t>> crossings_; // (to, from): levels the parts meet between
};

// "segment_sum + 4 bilinear + gate": for profiles.
std::string summary(const std::vector<std::string>& operations) {
    std::vector<std::pair<std::string, int>> counts;
    for (const std::string& name : operations) {
        const auto known = std::ranges::find(counts, name, &std::pair<std::string, int>::first);
        if (known != counts.end()) {
            ++known->second;
        } else {
            counts.emplace_back(name, 1);
        }
    }
    std::string all;
    for (const auto& [name, count] : counts) {
        all += (all.empty() ? "" : " + ") + (count > 1 ? std::to_string(count) + " " : "") + name;
    }
    return all;
}

} // namespace

template <class T>
std::vector<device::Launch> DeviceExecutor<T>::chain(const std::vector<std::size_t>& branch) {
    return work_[branch.front()] == DeviceWork::product ? product_then(branch) : row_program(branch);
}

template <class T>
std::vector<device::Launch> DeviceExecutor<T>::product_then(const std::vector<std::size_t>& branch) {
    const device::Launch product = launches_of(branch.front(), memory_, nullptr).front();
    std::string name = product.name;
    std::vector<kernels::RowStep> steps;
    for (const std::size_t n : std::span(branch).subspan(1)) {
        for (const device::Launch& launch : launches_of(n, memory_, nullptr)) {
            name += " + " + launch.name;
            steps.push_back(*kernels::row_step<T>(launch));
        }
    }
    device::LaunchList list;
    list.name(std::move(name));
    kernels::append_product_then<T>(list, product,
                                    memory_.constants(std::span<const kernels::RowStep>(steps)),
                                    static_cast<Index>(steps.size()));
    return list.take();
}

template <class T>
std::vector<device::Launch> DeviceExecutor<T>::row_program(const std::vector<std::size_t>& branch) {
    Levels<T> levels(program_);
    std::vector<std::string> operations;
    Index most_items = 1;
    Index block_rows = product_rows;
    bool products = false;
    for (const std::size_t n : branch) {
        std::vector<kernels::RowProduct<T>> of_node;
        const std::vector<device::Launch> launches = launches_of(n, memory_, nullptr, &of_node);
        for (const device::Launch& launch : launches) {
            most_items = std::max(most_items, launch.row_items);
        }
        for (const kernels::RowProduct<T>& p : of_node) {
            products = true;
            if (p.rows.axis_rows != nullptr) {
                block_rows = std::min(block_rows, std::max<Index>(1, product_rows / p.rows.times));
            }
        }
        operations.emplace_back(program_.nodes[n].op->name());
        levels.add(n, work_[n] == DeviceWork::elementwise, launches, std::move(of_node));
    }
    const auto& info =
        program_.info(*std::ranges::find_if(program_.nodes[branch.front()].out, &Value::valid));
    const bool by_axis = info.extent.axis != Axis::one;
    kernels::RowProgramShape shape;
    shape.rows =
        by_axis
            ? kernels::RowCount{batch_.lane_begin[static_cast<std::size_t>(info.extent.axis)] + batch_.lanes}
            : kernels::RowCount{nullptr, info.extent.times};
    shape.capacity =
        by_axis ? batch_.capacity[static_cast<std::size_t>(info.extent.axis)] : info.extent.times;
    shape.block_rows = products ? block_rows : std::max<Index>(1, block_items / most_items);
    if (products) {
        shape.parts = backend_.parts_of_teams((shape.capacity + shape.block_rows - 1) / shape.block_rows);
    }
    const kernels::RowTables tables = kernels::row_tables(levels.take(), shape.block_rows, shape.parts);
    const auto* steps = memory_.constants(std::span<const kernels::RowStep>(tables.steps));
    const auto* then = memory_.constants(std::span<const kernels::RowStep>(tables.then));
    device::LaunchList list;
    list.name(summary(operations));
    kernels::append_row_program<T>(list, shape, tables, steps, then);
    return list.take();
}

template std::vector<device::Launch> DeviceExecutor<float>::chain(const std::vector<std::size_t>&);
template std::vector<device::Launch> DeviceExecutor<double>::chain(const std::vector<std::size_t>&);

} // namespace tether
