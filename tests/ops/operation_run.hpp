// A case of the operation table, recorded with a scalar loss, and run on a batch in one or several
// parts. All numbers are drawn in double, rounded to float, as functions of (name, row of the whole
// batch, column), so that every precision and every grouping of lanes sees the same ones.
#pragma once

#include "tests/ops/batches.hpp"
#include "tests/ops/operation_table.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/loss.hpp"
#include "tether/program/executor.hpp"

#include <barrier>
#include <memory>
#include <span>
#include <thread>

namespace tether::test {

class RecordedOperation {
public:
    RecordedOperation(const OperationCase& c, Index width) {
        Builder b(parameters, states);
        OperationInputs in(b, width);
        const Value y = c.record(in);
        b.output("y", y);
        const Extent extent = b.info(y).extent;
        columns = b.info(y).columns;
        rows_extent = extent;
        if (c.differentiable) {
            Value loss = y;
            if (extent.axis != Axis::one) {
                const Value cotangent = b.input("cotangent", extent, columns);
                loss = ops::inner_product(b, y, cotangent);
            }
            b.sum("loss", loss);
            b.differentiate(loss);
            for (std::size_t v = 0; v < b.program().values.size(); ++v) {
                const ValueInfo i = b.program().values[v];
                if (i.kind == ValueKind::input && i.needs_gradient) {
                    if (const Value g = b.gradient_of({static_cast<int>(v)}); g.valid()) {
                        b.output("gradient/" + i.name, g);
                    }
                }
            }
        } else if (extent.axis == Axis::one) {
            b.sum("y", y);
        }
        laws = in.laws;
        controls = in.controls;
        program = b.finish();
    }

    // Numbers of one name: entry (row of the whole batch, column).
    class Source {
    public:
        Source(const RecordedOperation& op, const std::string& name) {
            for (const char c : name) {
                key_ = mixed(key_ ^ static_cast<unsigned char>(c));
            }
            const auto law = op.laws.find(name);
            law_ = law != op.laws.end() && law->second ? &law->second : nullptr;
        }
        template <class T>
        [[nodiscard]] T draw(Index row, Index column) const {
            const std::uint64_t bits =
                mixed(mixed(key_ + static_cast<std::uint64_t>(row)) + static_cast<std::uint64_t>(column));
            const double u = static_cast<double>(bits >> 11U) * 0x1.0p-52 - 1;
            return static_cast<T>(static_cast<float>(law_ == nullptr ? u : (*law_)(u)));
        }

    private:
        static std::uint64_t mixed(std::uint64_t x) { // splitmix64
            x += 0x9E3779B97F4A7C15ULL;
            x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
            x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
            return x ^ (x >> 31U);
        }
        std::uint64_t key_ = 17;
        const Law* law_ = nullptr;
    };

    ParameterSet parameters;
    StateSet states;
    Program program;
    std::map<std::string, Law> laws;
    std::vector<double> controls;
    Index columns = 0;
    Extent rows_extent;
};

template <class T>
struct OperationNumbers {
    std::vector<T> parameters, state;
    std::map<std::string, std::vector<T>> field; // of the whole batch

    OperationNumbers(const RecordedOperation& op, const Batch& batch) {
        using Source = RecordedOperation::Source;
        for (const Parameter& p : op.parameters.all()) {
            const Source source(op, p.name);
            for (Index k = 0; k < p.size; ++k) {
                parameters.push_back(source.draw<T>(0, k));
            }
        }
        for (const StateBuffer& s : op.states.all()) {
            const Source source(op, s.name);
            for (Index k = 0; k < s.size; ++k) {
                state.push_back(source.draw<T>(0, k));
            }
        }
        for (const ValueInfo& v : op.program.values) {
            if (v.kind == ValueKind::input) {
                const Source source(op, v.name);
                auto& values = field[v.name];
                for (Index r = 0; r < batch.rows(v.extent.axis) * v.extent.times; ++r) {
                    for (Index c = 0; c < v.columns; ++c) {
                        values.push_back(source.draw<T>(r, c));
                    }
                }
            }
        }
    }
};

template <class T>
struct OperationResult {
    std::vector<T> y, gradient, extra_gradient, next_state, sums;
    std::map<std::string, std::vector<T>> input_gradient;
    bool operator==(const OperationResult&) const = default;
};

template <class T>
class OperationRunner {
public:
    OperationRunner(const RecordedOperation& op, const Batch& batch, std::size_t first, std::size_t last,
                    Checking checking = Checking::none, Index tile_rows = HostExecutor<T>::usual_tile_rows)
        : op_(op), batch_(batch), first_(first), part_(make_part<T>(batch, first, last)), packed_(op.program),
          executor_(op.program, checking, tile_rows) {
        for (const double c : op.controls) {
            control_.push_back(static_cast<T>(c));
        }
        part_.field.resize(op.program.fields.size());
    }

    // `whole`: this part is the whole batch, so that nothing waits for other parts.
    OperationResult<T> run(const OperationNumbers<T>& numbers, const Exchange* exchange = nullptr,
                           bool whole = true) {
        for (const ValueInfo& v : op_.program.values) {
            if (v.kind == ValueKind::input) {
                const Index before = batch_.rows_before(v.extent.axis, first_) * v.extent.times * v.columns;
                const auto from = numbers.field.at(v.name).begin() + before;
                part_.field[static_cast<std::size_t>(v.offset)].assign(from, from + part_.rows(v.extent) *
                                                                                        v.columns);
            }
        }
        packed_.renew(numbers.parameters.data());
        OperationResult<T> result;
        result.gradient.assign(numbers.parameters.size(), T(0));
        result.extra_gradient.assign(static_cast<std::size_t>(op_.program.extra_gradient), T(0));
        result.next_state = numbers.state;
        executor_.run_nodes(part_, environment(numbers, result, exchange), 0, op_.program.part_nodes);
        if (whole) {
            finish(numbers, result);
        }
        result.sums.resize(static_cast<std::size_t>(op_.program.sum_columns()));
        executor_.copy_sums(result.sums.data());
        for (const auto& [name, v] : op_.program.outputs) {
            const std::span<const T> values = executor_.value(v);
            if (name == "y") {
                result.y.assign(values.begin(), values.end());
            } else if (name.starts_with("gradient/")) {
                result.input_gradient[name].assign(values.begin(), values.end());
            }
        }
        return result;
    }
    // What needs the gradients summed over all parts.
    void finish(const OperationNumbers<T>& numbers, OperationResult<T>& sum) {
        executor_.run_nodes(part_, environment(numbers, sum, nullptr), op_.program.part_nodes,
                            op_.program.nodes.size());
    }
    // Nodes [first, last) again, on what the last run left (for timing); without tiles.
    void repeat(const OperationNumbers<T>& numbers, OperationResult<T>& result, std::size_t first,
                std::size_t last) {
        executor_.run_nodes(part_, environment(numbers, result, nullptr), first, last);
    }
    // Floating-point operations of these nodes, as far as they count them.
    [[nodiscard]] double flop(std::size_t first, std::size_t last) const {
        double total = 0;
        for (std::size_t n = first; n < last; ++n) {
            std::vector<Run<float>::Operand> operands;
            const Node& node = op_.program.nodes[n];
            for (const auto* list : {&node.in, &node.out}) {
                for (const Value v : *list) {
                    operands.push_back(
                        v.valid()
                            ? Run<float>::Operand{nullptr, part_.rows(op_.program.info(v).extent),
                                                  op_.program.info(v).columns, op_.program.info(v).extent}
                            : Run<float>::Operand{});
                }
            }
            Run<float> r;
            r.inputs = {operands.data(), node.in.size()};
            r.outputs = {operands.data() + node.in.size(), node.out.size()};
            total += node.op->flop(r);
        }
        return total;
    }
    [[nodiscard]] HostExecutor<T>& executor() { return executor_; }
    [[nodiscard]] const BatchPart<T>& part() const { return part_; }

private:
    Environment<T> environment(const OperationNumbers<T>& numbers, OperationResult<T>& result,
                               const Exchange* exchange) {
        return {.parameters = numbers.parameters.data(),
                .gradient = result.gradient.data(),
                .extra_gradient = result.extra_gradient.data(),
                .state = numbers.state.data(),
                .next_state = result.next_state.data(),
                .control = control_.data(),
                .packed = packed_.data(),
                .exchange = exchange,
                .commits_state = first_ == 0};
    }
    const RecordedOperation& op_;
    const Batch& batch_;
    std::size_t first_;
    BatchPart<T> part_;
    PackedWeights<T> packed_;
    HostExecutor<T> executor_;
    std::vector<T> control_;
};

// The batch in `parts` equal groups of lanes, each on a thread of its own; sums by the balanced tree.
template <class T>
OperationResult<T> run_in_parts(const RecordedOperation& op, const Batch& batch,
                                const OperationNumbers<T>& numbers, std::size_t parts) {
    const std::size_t each = batch.lanes.size() / parts;
    std::vector<OperationResult<T>> results(parts);
    std::vector<std::vector<double>> shared(parts);
    std::vector<std::unique_ptr<OperationRunner<T>>> runners;
    for (std::size_t p = 0; p < parts; ++p) {
        runners.push_back(std::make_unique<OperationRunner<T>>(op, batch, p * each, (p + 1) * each));
    }
    std::barrier everybody(static_cast<std::ptrdiff_t>(parts));
    {
        std::vector<std::jthread> threads;
        for (std::size_t p = 0; p < parts; ++p) {
            threads.emplace_back([&, p] {
                const Exchange exchange = [&, p](std::span<double> values) {
                    shared[p].assign(values.begin(), values.end());
                    everybody.arrive_and_wait();
                    std::vector<std::vector<double>> level = shared;
                    for (std::size_t stride = 1; stride < parts; stride *= 2) {
                        for (std::size_t k = 0; k < parts; k += 2 * stride) {
                            for (std::size_t i = 0; i < values.size(); ++i) {
                                level[k][i] += level[k + stride][i];
                            }
                        }
                    }
                    std::ranges::copy(level[0], values.begin());
                    everybody.arrive_and_wait();
                };
                results[p] = runners[p]->run(numbers, &exchange, false);
            });
        }
    }
    OperationResult<T> total;
    for (OperationResult<T>& r : results) {
        if (op.rows_extent.axis != Axis::one) {
            total.y.insert(total.y.end(), r.y.begin(), r.y.end());
        }
        for (const auto& [name, rows] : r.input_gradient) {
            auto& all = total.input_gradient[name];
            all.insert(all.end(), rows.begin(), rows.end());
        }
    }
    for (std::size_t stride = 1; stride < parts; stride *= 2) {
        for (std::size_t k = 0; k < parts; k += 2 * stride) {
            for (auto field : {&OperationResult<T>::gradient, &OperationResult<T>::extra_gradient,
                               &OperationResult<T>::sums}) {
                for (std::size_t i = 0; i < (results[k].*field).size(); ++i) {
                    (results[k].*field)[i] = (results[k].*field)[i] + (results[k + stride].*field)[i];
                }
            }
        }
    }
    runners[0]->finish(numbers, results[0]);
    total.gradient = results[0].gradient;
    total.sums = results[0].sums;
    total.next_state = results[0].next_state;
    return total;
}

} // namespace tether::test
