// Tensor products, gated ones and the instance norm against the published modules: every file of kind
// `operation` in reference/segnn that holds one, whatever its irreps and sizes.
#include "tests/layers/operation_file.hpp"
#include "tether/layers/tensor_product.hpp"
#include "tether/ops/norms.hpp"
#include "tether/symmetry/layout.hpp"
#include "tether/symmetry/paths.hpp"

#include <gtest/gtest.h>

namespace tether::test {
namespace {

using symmetry::component_major_order;
using symmetry::Irreps;

TEST(TensorProduct, parity_reference) {
    const auto files =
        operation_files("segnn", [](const hdf5::Reader& f) { return f.has("/weight/tp.weight"); });
    if (files.empty()) {
        GTEST_SKIP() << "no reference/segnn/op_tp_*.h5 or op_gtp_*.h5";
    }
    for (const std::string& path : files) {
        const OperationFile file(path);
        const Irreps in1 = Irreps::parse(file.text("irreps_in1")).simplified();
        const Irreps out = Irreps::parse(file.text("irreps_out")).simplified();
        const bool constant = !file.data.has("/input/in2");
        const Irreps in2 =
            constant ? Irreps::parse("1x0e") : Irreps::parse(file.text("irreps_in2")).simplified();
        const bool gated = file.text("gate") != "none";
        const Irreps product = gated ? layers::before_gate(out) : out;
        file.compare_both("op.", [&](OperationFile::Recorder& r) {
            const Value a = r.input("in1", Axis::node, component_major_order(in1));
            const Value b = constant ? Value{} : r.input("in2", Axis::node, component_major_order(in2));
            Value y = layers::tensor_product(r.b, "op", {{a, in1}}, {b, in2}, product,
                                             {.bias = file.data.has("/weight/biases")});
            if (gated) {
                r.output("before_gate", y, component_major_order(product));
                y = layers::gate(r.b, y, out);
            }
            r.output("out", y, component_major_order(out), "cotangent");
        });
        if (file.data.has("/layout/paths")) {
            const symmetry::TensorPaths paths = symmetry::tensor_paths(in1, in2, product);
            std::vector<Index> table;
            for (const auto& p : paths.paths) {
                table.insert(table.end(), {p.a, p.b, p.c, p.offset, p.mul_a, p.mul_b, p.mul_c});
            }
            EXPECT_EQ(table, file.data.integers("/layout/paths")) << path;
        }
    }
}

TEST(InstanceNorm, parity_reference) {
    const auto files = operation_files(
        "segnn", [](const hdf5::Reader& f) { return f.has("/weight/weight") && f.has("/input/x"); });
    if (files.empty()) {
        GTEST_SKIP() << "no reference/segnn/op_instance_norm_*.h5";
    }
    for (const std::string& path : files) {
        const OperationFile file(path);
        const Irreps irreps = Irreps::parse(file.text("irreps")).simplified();
        const double eps = file.number("eps");
        file.compare_both("", [&](OperationFile::Recorder& r) {
            const Value x = r.input("x", Axis::node, component_major_order(irreps));
            std::vector<ops::NormTerm> terms;
            for (Index t = 0; t < irreps.size(); ++t) {
                terms.push_back({irreps.offset(t), irreps[t].mul, irreps[t].ir.dim(), irreps[t].ir.scalar()});
            }
            const auto parameter = [&](const std::string& name) {
                return r.b.parameter(
                    {.name = name, .shape = file.data.shape("/weight/" + name), .initial = {}});
            };
            const Value weight = parameter("weight");
            const Value bias = parameter("bias");
            r.output("out", ops::instance_norm(r.b, x, weight, bias, terms, eps),
                     component_major_order(irreps), "cotangent");
        });
    }
}

} // namespace
} // namespace tether::test
