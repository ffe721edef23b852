// Attributes of SEGNN and one layer of EGNN against the published code: every file of kind
// `operation` in reference/segnn and reference/egnn that holds one.
#include "tests/layers/operation_file.hpp"
#include "tether/models/egnn.hpp"
#include "tether/models/segnn.hpp"
#include "tether/ops/graph.hpp"

#include <gtest/gtest.h>

namespace tether::test {
namespace {

TEST(SegnnAttributes, parity_reference) {
    const auto files =
        operation_files("segnn", [](const hdf5::Reader& f) { return f.has("/output/node_attribute"); });
    if (files.empty()) {
        GTEST_SKIP() << "no reference/segnn/op_attributes_*.h5";
    }
    for (const std::string& path : files) {
        const OperationFile file(path);
        file.compare_both("", [&](OperationFile::Recorder& r) {
            const Value position = r.input("position", Axis::node);
            std::optional<Value> velocity;
            if (r.has("velocity")) {
                velocity = r.input("velocity", Axis::node);
            }
            const models::SegnnAttributes a =
                models::segnn_attributes(r.b, position, velocity, static_cast<int>(file.number("lmax_attr")),
                                         symmetry::normalisation_by_name(file.text("normalization")));
            r.output("edge_attribute", a.edge, {}, "cotangent_edge");
            r.output("node_attribute", a.node, {}, "cotangent_node");
            Value extra = ops::row_dot(r.b, a.difference, a.difference);
            if (r.has("charge")) {
                const Value charge = r.input("charge", Axis::node, {}, false);
                extra = ops::concatenate(
                    r.b, {ops::row_norm(r.b, a.difference),
                          ops::multiply(r.b, ops::at_receiver(r.b, charge), ops::at_sender(r.b, charge))});
            }
            r.output("extra", extra, {}, "cotangent_extra");
        });
    }
}

TEST(EgnnLayer, parity_reference) {
    const auto files =
        operation_files("egnn", [](const hdf5::Reader& f) { return f.has("/weight/edge_mlp.0.weight"); });
    if (files.empty()) {
        GTEST_SKIP() << "no reference/egnn/layer_clamp.h5";
    }
    for (const std::string& path : files) {
        const OperationFile file(path);
        file.compare_both("layer.", [&](OperationFile::Recorder& r) {
            const Value h = r.input("h", Axis::node);
            const Value x = r.input("position", Axis::node);
            const Value v = r.input("velocity", Axis::node);
            const Value e = r.input("edge_feature", Axis::edge);
            const models::EgnnLayerState next =
                models::egnn_layer(r.b, "layer", h, x, v, e, r.b.info(h).columns);
            r.output("h", next.h, {}, "cotangent_h");
            r.output("position", next.x, {}, "cotangent_position");
        });
    }
}

} // namespace
} // namespace tether::test
