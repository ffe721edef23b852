// Instance norm per graph (kernels/instance_norm.hpp).
#include "tether/kernels/instance_norm.hpp"
#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/ops/lane_reduce.hpp"
#include "tether/ops/norms.hpp"

#include <memory>

namespace tether::ops {
namespace {

// Calls f(graph, copy, number of the copy over all terms) for all copies of all graphs.
template <class T, class F>
void for_each_copy(const Run<T>& r, Index columns, const std::vector<NormTerm>& terms, F&& f) {
    const Topology& t = r.batch->topology;
    for (Index g = 0; g < r.batch->rows(Axis::graph); ++g) {
        const Index first = t.node_begin[static_cast<std::size_t>(g)];
        const Index last = t.node_begin[static_cast<std::size_t>(g + 1)];
        Index number = 0;
        for (const NormTerm& term : terms) {
            for (Index u = 0; u < term.copies; ++u) {
                f(g,
                  kernels::InstanceCopy{first, last, columns, term.column + u, term.components, term.copies,
                                        term.centred},
                  number++);
            }
        }
    }
}

// The copies in a device's table; `centred_only`: those that have a bias.
template <class T>
const kernels::InstanceColumn* copies_on_device(const DeviceRun<T>& r, const std::vector<NormTerm>& terms,
                                                bool centred_only = false) {
    std::vector<kernels::InstanceColumn> copies;
    for (const NormTerm& term : terms) {
        for (Index u = 0; u < term.copies && (term.centred || !centred_only); ++u) {
            copies.push_back({static_cast<std::int32_t>(term.column + u),
                              static_cast<std::int32_t>(term.components),
                              static_cast<std::int32_t>(term.copies), term.centred ? 1 : 0});
        }
    }
    return r.memory->constants(std::span<const kernels::InstanceColumn>(copies));
}

Index copies_of(const std::vector<NormTerm>& terms) {
    Index copies = 0;
    for (const NormTerm& term : terms) {
        copies += term.copies;
    }
    return copies;
}

// Inputs x, weight, bias; outputs y, normalised x, s [graphs x copies].
class InstanceNorm : public OpOf<InstanceNorm> {
public:
    InstanceNorm(std::vector<NormTerm> terms, double eps) : terms_(std::move(terms)), eps_(eps) {}
    [[nodiscard]] std::string_view name() const override { return "instance_norm"; }

    template <class T>
    void execute(Run<T>& r) const {
        for_each_copy(
            r, r.out_columns(0), terms_, [&](Index g, const kernels::InstanceCopy& copy, Index number) {
                const double s = kernels::instance_norm_copy(copy, eps_, r.in(0), r.in(1)[number],
                                                             copy.centred ? r.in(2)[number] : T(0), r.out(0),
                                                             r.has_out(1) ? r.out(1) : nullptr);
                if (r.has_out(2)) {
                    r.out(2)[g * r.out_columns(2) + number] = static_cast<T>(s);
                }
            });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const Index copies = copies_of(terms_);
        const auto& out = r.output(0);
        r.wide_numbers({Axis::graph, 1}, r.batch->capacity[static_cast<std::size_t>(Axis::graph)], copies,
                       kernels::InstanceNormCopies<T>{
                           copies_on_device(r, terms_), r.batch->topology.node_begin, eps_, r.in(0), r.in(1),
                           r.in(2), out.columns, copies, out.data, r.has_out(1) ? r.out(1) : nullptr,
                           r.has_out(2) ? r.out(2) : nullptr});
    }
    void reverse(Reverse& r) const override;

private:
    std::vector<NormTerm> terms_;
    double eps_;
};

// Inputs dy, normalised x, s, weight; output dx.
class InstanceNormBackward : public OpOf<InstanceNormBackward> {
public:
    explicit InstanceNormBackward(std::vector<NormTerm> terms) : terms_(std::move(terms)) {}
    [[nodiscard]] std::string_view name() const override { return "instance_norm_backward"; }
    template <class T>
    void execute(Run<T>& r) const {
        for_each_copy(
            r, r.out_columns(0), terms_, [&](Index g, const kernels::InstanceCopy& copy, Index number) {
                kernels::instance_norm_copy_backward(
                    copy, static_cast<double>(r.in(3)[number]),
                    static_cast<double>(r.in(2)[g * r.in_columns(2) + number]), r.in(0), r.in(1), r.out(0));
            });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const Index copies = copies_of(terms_);
        r.wide_numbers({Axis::graph, 1}, r.batch->capacity[static_cast<std::size_t>(Axis::graph)], copies,
                       kernels::InstanceNormBackwardCopies<T>{
                           copies_on_device(r, terms_), r.batch->topology.node_begin, r.in(0), r.in(1),
                           r.in(2), r.in(3), r.out_columns(0), copies, r.out(0)});
    }

private:
    std::vector<NormTerm> terms_;
};

// Inputs dy, normalised x; the gradient of the weights (sum dy · normalised) or of the biases (sum dy).
class InstanceNormParameter : public OpOf<InstanceNormParameter> {
public:
    InstanceNormParameter(std::vector<NormTerm> terms, bool bias) : terms_(std::move(terms)), bias_(bias) {}
    [[nodiscard]] std::string_view name() const override { return "instance_norm_parameter"; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.in_columns(0);
        lane_reduce<T>(r.lanes(r.inputs[0].extent), r.out_columns(0), r.out(0), false, *r.scratch,
                       [&](Index row, T* sum) {
                           Index number = 0;
                           for (const NormTerm& term : terms_) {
                               if (bias_ && !term.centred) {
                                   continue;
                               }
                               for (Index m = 0; m < term.components; ++m) {
                                   for (Index u = 0; u < term.copies; ++u) {
                                       const Index at = row * columns + term.column + m * term.copies + u;
                                       sum[number + u] += bias_ ? r.in(0)[at] : r.in(0)[at] * r.in(1)[at];
                                   }
                               }
                               number += term.copies;
                           }
                       });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.template gradient_sum<32>(r.lanes(r.input(0).extent), r.out_columns(0),
                                    kernels::InstanceParameterLeaf<T>{copies_on_device(r, terms_, bias_),
                                                                      r.in(0), bias_ ? nullptr : r.in(1),
                                                                      r.in_columns(0)});
    }

private:
    std::vector<NormTerm> terms_;
    bool bias_;
};

void InstanceNorm::reverse(Reverse& r) const {
    Builder& b = r.builder();
    const Value dy = r.gradient(0);
    const Value normal = r.out(1);
    if (r.wants(0)) {
        r.add(0, b.append(std::make_shared<InstanceNormBackward>(terms_), {dy, normal, r.out(2), r.in(1)},
                          b.info(r.in(0)).extent, b.info(r.in(0)).columns));
    }
    for (int p = 1; p <= 2; ++p) {
        if (r.wants(p)) {
            const Value gradient = b.parameter_gradient(r.in(p), {{0, 0, 1, 1, b.info(r.in(p)).columns}});
            b.append_into(std::make_shared<InstanceNormParameter>(terms_, p == 2), {dy, normal}, {gradient});
        }
    }
}

} // namespace

Value instance_norm(Builder& b, Value x, Value weight, Value bias, const std::vector<NormTerm>& terms,
                    double eps) {
    Index copies = 0;
    Index centred = 0;
    for (const NormTerm& t : terms) {
        copies += t.copies;
        check(!t.centred || centred == copies - t.copies, "instance_norm: scalars must come first");
        centred += t.centred ? t.copies : 0;
    }
    check(b.info(weight).columns == copies && b.info(bias).columns == centred,
          "instance_norm: {} weights and {} biases, expected {} and {}", b.info(weight).columns,
          b.info(bias).columns, copies, centred);
    const ValueInfo i = b.info(x);
    check(i.extent == Extent{Axis::node, 1}, "instance_norm: node rows expected");
    for (const NormTerm& t : terms) {
        check(t.column + t.copies * t.components <= i.columns,
              "instance_norm: a term ends at column {} of {}", t.column + t.copies * t.components, i.columns);
    }
    return b
        .append_all(std::make_shared<InstanceNorm>(terms, eps), {x, weight, bias},
                    {{i.extent, i.columns}, {i.extent, i.columns}, {{Axis::graph, 1}, copies}})
        .front();
}

} // namespace tether::ops
