// A recorded case of the operation table on a device: the same numbers as OperationRunner, in more room than
// the batch needs.
#pragma once

#include "tests/ops/operation_run.hpp"
#include "tether/program/device_executor.hpp"

namespace tether::test {

// `spare`: rows of capacity beyond those of the batch.
template <class T>
OperationResult<T> run_on_device(device::Backend& backend, const RecordedOperation& op, const Batch& batch,
                                 const OperationNumbers<T>& numbers, Index spare, bool products_apart = false,
                                 bool alone = false) {
    BatchPart<T> part = make_part<T>(batch, 0, batch.lanes.size());
    part.field.resize(op.program.fields.size());
    for (const ValueInfo& v : op.program.values) {
        if (v.kind == ValueKind::input) {
            part.field[static_cast<std::size_t>(v.offset)] = numbers.field.at(v.name);
        }
    }
    const auto loaded = [&](std::vector<T> values) {
        device::Buffer<T> buffer(backend);
        buffer.require(std::max<Index>(1, static_cast<Index>(values.size())));
        buffer.load(values);
        return buffer;
    };
    const device::Buffer<T> parameters = loaded(numbers.parameters);
    const device::Buffer<T> gradient = loaded(std::vector<T>(numbers.parameters.size()));
    const device::Buffer<T> extra =
        loaded(std::vector<T>(static_cast<std::size_t>(op.program.extra_gradient)));
    const device::Buffer<T> sums = loaded(std::vector<T>(static_cast<std::size_t>(op.program.sum_columns())));
    const device::Buffer<T> state = loaded(numbers.state);
    const device::Buffer<T> next_state = loaded(numbers.state);
    const device::Buffer<T> control = loaded({op.controls.begin(), op.controls.end()});
    DeviceExecutor<T> executor(op.program, backend,
                               {.parameters = parameters.data(),
                                .gradient = gradient.data(),
                                .extra_gradient = extra.data(),
                                .sums = sums.data(),
                                .state = state.data(),
                                .next_state = next_state.data(),
                                .control = control.data(),
                                .alone = alone,
                                .products_apart = products_apart});
    std::array<Index, axis_count> rows{};
    for (std::size_t a = 0; a < rows.size(); ++a) {
        rows[a] = part.rows(static_cast<Axis>(a)) + spare;
    }
    executor.reserve(part.lanes, rows);
    executor.load(part);
    executor.run();
    OperationResult<T> result;
    const auto stored = [](std::vector<T>& to, const device::Buffer<T>& from, std::size_t size) {
        to.resize(size);
        from.store(to);
    };
    stored(result.gradient, gradient, numbers.parameters.size());
    stored(result.extra_gradient, extra, static_cast<std::size_t>(op.program.extra_gradient));
    stored(result.next_state, next_state, numbers.state.size());
    stored(result.sums, sums, static_cast<std::size_t>(op.program.sum_columns()));
    for (const auto& [name, v] : op.program.outputs) {
        (name == "y" ? result.y : result.input_gradient[name]) = executor.value(v);
    }
    return result;
}

} // namespace tether::test
