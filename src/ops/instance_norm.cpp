// Instance norm per graph (spec: models, section 2). With s = 1/sqrt(mean x² + eps), xh = s (x - m):
// dx = s (dxh - mean dxh [centred only] - xh mean(dxh xh)), means over nodes and components.
#include "tether/core/error.hpp"
#include "tether/ops/lane_reduce.hpp"
#include "tether/ops/norms.hpp"

#include <cmath>
#include <memory>

namespace tether::ops {
namespace {

// Calls f(graph, first node, last node, term, copy) with `number` the copy's number over all terms.
template <class T, class F>
void for_each_copy(const Run<T>& r, const std::vector<NormTerm>& terms, F&& f) {
    const Topology& t = r.batch->topology;
    for (Index g = 0; g < r.batch->rows(Axis::graph); ++g) {
        const Index first = t.node_begin[static_cast<std::size_t>(g)];
        const Index last = t.node_begin[static_cast<std::size_t>(g + 1)];
        Index number = 0;
        for (const NormTerm& term : terms) {
            for (Index u = 0; u < term.copies; ++u) {
                f(g, first, last, term, u, number++);
            }
        }
    }
}

// Inputs x, weight, bias; outputs y, normalised x, s [graphs x copies].
class InstanceNorm : public OpOf<InstanceNorm> {
public:
    InstanceNorm(std::vector<NormTerm> terms, double eps) : terms_(std::move(terms)), eps_(eps) {}
    [[nodiscard]] std::string_view name() const override { return "instance_norm"; }

    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.out_columns(0);
        for_each_copy(
            r, terms_, [&](Index g, Index first, Index last, const NormTerm& term, Index u, Index number) {
                const auto count = static_cast<double>(std::max<Index>(1, (last - first) * term.components));
                double mean = 0;
                if (term.centred) {
                    for (Index i = first; i < last; ++i) {
                        mean += static_cast<double>(r.in(0)[i * columns + term.column + u]);
                    }
                    mean /= count;
                }
                double square = 0;
                for (Index i = first; i < last; ++i) {
                    for (Index m = 0; m < term.components; ++m) {
                        const double d =
                            static_cast<double>(r.in(0)[i * columns + term.column + m * term.copies + u]) -
                            mean;
                        square += d * d;
                    }
                }
                const double s = 1 / std::sqrt(square / count + eps_);
                if (r.has_out(2)) {
                    r.out(2)[g * r.out_columns(2) + number] = static_cast<T>(s);
                }
                const T weight = r.in(1)[number];
                const T bias = term.centred ? r.in(2)[number] : T(0);
                for (Index i = first; i < last; ++i) {
                    for (Index m = 0; m < term.components; ++m) {
                        const Index at = i * columns + term.column + m * term.copies + u;
                        const T normal = static_cast<T>((static_cast<double>(r.in(0)[at]) - mean) * s);
                        r.out(0)[at] = weight * normal + bias;
                        if (r.has_out(1)) {
                            r.out(1)[at] = normal;
                        }
                    }
                }
            });
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
        const Index columns = r.out_columns(0);
        for_each_copy(
            r, terms_, [&](Index g, Index first, Index last, const NormTerm& term, Index u, Index number) {
                const auto count = static_cast<double>(std::max<Index>(1, (last - first) * term.components));
                const auto weight = static_cast<double>(r.in(3)[number]);
                const auto s = static_cast<double>(r.in(2)[g * r.in_columns(2) + number]);
                double mean = 0;
                double product = 0;
                const auto each = [&](auto&& f) {
                    for (Index i = first; i < last; ++i) {
                        for (Index m = 0; m < term.components; ++m) {
                            const Index at = i * columns + term.column + m * term.copies + u;
                            f(at, weight * static_cast<double>(r.in(0)[at]),
                              static_cast<double>(r.in(1)[at]));
                        }
                    }
                };
                each([&](Index, double d, double normal) {
                    mean += d;
                    product += d * normal;
                });
                mean = term.centred ? mean / count : 0;
                product /= count;
                each([&](Index at, double d, double normal) {
                    r.out(0)[at] = static_cast<T>(s * (d - mean - normal * product));
                });
            });
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
