#include "tether/program/builder.hpp"

#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>

namespace tether {
namespace {

// The start of the reverse pass: d loss / d loss = 1.
class One : public OpOf<One> {
public:
    [[nodiscard]] std::string_view name() const override { return "one"; }
    template <class T>
    void execute(Run<T>& r) const {
        r.out(0)[0] = T(1);
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.list->each(1, kernels::SetNumbers<T>{r.out(0), T(1)});
    }
};

// Sum of several contributions to one gradient, in the order they were recorded.
class Add : public OpOf<Add> {
public:
    [[nodiscard]] std::string_view name() const override { return "add"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index n = r.out_rows(0) * r.out_columns(0);
        T* __restrict__ to = r.out(0);
        const T* __restrict__ a = r.in(0);
        const T* __restrict__ b = r.in(1);
        if (r.inputs.size() == 3) {
            const T* __restrict__ c = r.in(2);
            for (Index i = 0; i < n; ++i) {
                to[i] = a[i] + b[i] + c[i];
            }
            return;
        }
        for (Index i = 0; i < n; ++i) {
            to[i] = a[i] + b[i];
        }
        for (std::size_t k = 2; k < r.inputs.size(); ++k) {
            const T* __restrict__ c = r.inputs[k].data;
            for (Index i = 0; i < n; ++i) {
                to[i] += c[i];
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const T* sum = r.in(0);
        for (std::size_t next = 1; next < r.inputs.size();) {
            kernels::AddNumbers<T> add{{sum}, 1, r.out(0)};
            while (add.count < kernels::most_added && next < r.inputs.size()) {
                add.x[add.count++] = r.inputs[next++].data;
            }
            r.flat(r.output(0), add);
            sum = r.out(0);
        }
    }
    void reverse(Reverse& r) const override {
        for (int i = 0; i < r.inputs(); ++i) {
            if (r.wants(i)) {
                r.add(i, r.gradient(0));
            }
        }
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return static_cast<double>(r.out_rows(0) * r.out_columns(0)) *
               static_cast<double>(r.inputs.size() - 1);
    }
};

// out += in.
class AddTo : public OpOf<AddTo> {
public:
    [[nodiscard]] std::string_view name() const override { return "add_to"; }
    [[nodiscard]] bool adds_to_outputs() const override { return true; }
    template <class T>
    void execute(Run<T>& r) const {
        for (Index i = 0; i < r.out_columns(0); ++i) {
            r.out(0)[i] += r.in(0)[i];
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.list->each(r.out_columns(0), kernels::AddToNumbers<T>{r.in(0), r.out(0)});
    }
};

} // namespace

std::shared_ptr<const Op> add_op() {
    static const auto op = std::make_shared<const Add>();
    return op;
}

void Op::reverse(Reverse&) const { fail(ExitCode::usage, "operation {} cannot be differentiated", name()); }

void Op::launch(DeviceRun<float>&) const {
    fail(ExitCode::device, "operation {} has no launches for devices", name());
}
void Op::launch(DeviceRun<double>&) const {
    fail(ExitCode::device, "operation {} has no launches for devices", name());
}

double Op::flop(const Run<float>&) const { return 0; }

Value Builder::add_value(ValueInfo info) {
    program_.values.push_back(std::move(info));
    return {static_cast<int>(program_.values.size()) - 1};
}

Value Builder::input(const std::string& field, Extent extent, Index columns, bool needs_gradient) {
    if (const auto known = named_.find("field:" + field); known != named_.end()) {
        const ValueInfo& i = info(known->second);
        check(i.extent == extent && i.columns == columns, "field {} is used with {} and {} columns", field,
              i.columns, columns);
        return known->second;
    }
    const auto number = static_cast<Index>(program_.fields.size());
    program_.fields.push_back(field);
    return named_["field:" + field] =
               add_value({ValueKind::input, extent, columns, number, needs_gradient, field});
}

Value Builder::parameter(Parameter parameter) {
    const std::string key = "parameter:" + parameter.name;
    const int number = parameters_.require(std::move(parameter));
    if (const auto known = named_.find(key); known != named_.end()) {
        return known->second;
    }
    const Parameter& p = parameters_.at(number);
    return named_[key] = add_value({ValueKind::parameter, {Axis::one, 1}, p.size, p.offset, true, p.name});
}

Value Builder::control(const std::string& name) {
    if (const auto known = named_.find("control:" + name); known != named_.end()) {
        return known->second;
    }
    const auto number = static_cast<Index>(program_.controls.size());
    program_.controls.push_back(name);
    return named_["control:" + name] =
               add_value({ValueKind::control, {Axis::one, 1}, 1, number, false, name});
}

Value Builder::state(StateBuffer buffer) {
    const std::string key = "state:" + buffer.name;
    const int number = state_.require(std::move(buffer));
    if (const auto known = named_.find(key); known != named_.end()) {
        return known->second;
    }
    const StateBuffer& s = state_.all()[static_cast<std::size_t>(number)];
    return named_[key] = add_value({ValueKind::state, {Axis::one, 1}, s.size, s.offset, false, s.name});
}

Value Builder::next_state(Value state) {
    ValueInfo i = info(state);
    check(i.kind == ValueKind::state, "next_state of {}, which is no state", i.name);
    i.kind = ValueKind::next_state;
    return add_value(std::move(i));
}

std::vector<Value> Builder::append_all(std::shared_ptr<const Op> op, std::vector<Value> in,
                                       const std::vector<std::pair<Extent, Index>>& out) {
    const bool needs = std::ranges::any_of(in, [&](Value v) { return v.valid() && info(v).needs_gradient; });
    std::vector<Value> values;
    for (const auto& [extent, columns] : out) {
        values.push_back(
            add_value({ValueKind::intermediate, extent, columns, 0, needs, std::string(op->name())}));
    }
    program_.nodes.push_back({std::move(op), std::move(in), values});
    return values;
}

Value Builder::append(std::shared_ptr<const Op> op, std::vector<Value> in, Extent extent, Index columns) {
    return append_all(std::move(op), std::move(in), {{extent, columns}}).front();
}

void Builder::append_into(std::shared_ptr<const Op> op, std::vector<Value> in, std::vector<Value> out) {
    program_.nodes.push_back({std::move(op), std::move(in), std::move(out)});
}

void Builder::sum(const std::string& name, Value v) {
    check(info(v).extent.axis == Axis::one, "sum {} must be one row per run", name);
    program_.sums.emplace_back(name, v);
    program_.outputs[name] = v;
}

int Builder::pack(const WeightView& view) {
    auto& packed = program_.packed;
    const auto known = std::ranges::find(packed, view);
    if (known != packed.end()) {
        return static_cast<int>(known - packed.begin());
    }
    packed.push_back(view);
    return static_cast<int>(packed.size()) - 1;
}

void Reverse::add(int i, Value gradient) {
    // A mistake in a reverse rule would otherwise be a wrong number far away.
    const ValueInfo& to = builder_.info(in(i));
    check(to.kind != ValueKind::parameter && gradient.valid() &&
              builder_.info(gradient).extent == to.extent && builder_.info(gradient).columns == to.columns,
          "reverse rule of {}: no gradient for input {} ({} of {} columns)", node_.op->name(), i, to.name,
          to.columns);
    builder_.contributions_[static_cast<std::size_t>(in(i).id)].push_back(gradient);
}

Value Builder::parameter_gradient(Value parameter, const std::vector<WeightView>& parts) {
    const ValueInfo p = info(parameter);
    check(p.kind == ValueKind::parameter, "gradient of {}, which is no parameter", p.name);
    std::vector<bool>& written = written_[parameter.id];
    written.resize(static_cast<std::size_t>(p.columns), false);
    std::vector<bool> mine(written.size(), false);
    Index old = 0;
    Index total = 0;
    for (const WeightView& part : parts) {
        for (Index i = 0; i < part.k; ++i) {
            for (Index j = 0; j < part.n; ++j) {
                const auto at = static_cast<std::size_t>(part.offset + i * part.k_stride + j * part.n_stride);
                check(at < mine.size(), "gradient of {}: element {} of {}", p.name, at, p.columns);
                check(!mine[at], "gradient of {}: element {} is written twice by one operation", p.name, at);
                mine[at] = true;
                old += written[at] ? 1 : 0;
                ++total;
            }
        }
    }
    check(old == 0 || old == total,
          "gradient of {}: {} of {} elements are written by another operation already", p.name, old, total);
    const bool again = old > 0;
    if (again) {
        const Value more = add_value(
            {ValueKind::extra_gradient, p.extent, p.columns, program_.extra_gradient, false, p.name});
        program_.extra_gradient += p.columns;
        after_reduction_.insert(after_reduction_.begin(), {std::make_shared<AddTo>(), {more}, parameter});
        return more;
    }
    for (std::size_t i = 0; i < mine.size(); ++i) {
        written[i] = written[i] || mine[i];
    }
    const auto at = static_cast<std::size_t>(parameter.id);
    if (!gradients_[at].valid()) {
        gradients_[at] = add_value({ValueKind::gradient, p.extent, p.columns, p.offset, false, p.name});
    }
    return gradients_[at];
}

void Builder::append_after_reduction(std::shared_ptr<const Op> op, std::vector<Value> in, Value parameter) {
    check(info(parameter).kind == ValueKind::parameter, "append_after_reduction: {} is no parameter",
          info(parameter).name);
    after_reduction_.push_back({std::move(op), std::move(in), parameter});
}

Value Builder::total(Value v) {
    const ValueInfo i = info(v);
    check(i.kind == ValueKind::intermediate, "total of {}, which this program does not compute", i.name);
    const Index offset = program_.sum_columns();
    sum("total " + std::to_string(offset), v);
    return add_value({ValueKind::total, i.extent, i.columns, offset, false, i.name});
}

Value Builder::later(Index columns) {
    return add_value({ValueKind::intermediate, {Axis::one, 1}, columns, 0, false, "later"});
}

void Builder::append_last(std::shared_ptr<const Op> op, std::vector<Value> in, std::vector<Value> parameters,
                          std::vector<Value> out) {
    check(program_.part_nodes == 0, "append_last of {}: the program is differentiated already", op->name());
    last_.push_back({std::move(op), std::move(in), std::move(parameters), std::move(out)});
}

void Builder::differentiate(Value loss) {
    check(info(loss).extent == Extent{Axis::one, 1} && info(loss).columns == 1,
          "only a scalar can be differentiated");
    check(gradients_.empty(), "a program is differentiated once");
    const std::size_t forward_values = program_.values.size();
    program_.forward_nodes = program_.nodes.size();
    contributions_.assign(forward_values, {});
    gradients_.assign(forward_values, {});
    contributions_[static_cast<std::size_t>(loss.id)].push_back(
        append(std::make_shared<const One>(), {}, {Axis::one, 1}, 1));

    const auto gather = [&](Value v) -> Value {
        if (v.id < 0 || static_cast<std::size_t>(v.id) >= forward_values) {
            return {};
        }
        auto& parts = contributions_[static_cast<std::size_t>(v.id)];
        Value& gradient = gradients_[static_cast<std::size_t>(v.id)];
        if (!gradient.valid() && !parts.empty()) {
            gradient =
                parts.size() == 1 ? parts.front() : append(add_op(), parts, info(v).extent, info(v).columns);
        }
        return gradient;
    };
    for (std::size_t n = program_.forward_nodes; n-- > 0;) {
        const Node node = program_.nodes[n];
        std::vector<Value> out_gradients;
        bool any = false;
        for (const Value v : node.out) {
            out_gradients.push_back(info(v).kind == ValueKind::intermediate ? gather(v) : Value{});
            any = any || out_gradients.back().valid();
        }
        const bool wanted =
            std::ranges::any_of(node.in, [&](Value v) { return v.valid() && info(v).needs_gradient; });
        if (any && wanted) {
            Reverse reverse(*this, node, std::move(out_gradients));
            node.op->reverse(reverse);
        }
    }
    for (std::size_t v = 0; v < forward_values; ++v) {
        if (program_.values[v].kind == ValueKind::input) {
            gather({static_cast<int>(v)});
        }
    }
    program_.part_nodes = program_.nodes.size();
    for (Pending& p : after_reduction_) {
        if (const Value gradient = gradients_[static_cast<std::size_t>(p.parameter.id)]; gradient.valid()) {
            append_into(std::move(p.op), std::move(p.in), {gradient});
        }
    }
    for (Last& l : last_) {
        std::vector<Value> out;
        for (const Value p : l.parameters) {
            out.push_back(gradients_[static_cast<std::size_t>(p.id)]);
        }
        out.insert(out.end(), l.out.begin(), l.out.end());
        append_into(std::move(l.op), std::move(l.in), std::move(out));
    }
    for (const auto& [id, parts] : written_) {
        const ValueInfo& p = program_.values[static_cast<std::size_t>(id)];
        program_.reached.emplace_back(p.offset, p.offset + p.columns);
        for (std::size_t i = 0; i < parts.size(); ++i) {
            if (parts[i]) {
                continue;
            }
            const Index at = p.offset + static_cast<Index>(i);
            if (!program_.unwritten.empty() && program_.unwritten.back().second == at) {
                ++program_.unwritten.back().second;
            } else {
                program_.unwritten.emplace_back(at, at + 1);
            }
        }
    }
    std::ranges::sort(program_.reached);
    std::vector<std::pair<Index, Index>> merged;
    for (const auto& range : program_.reached) {
        if (!merged.empty() && merged.back().second == range.first) {
            merged.back().second = range.second;
        } else {
            merged.push_back(range);
        }
    }
    program_.reached = std::move(merged);
}

Value Builder::gradient_of(Value v) const {
    return static_cast<std::size_t>(v.id) < gradients_.size() ? gradients_[static_cast<std::size_t>(v.id)]
                                                              : Value{};
}

Program Builder::finish() {
    // Nodes nobody needs go (slopes and branches of an evaluation): walk back from what is kept.
    std::set<int> needed;
    for (const auto& [name, v] : program_.outputs) {
        needed.insert(v.id);
    }
    std::vector<Node> kept;
    std::size_t forward_kept = 0;
    std::size_t part_kept = 0;
    if (program_.part_nodes == 0) { // not differentiated
        program_.forward_nodes = program_.nodes.size();
        program_.part_nodes = program_.nodes.size();
    }
    for (std::size_t n = program_.nodes.size(); n-- > 0;) {
        Node& node = program_.nodes[n];
        const bool keep = std::ranges::any_of(node.out, [&](Value v) {
            return v.valid() &&
                   (needed.contains(v.id) || info(v).kind == ValueKind::gradient ||
                    info(v).kind == ValueKind::extra_gradient || info(v).kind == ValueKind::next_state);
        });
        if (!keep) {
            continue;
        }
        for (const Value v : node.in) {
            needed.insert(v.id);
        }
        forward_kept += n < program_.forward_nodes ? 1 : 0;
        part_kept += n < program_.part_nodes ? 1 : 0;
        for (Value& v : node.out) { // unused outputs of kept nodes are not computed
            if (v.valid() && info(v).kind == ValueKind::intermediate && !needed.contains(v.id)) {
                v = {};
            }
        }
        kept.push_back(std::move(node));
    }
    std::ranges::reverse(kept);
    program_.nodes = std::move(kept);
    program_.forward_nodes = forward_kept;
    program_.part_nodes = part_kept;
    program_.exchanges = std::ranges::any_of(program_.nodes, [](const Node& n) { return n.op->exchanges(); });
    return std::move(program_);
}

} // namespace tether
