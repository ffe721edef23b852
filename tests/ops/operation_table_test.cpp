// The checks that every operation of the table passes: gradients against central differences in
// double, float against double, any grouping of lanes, tiles and the debug executor bitwise; and that
// no operation of src/ops and no function of include/tether/ops is missing from the table.
#include "tests/ops/device_operation.hpp"
#include "tests/ops/operation_run.hpp"
#include "tests/ops/operation_table.hpp"
#include "tether/core/error.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

namespace tether::test {
namespace {

std::string label(const testing::TestParamInfo<std::size_t>& info) {
    std::string name = operation_table()[info.param].name;
    std::ranges::replace(name, '/', '_');
    return name;
}

template <class T>
double largest(const std::vector<T>& values) {
    double most = 0;
    for (const T v : values) {
        most = std::max(most, std::abs(static_cast<double>(v)));
    }
    return most;
}

class Operation : public testing::TestWithParam<std::size_t> {
protected:
    // f(recorded operation, batch) for every width and batch.
    template <class F>
    void each(F&& f) {
        const OperationCase& c = operation_table()[GetParam()];
        for (const Index width : c.widths) {
            const RecordedOperation op(c, width);
            for (const Batch& batch : test_batches()) {
                SCOPED_TRACE(c.name + ", width " + std::to_string(width) + ", batch: " + batch.name);
                f(op, batch);
                if (HasFatalFailure()) {
                    return;
                }
            }
        }
    }
};

TEST_P(Operation, gradients_agree_with_differences) {
    if (!operation_table()[GetParam()].differentiable) {
        each([](const RecordedOperation& op, const Batch&) {
            ASSERT_EQ(op.program.forward_nodes, op.program.nodes.size());
        });
        return;
    }
    each([](const RecordedOperation& op, const Batch& batch) {
        OperationNumbers<double> numbers(op, batch);
        OperationRunner<double> runner(op, batch, 0, batch.lanes.size());
        const OperationResult<double> result = runner.run(numbers);
        double scale = largest(result.gradient);
        for (const auto& [name, g] : result.input_gradient) {
            scale = std::max(scale, largest(g));
        }
        const auto compare = [&](const std::string& name, std::vector<double>& x,
                                 const std::vector<double>& gradient) {
            ASSERT_EQ(x.size(), gradient.size()) << name;
            constexpr double h = 2e-5;
            const double tolerance = 1e-6 * std::max(largest(gradient), 1e-2 * scale) + 1e-10;
            // Every entry of small tensors; of large ones, entries spread over all rows and columns.
            const std::size_t stride = x.size() <= 400 ? 1 : x.size() / 97;
            for (std::size_t i = 0; i < x.size(); i += stride) {
                const double at = x[i];
                x[i] = at + h;
                const double above = runner.run(numbers).sums[0];
                x[i] = at - h;
                const double below = runner.run(numbers).sums[0];
                x[i] = at;
                ASSERT_NEAR((above - below) / (2 * h), gradient[i], tolerance) << name << " entry " << i;
            }
        };
        compare("parameters", numbers.parameters, result.gradient);
        for (const ValueInfo& v : op.program.values) {
            if (v.kind == ValueKind::input && v.needs_gradient) {
                const auto g = result.input_gradient.find("gradient/" + v.name);
                ASSERT_NE(g, result.input_gradient.end()) << "no gradient of " << v.name;
                compare(v.name, numbers.field[v.name], g->second);
            }
        }
    });
}

TEST_P(Operation, float_agrees_with_double) {
    each([](const RecordedOperation& op, const Batch& batch) {
        const auto single =
            OperationRunner<float>(op, batch, 0, batch.lanes.size()).run(OperationNumbers<float>(op, batch));
        const auto twice = OperationRunner<double>(op, batch, 0, batch.lanes.size())
                               .run(OperationNumbers<double>(op, batch));
        double scale = largest(twice.gradient);
        for (const auto& [name, g] : twice.input_gradient) {
            scale = std::max(scale, largest(g));
        }
        const auto compare = [](const std::string& name, const std::vector<float>& a,
                                const std::vector<double>& b, double of) {
            ASSERT_EQ(a.size(), b.size()) << name;
            const double tolerance = 1e-5 * std::max(largest(b), 1e-2 * of);
            for (std::size_t i = 0; i < a.size(); ++i) {
                ASSERT_NEAR(static_cast<double>(a[i]), b[i], tolerance) << name << " entry " << i;
            }
        };
        compare("y", single.y, twice.y, 1.0);
        compare("gradient", single.gradient, twice.gradient, scale);
        compare("state", single.next_state, twice.next_state, 1.0);
        for (const auto& [name, g] : twice.input_gradient) {
            compare(name, single.input_gradient.at(name), g, scale);
        }
    });
}

template <class T>
void expect_same_in_parts(const RecordedOperation& op, const Batch& batch) {
    const OperationNumbers<T> numbers(op, batch);
    const OperationResult<T> whole = OperationRunner<T>(op, batch, 0, batch.lanes.size()).run(numbers);
    for (const std::size_t parts : {std::size_t{2}, std::size_t{4}}) {
        const OperationResult<T> sum = run_in_parts(op, batch, numbers, parts);
        ASSERT_EQ(sum.gradient, whole.gradient) << parts << " parts";
        ASSERT_EQ(sum.sums, whole.sums) << parts << " parts";
        ASSERT_EQ(sum.next_state, whole.next_state) << parts << " parts";
        ASSERT_EQ(sum.input_gradient, whole.input_gradient) << parts << " parts";
        if (op.rows_extent.axis != Axis::one) {
            ASSERT_EQ(sum.y, whole.y) << parts << " parts";
        }
    }
}

// Launch lists, their indices and the order of their phases, without a device: the emulation runs the same
// functors. What agrees forwards and backwards has no race between items, blocks or threads of a phase.
TEST_P(Operation, launches_agree_with_the_host) {
    each([](const RecordedOperation& op, const Batch& batch) {
        const OperationNumbers<double> numbers(op, batch);
        const OperationResult<double> host =
            OperationRunner<double>(op, batch, 0, batch.lanes.size()).run(numbers);
        const auto forwards = device::make_emulation(false);
        const OperationResult<double> device = run_on_device<double>(*forwards, op, batch, numbers, 3);
        const auto backwards = device::make_emulation(true);
        ASSERT_EQ(run_on_device<double>(*backwards, op, batch, numbers, 0), device) << "order matters";
        const OperationResult<double> apart =
            run_on_device<double>(*forwards, op, batch, numbers, 3, true, true);
        double scale = largest(host.gradient);
        for (const auto& [name, g] : host.input_gradient) {
            scale = std::max(scale, largest(g));
        }
        const auto compare = [](const std::string& name, const std::vector<double>& a,
                                const std::vector<double>& b, double of) {
            ASSERT_EQ(a.size(), b.size()) << name;
            const double tolerance = 1e-12 * std::max(largest(b), 1e-2 * of);
            for (std::size_t i = 0; i < a.size(); ++i) {
                ASSERT_NEAR(a[i], b[i], tolerance) << name << " entry " << i;
            }
        };
        for (const OperationResult<double>* result : {&device, &apart}) {
            compare("y", result->y, host.y, 1.0);
            compare("sums", result->sums, host.sums, 1.0);
            compare("gradient", result->gradient, host.gradient, scale);
            compare("extra gradient", result->extra_gradient, host.extra_gradient, scale);
            compare("state", result->next_state, host.next_state, 1.0);
            for (const auto& [name, g] : host.input_gradient) {
                compare(name, result->input_gradient.at(name), g, scale);
            }
        }
    });
}

TEST_P(Operation, any_grouping_of_lanes_gives_the_same_bits) {
    each([](const RecordedOperation& op, const Batch& batch) {
        if (batch.lanes.size() == 4) {
            expect_same_in_parts<float>(op, batch);
            if (!testing::Test::HasFatalFailure()) {
                expect_same_in_parts<double>(op, batch);
            }
        }
    });
}

TEST_P(Operation, tiles_change_no_bit) {
    each([](const RecordedOperation& op, const Batch& batch) {
        const OperationNumbers<float> numbers(op, batch);
        OperationRunner<float> whole(op, batch, 0, batch.lanes.size(), Checking::none, 0);
        const OperationResult<float> expected = whole.run(numbers);
        for (const Index rows : {1, 3, 16}) {
            OperationRunner<float> tiled(op, batch, 0, batch.lanes.size(), Checking::none, rows);
            ASSERT_EQ(tiled.run(numbers), expected) << "tiles of " << rows << " rows";
        }
    });
}

TEST_P(Operation, debug_executor_gives_the_same_bits) {
    each([](const RecordedOperation& op, const Batch& batch) {
        const OperationNumbers<float> numbers(op, batch);
        OperationRunner<float> plain(op, batch, 0, batch.lanes.size());
        OperationRunner<float> debug(op, batch, 0, batch.lanes.size(), Checking::debug);
        const OperationResult<float> expected = plain.run(numbers);
        ASSERT_EQ(debug.run(numbers), expected);
        // Once more: by now everything that was freed is poisoned, and nothing may have grown.
        ASSERT_EQ(debug.run(numbers), expected);
        ASSERT_EQ(plain.run(numbers), expected);
        ASSERT_EQ(debug.executor().allocations(), 1);
    });
}

INSTANTIATE_TEST_SUITE_P(table, Operation, testing::Range(std::size_t{0}, operation_table().size()), label);

std::string text_of(const std::filesystem::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::filesystem::path> files_of(const std::string& folder) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::string(TETHER_SOURCE_DIR) + "/" + folder)) {
        files.push_back(entry.path());
    }
    return files;
}

TEST(OperationTable, executes_every_operation_of_the_sources) {
    std::set<std::string> executed;
    for (const OperationCase& c : operation_table()) {
        for (const Node& n : RecordedOperation(c, c.widths.back()).program.nodes) {
            executed.insert(std::string(n.op->name()));
        }
    }
    std::set<std::string> known;
    const std::regex rule(R"(name\(\) const override \{([^}]*)\})");
    const std::regex quoted(R"re("([^"]+)")re");
    for (const auto& file : files_of("src/ops")) {
        const std::string text = text_of(file);
        for (std::sregex_iterator m(text.begin(), text.end(), rule); m != std::sregex_iterator(); ++m) {
            const std::string body = (*m)[1];
            for (std::sregex_iterator q(body.begin(), body.end(), quoted); q != std::sregex_iterator(); ++q) {
                known.insert((*q)[1]);
            }
        }
    }
    ASSERT_GT(known.size(), 25U) << "the sources are not where they are looked for";
    for (const std::string& name : known) {
        EXPECT_TRUE(executed.contains(name)) << "operation " << name << " is in no case of the table";
    }
}

TEST(OperationTable, has_a_case_for_every_function_of_the_headers) {
    std::set<std::string> covered;
    for (const OperationCase& c : operation_table()) {
        covered.insert(c.name.substr(0, c.name.find('/')));
        covered.insert(c.functions.begin(), c.functions.end());
    }
    std::set<std::string> offered;
    const std::regex function(R"((\w+)\((Builder& b|Reverse& r)\b)");
    for (const auto& file : files_of("include/tether/ops")) {
        const std::string text = text_of(file);
        for (std::sregex_iterator m(text.begin(), text.end(), function); m != std::sregex_iterator(); ++m) {
            offered.insert((*m)[1]);
        }
    }
    ASSERT_GT(offered.size(), 30U);
    for (const std::string& name : offered) {
        EXPECT_TRUE(covered.contains(name)) << "ops::" << name << " has no case in the table";
    }
}

TEST(OperationTable, wrong_shapes_are_refused_with_a_message) {
    for (const WrongOperation& wrong : wrong_operations()) {
        ParameterSet parameters;
        StateSet states;
        Builder b(parameters, states);
        OperationInputs in(b, 4);
        try {
            wrong.record(in);
            ADD_FAILURE() << wrong.name << " is accepted";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::usage) << wrong.name;
            EXPECT_GT(std::string(error.what()).size(), 15U) << wrong.name << ": " << error.what();
        }
    }
}

} // namespace
} // namespace tether::test
