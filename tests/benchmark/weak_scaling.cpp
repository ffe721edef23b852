// Weak scaling over devices, modelled from measured steps (weak_scaling.hpp):
//   benchmark_weak_scaling BENCH.json...     each written by `tether bench JOB --device cuda --json`
// A step that starts everything at once is not split by the host's clock: then a third of it is forward.
// Without a file, by the steps that are aimed at on one H200. Prints exposed communication from 1 to 128
// devices, 8 per node, and the least time of a step that reaches 94 % at 128.
#include "weak_scaling.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using tether::benchmark::Step;

constexpr double target = 0.94;

Step step_of(double us, double megabytes) { return {us * 0.3, us * 0.6, us * 0.1, megabytes * 1e6}; }

std::pair<std::string, Step> read(const std::string& path) {
    std::ifstream file(path);
    const nlohmann::json j = nlohmann::json::parse(file);
    const double us = 1e3 * j.at("step_ms").at("median").get<double>();
    const double megabytes = 4e-6 * j.at("parameters").get<double>();
    Step step = step_of(us, megabytes);
    const auto& split = j.at("split_ms");
    if (split.at("backward").get<double>() > 0) {
        step.backward_us = 1e3 * split.at("backward").get<double>();
        step.update_us = 1e3 * split.at("optimise").get<double>();
        step.forward_us = us - step.backward_us - step.update_us;
    }
    return {fmt::format("{}, batch {} per device, {} ({})", j.at("job").get<std::string>(),
                        j.at("batch").get<long>(), j.at("device").get<std::string>(), path),
            step};
}

void print(const std::string& name, const Step& step) {
    fmt::print("{}\n  step {:.0f} us, gradient {:.2f} MB\n", name, step.us(), step.gradient_bytes * 1e-6);
    fmt::print("  {:>8} {:>8} {:>17} {:>12} {:>11}\n", "devices", "buckets", "communication us", "exposed us",
               "efficiency");
    for (const auto& [local, nodes] :
         std::vector<std::pair<int, int>>{{1, 1}, {2, 1}, {4, 1}, {8, 1}, {8, 2}, {8, 4}, {8, 8}, {8, 16}}) {
        const auto s = tether::benchmark::best(step, local, nodes);
        fmt::print("  {:>8} {:>8} {:>17.1f} {:>12.1f} {:>10.1f}%\n", local * nodes, s.buckets,
                   s.communication_us, s.exposed_us, 100 * s.efficiency);
    }
    double us = step.us();
    const auto longer = [&](double by) {
        return Step{step.forward_us * by, step.backward_us * by, step.update_us * by, step.gradient_bytes};
    };
    double low = 0.01, high = 1e4;
    for (int i = 0; i < 60; ++i) {
        const double middle = std::sqrt(low * high);
        (tether::benchmark::best(longer(middle), 8, 16).efficiency < target ? low : high) = middle;
    }
    fmt::print("  {:.0f} % at 128 devices from steps of {:.0f} us on: {}\n\n", 100 * target, us * high,
               high <= 1 ? "reached" : fmt::format("a {:.1f} times larger batch per device", high));
}

} // namespace

int main(int count, char** arguments) {
    try {
        if (count < 2) {
            fmt::print("No measurements given; the steps aimed at on one H200:\n\n");
            print("SEGNN strict, batch 100", step_of(100, 0.59));
            print("SEGNN + ACE, batch 100", step_of(150, 3.75));
            print("EGNO + ACE, batch 12", step_of(600, 5.2));
        }
        for (int i = 1; i < count; ++i) {
            const auto [name, step] = read(arguments[i]);
            print(name, step);
        }
    } catch (const std::exception& error) {
        fmt::print(stderr, "benchmark_weak_scaling: {}\n", error.what());
        return 2;
    }
    return 0;
}
