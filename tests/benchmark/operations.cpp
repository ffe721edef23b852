// Time of every operation of the operation table, forward and reverse, on a batch of the size of one
// N-body training batch: GFLOP/s where the operations count their arithmetic, GB/s of operands.
//   benchmark_operations [part of a name] [--width n] [--seconds s]
#include "tests/ops/operation_run.hpp"
#include "tether/core/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>

namespace tether::test {
namespace {

// 100 graphs of 5 nodes in one lane: 500 nodes, 2000 edges.
Batch training_batch() {
    Batch batch{"training batch", {{}}};
    for (int g = 0; g < 100; ++g) {
        batch.lanes[0].push_back(complete_graph(5));
    }
    return batch;
}

struct Cost {
    double seconds = 0, flop = 0, bytes = 0;
};

// Bytes of all operands of some nodes of a program, each read or written once.
double operand_bytes(const Program& program, const BatchPart<float>& part, std::size_t first,
                     std::size_t last) {
    double bytes = 0;
    for (std::size_t n = first; n < last; ++n) {
        for (const auto* list : {&program.nodes[n].in, &program.nodes[n].out}) {
            for (const Value v : *list) {
                if (v.valid()) {
                    const ValueInfo& i = program.info(v);
                    bytes += static_cast<double>(part.rows(i.extent) * i.columns) * sizeof(float);
                }
            }
        }
    }
    return bytes;
}

// The fastest of several runs of nodes [first, last): what the machine can do undisturbed.
Cost measure(OperationRunner<float>& runner, const RecordedOperation& op,
             const OperationNumbers<float>& numbers, std::size_t first, std::size_t last, double seconds) {
    using Clock = std::chrono::steady_clock;
    Cost cost;
    cost.bytes = operand_bytes(op.program, runner.part(), first, last);
    cost.flop = runner.flop(first, last);
    cost.seconds = 1e300;
    const Clock::time_point start = Clock::now();
    OperationResult<float> result = runner.run(numbers); // memory has grown
    do {
        runner.repeat(numbers, result, 0, first); // the reverse pass writes over what it has used
        const Clock::time_point begin = Clock::now();
        runner.repeat(numbers, result, first, last);
        cost.seconds = std::min(cost.seconds, std::chrono::duration<double>(Clock::now() - begin).count());
    } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
    return cost;
}

int run(int argc, char** argv) {
    std::string wanted;
    Index width = 0;
    double seconds = 0.05;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if ((word == "--width" || word == "--seconds") && i + 1 < argc) {
            const double value = std::atof(argv[++i]);
            if (word == "--width") {
                width = static_cast<Index>(value);
            } else {
                seconds = value;
            }
        } else {
            wanted = word;
        }
    }
    const Batch batch = training_batch();
    fmt::print("{} nodes, {} edges, float32, one thread; the fastest run\n", batch.rows(Axis::node),
               batch.rows(Axis::edge));
    fmt::print("{:<34}{:>6}  {:>11}{:>9}{:>9}  {:>11}{:>9}{:>9}\n", "operation", "width", "forward",
               "GFLOP/s", "GB/s", "reverse", "GFLOP/s", "GB/s");
    for (const OperationCase& c : operation_table()) {
        if (c.name.find(wanted) == std::string::npos) {
            continue;
        }
        // Harmonics count degrees, all others channels.
        const bool by_degree = c.name.starts_with("spherical_harmonics");
        const RecordedOperation op(c, by_degree ? 3 : (width > 0 ? width : 64));
        const OperationNumbers<float> numbers(op, batch);
        OperationRunner<float> runner(op, batch, 0, 1, Checking::none, 0);
        const std::size_t forward = op.program.forward_nodes;
        // The last forward node of rows is the inner product that makes a loss of them.
        const bool rows = c.differentiable && op.rows_extent.axis != Axis::one;
        const Cost there = measure(runner, op, numbers, 0, rows ? forward - 1 : forward, seconds);
        const auto print = [](const Cost& cost) {
            const std::string rate =
                cost.flop > 0 ? fmt::format("{:.1f}", cost.flop / cost.seconds * 1e-9) : "-";
            fmt::print("  {:>8.2f} us{:>9}{:>9.1f}", cost.seconds * 1e6, rate,
                       cost.bytes / cost.seconds * 1e-9);
        };
        fmt::print("{:<34}{:>6}", c.name, by_degree ? 3 : (width > 0 ? width : 64));
        print(there);
        if (c.differentiable) {
            print(measure(runner, op, numbers, forward, op.program.part_nodes, seconds));
        }
        fmt::print("\n");
    }
    return 0;
}

} // namespace
} // namespace tether::test

int main(int argc, char** argv) {
    try {
        return tether::test::run(argc, argv);
    } catch (const tether::Error& error) {
        fmt::print(stderr, "{}\n", error.what());
        return static_cast<int>(error.code());
    }
}
