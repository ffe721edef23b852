#include "tether/models/backbone.hpp"

#include "tether/ops/elementwise.hpp"
#include "tether/ops/graph.hpp"

namespace tether::models {

BackboneFields backbone_fields(const OfferedFields& fields) {
    (void)fields.one_of({"position"});
    (void)fields.one_of({"velocity"});
    return {.scalar = fields.one_of({"charge", "height"})};
}

Value Backbone::record(Recording& r) const {
    Builder& b = r.b;
    const Extent nodes{Axis::node, 1};
    if (fields_.given > 0) {
        const Value y = network(r, r.input({"feature", nodes, fields_.given}));
        r.output("y", y);
        return y;
    }
    const Value position = r.input({"position", nodes, 3});
    const Value velocity = r.input({"velocity", nodes, 3});
    const Value scalar = r.input({fields_.scalar, nodes, 1});
    const Value centre = ops::to_nodes(b, ops::mean_over_graph(b, position));
    const Value centred = ops::add(b, {position, ops::scale(b, centre, -1)});
    return ops::add(b, {network(r, ops::concatenate(b, {scalar, centred, velocity})), centre});
}

Work Backbone::work_of(double multiply_adds, double kept, double parameters) {
    // Forward and twice as much backward; every kept activation is written once and read once;
    // parameters, gradient and moments once each way.
    return {3 * 2 * multiply_adds, 4 * (2 * kept + 7 * parameters)};
}

} // namespace tether::models
