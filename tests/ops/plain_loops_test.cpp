// Operations with tables or indices against the plainest loops in double: bilinear maps, the gate,
// sums over segments, norms; and the buffers that statistics leave behind.
#include "tests/ops/operation_run.hpp"
#include "tether/core/error.hpp"
#include "tether/ops/attention.hpp"
#include "tether/ops/bilinear.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/gate.hpp"
#include "tether/ops/gram.hpp"
#include "tether/ops/graph.hpp"
#include "tether/ops/norms.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tether::test {
namespace {

using Matrix = std::vector<double>;

// Runs a recording on every batch; expected(part, field, parameters) gives what y must be.
template <class Record, class Expected>
void expect_equal(const Record& record, Index width, const Expected& expected, bool differentiable = true) {
    const RecordedOperation op({"case", record, {}, {width}, differentiable}, width);
    for (const Batch& batch : test_batches()) {
        SCOPED_TRACE(batch.name);
        const OperationNumbers<double> numbers(op, batch);
        OperationRunner<double> runner(op, batch, 0, batch.lanes.size(), Checking::debug);
        const Matrix found = runner.run(numbers).y;
        const Matrix right = expected(runner.part(), numbers);
        ASSERT_EQ(found.size(), right.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            ASSERT_NEAR(found[i], right[i], 1e-12 * std::max(1.0, std::abs(right[i]))) << "entry " << i;
        }
    }
}

// Element of a row-major matrix.
double at(const Matrix& m, Index columns, Index row, Index column) {
    return m[static_cast<std::size_t>(row * columns + column)];
}

// Blocks on and below the diagonal over two inputs, wider than one block.
TEST(PlainLoops, second_moments) {
    const Index first = 70;
    const Index second = 5;
    const ops::GramLayout layout({first, second});
    ASSERT_EQ(layout.width(), first + second);
    expect_equal(
        [&](OperationInputs& in) {
            const Value x = in.rows(Axis::node, first);
            return ops::gram(in.b, {x, in.rows(Axis::node, second)});
        },
        1,
        [&](const BatchPart<double>& part, const OperationNumbers<double>& n) {
            const Matrix &x = n.field.at("field0"), &y = n.field.at("field1");
            const Index width = layout.width();
            Matrix full(static_cast<std::size_t>(width * width), 0.0);
            Matrix out(static_cast<std::size_t>(layout.size()), 0.0);
            const auto entry = [&](Index row, Index k) {
                return k < first ? at(x, first, row, k) : at(y, second, row, k - first);
            };
            for (Index row = 0; row < part.rows(Axis::node); ++row) {
                for (Index i = 0; i < width; ++i) {
                    for (Index j = 0; j < width; ++j) {
                        full[static_cast<std::size_t>(i * width + j)] += entry(row, i) * entry(row, j);
                    }
                    out[static_cast<std::size_t>(layout.sum_offset() + i)] += entry(row, i);
                }
            }
            out[static_cast<std::size_t>(layout.count_offset())] = static_cast<double>(part.rows(Axis::node));
            for (const auto& block : layout.blocks()) {
                for (Index i = 0; i < block.rows; ++i) {
                    for (Index j = 0; j < block.columns; ++j) {
                        out[static_cast<std::size_t>(block.offset + i * block.columns + j)] =
                            at(full, width, block.row + i, block.column + j);
                    }
                }
            }
            // What is kept is enough for the whole matrix.
            Matrix expanded(full.size(), -1);
            layout.expand(out.data(), expanded.data());
            EXPECT_EQ(expanded.size(), full.size());
            for (std::size_t k = 0; k < full.size(); ++k) {
                EXPECT_DOUBLE_EQ(expanded[k], full[k]);
            }
            return out;
        },
        false);
}

TEST(PlainLoops, bilinear_maps) {
    const Index w = 9;
    const ops::BilinearMap map{30, {{3, 1, 0, w, 0.5}, {3, 10, 2, w, -2}, {21, 10, 1, w, 1.5}}};
    const auto value = [&](auto x, const Matrix& attributes, Index row, Index column) {
        double sum = 0;
        for (const ops::BilinearTerm& t : map.terms) {
            if (column >= t.out_column && column < t.out_column + t.length) {
                sum += t.coefficient * at(attributes, 3, row, t.attribute) *
                       x(t.x_column + column - t.out_column);
            }
        }
        return sum;
    };
    expect_equal(
        [&](OperationInputs& in) {
            const Value x = in.rows(Axis::node, 20); // one by one: their names follow the order of calls
            const Value a = in.rows(Axis::node, 3);
            const Value add = in.rows(Axis::node, 30);
            return ops::bilinear(in.b, x, a, map, {.add = add, .bias = in.parameter(7)});
        },
        w,
        [&](const BatchPart<double>& part, const OperationNumbers<double>& n) {
            const Matrix &x = n.field.at("field0"), &a = n.field.at("field1"), &add = n.field.at("field2");
            Matrix out;
            for (Index r = 0; r < part.rows(Axis::node); ++r) {
                for (Index c = 0; c < 30; ++c) {
                    const double bias = c < 7 ? n.parameters[static_cast<std::size_t>(c)] : 0;
                    out.push_back(value([&](Index k) { return at(x, 20, r, k); }, a, r, c) +
                                  at(add, 30, r, c) + bias);
                }
            }
            return out;
        });
    expect_equal(
        [&](OperationInputs& in) {
            const Value receiver = in.rows(Axis::node, 20);
            const Value sender = in.rows(Axis::node, 20);
            const Value edge = in.rows(Axis::edge, 20);
            return ops::gathered_bilinear(in.b, receiver, sender, edge, in.rows(Axis::edge, 3), map);
        },
        w,
        [&](const BatchPart<double>& part, const OperationNumbers<double>& n) {
            Matrix out;
            for (Index e = 0; e < part.rows(Axis::edge); ++e) {
                const auto x = [&](Index k) {
                    const auto i = static_cast<std::size_t>(e);
                    return at(n.field.at("field0"), 20, part.topology.receiver[i], k) +
                           at(n.field.at("field1"), 20, part.topology.sender[i], k) +
                           at(n.field.at("field2"), 20, e, k);
                };
                for (Index c = 0; c < 30; ++c) {
                    out.push_back(value(x, n.field.at("field3"), e, c));
                }
            }
            return out;
        });
}

TEST(PlainLoops, gate) {
    const kernels::GateShape shape{4, 5, 3 * 3 + 2 * 5, 1.25, 0.75};
    const std::vector<kernels::GatedTerm> terms{{0, 0, 3, 3}, {3, 9, 5, 2}};
    const auto sigma = [](double x) { return 1 / (1 + std::exp(-x)); };
    expect_equal([&](OperationInputs& in) { return ops::gate(in.b, in.rows(Axis::node, 28), shape, terms); },
                 1,
                 [&](const BatchPart<double>& part, const OperationNumbers<double>& n) {
                     const Matrix& x = n.field.at("field0");
                     Matrix out;
                     for (Index r = 0; r < part.rows(Axis::node); ++r) {
                         for (Index c = 0; c < 4; ++c) {
                             out.push_back(1.25 * at(x, 28, r, c) * sigma(at(x, 28, r, c)));
                         }
                         for (Index c = 0; c < 9; ++c) { // vectors: component-major, 3 copies
                             out.push_back(0.75 * sigma(at(x, 28, r, 4 + c % 3)) * at(x, 28, r, 9 + c));
                         }
                         for (Index c = 0; c < 10; ++c) { // degree 2: 2 copies
                             out.push_back(0.75 * sigma(at(x, 28, r, 7 + c % 2)) * at(x, 28, r, 18 + c));
                         }
                     }
                     return out;
                 });
}

TEST(PlainLoops, attention) {
    for (const kernels::AttentionShape shape : {kernels::AttentionShape{3, 1, 5}, {2, 2, 19}}) {
        const auto columns = shape.columns();
        expect_equal(
            [&](OperationInputs& in) { return ops::attention(in.b, in.rows(Axis::node, columns), shape); }, 1,
            [&](const BatchPart<double>& part, const OperationNumbers<double>& n) {
                const Matrix& x = n.field.at("field0");
                Matrix out;
                for (Index i = 0; i < part.rows(Axis::node); ++i) {
                    const auto graph =
                        static_cast<std::size_t>(part.topology.graph_of_node[static_cast<std::size_t>(i)]);
                    for (Index head = 0; head < shape.heads; ++head) {
                        const Index key = shape.key_heads == 1 ? 0 : head;
                        Matrix y(static_cast<std::size_t>(shape.channels), 0.0);
                        double total = 0;
                        for (Index j = part.topology.node_begin[graph];
                             j < part.topology.node_begin[graph + 1]; ++j) {
                            double score = 0;
                            for (Index c = 0; c < shape.channels; ++c) {
                                score += at(x, columns, i, head * shape.channels + c) *
                                         at(x, columns, j, (shape.heads + key) * shape.channels + c);
                            }
                            const double p = std::exp(score / std::sqrt(static_cast<double>(shape.channels)));
                            total += p;
                            for (Index c = 0; c < shape.channels; ++c) {
                                y[static_cast<std::size_t>(c)] +=
                                    p * at(x, columns, j,
                                           (shape.heads + shape.key_heads + key) * shape.channels + c);
                            }
                        }
                        for (const double v : y) {
                            out.push_back(v / total);
                        }
                    }
                }
                return out;
            });
    }
}

TEST(PlainLoops, layer_norm_and_nodes_side_by_side) {
    expect_equal([](OperationInputs& in) { return ops::layer_norm(in.b, in.rows(Axis::node, 37), 1e-5); }, 1,
                 [](const BatchPart<double>&, const OperationNumbers<double>& n) {
                     Matrix out = n.field.at("field0");
                     for (std::size_t row = 0; row < out.size(); row += 37) {
                         double mean = 0, square = 0;
                         for (std::size_t c = row; c < row + 37; ++c) {
                             mean += out[c] / 37;
                         }
                         for (std::size_t c = row; c < row + 37; ++c) {
                             square += (out[c] - mean) * (out[c] - mean) / 37;
                         }
                         for (std::size_t c = row; c < row + 37; ++c) {
                             out[c] = (out[c] - mean) / std::sqrt(square + 1e-5);
                         }
                     }
                     return out;
                 });
    expect_equal([](OperationInputs& in) { return ops::nodes_side_by_side(in.b, in.rows(Axis::node, 2), 5); },
                 1,
                 [](const BatchPart<double>& part, const OperationNumbers<double>& n) {
                     Matrix out(static_cast<std::size_t>(part.rows(Axis::graph) * 10), 0.0);
                     for (std::size_t g = 0; g < out.size() / 10; ++g) {
                         const auto first = static_cast<std::size_t>(part.topology.node_begin[g]) * 2;
                         const auto last = static_cast<std::size_t>(part.topology.node_begin[g + 1]) * 2;
                         for (std::size_t k = first; k < last; ++k) {
                             out[g * 10 + k - first] = n.field.at("field0")[k];
                         }
                     }
                     return out;
                 });
}

TEST(PlainLoops, a_graph_without_room_is_refused) {
    const OperationCase c{
        "case", [](OperationInputs& in) { return ops::nodes_side_by_side(in.b, in.rows(Axis::node, 1), 4); }};
    const RecordedOperation op(c, 1);
    const Batch star = test_batches()[2];
    const OperationNumbers<double> n(op, star);
    EXPECT_THROW((void)OperationRunner<double>(op, star, 0, star.lanes.size()).run(n), Error);
}

// Sums the rows of `from` that belong to each of `count` owners.
Matrix segment(const Matrix& from, Index columns, Index count, const std::vector<std::int32_t>& owner,
               bool mean) {
    Matrix sum(static_cast<std::size_t>(count * columns), 0.0);
    std::vector<double> rows(static_cast<std::size_t>(count), 0.0);
    for (std::size_t r = 0; r < owner.size(); ++r) {
        rows[static_cast<std::size_t>(owner[r])] += 1;
        for (Index c = 0; c < columns; ++c) {
            sum[static_cast<std::size_t>(owner[r] * columns + c)] +=
                at(from, columns, static_cast<Index>(r), c);
        }
    }
    for (std::size_t i = 0; mean && i < sum.size(); ++i) {
        sum[i] /= std::max(1.0, rows[i / static_cast<std::size_t>(columns)]);
    }
    return sum;
}

TEST(PlainLoops, sums_over_segments) {
    struct Sum {
        Value (*record)(Builder&, Value);
        Axis from, to;
        std::vector<std::int32_t> Topology::*owner;
        bool mean;
    };
    for (const Sum& s :
         {Sum{ops::sum_at_receiver, Axis::edge, Axis::node, &Topology::receiver, false},
          Sum{ops::sum_at_sender, Axis::edge, Axis::node, &Topology::sender, false},
          Sum{ops::mean_at_receiver, Axis::edge, Axis::node, &Topology::receiver, true},
          Sum{ops::sum_over_graph, Axis::node, Axis::graph, &Topology::graph_of_node, false},
          Sum{ops::mean_over_graph, Axis::node, Axis::graph, &Topology::graph_of_node, true}}) {
        expect_equal([&](OperationInputs& in) { return s.record(in.b, in.rows(s.from, 5)); }, 5,
                     [&](const BatchPart<double>& part, const OperationNumbers<double>& n) {
                         return segment(n.field.at("field0"), 5, part.rows(s.to), part.topology.*(s.owner),
                                        s.mean);
                     });
    }
    expect_equal([&](OperationInputs& in) { return ops::to_nodes(in.b, in.rows(Axis::graph, 5)); }, 5,
                 [&](const BatchPart<double>& part, const OperationNumbers<double>& n) {
                     Matrix out;
                     for (const std::int32_t g : part.topology.graph_of_node) {
                         for (Index c = 0; c < 5; ++c) {
                             out.push_back(at(n.field.at("field0"), 5, g, c));
                         }
                     }
                     return out;
                 });
}

TEST(PlainLoops, batch_norm_and_its_running_statistics) {
    const OperationCase c{
        "case", [](OperationInputs& in) {
            const Value x = in.rows(Axis::node, 3);
            const Value weight = in.parameter(3);
            const Value bias = in.parameter(3);
            const ops::BatchNormState state{in.state({3}, {}), in.state({3}, {}), in.state({}, {})};
            return ops::batch_norm(in.b, x, weight, bias, state, {});
        }};
    const RecordedOperation op(c, 3);
    for (const Batch& batch : test_batches()) {
        SCOPED_TRACE(batch.name);
        const OperationNumbers<double> n(op, batch);
        const auto result = OperationRunner<double>(op, batch, 0, batch.lanes.size(), Checking::debug).run(n);
        const Matrix& x = n.field.at("field0");
        const auto rows = static_cast<Index>(x.size()) / 3;
        for (Index k = 0; k < 3; ++k) {
            const auto i = static_cast<std::size_t>(k);
            double mean = 0;
            for (Index r = 0; r < rows; ++r) {
                mean += at(x, 3, r, k) / static_cast<double>(rows);
            }
            double square = 0;
            for (Index r = 0; r < rows; ++r) {
                square += std::pow(at(x, 3, r, k) - mean, 2);
            }
            const double variance = square / static_cast<double>(rows);
            const double unbiased = square / std::max(1.0, static_cast<double>(rows - 1));
            for (Index r = 0; r < rows; ++r) {
                const double right = (at(x, 3, r, k) - mean) / std::sqrt(variance + 1e-5) * n.parameters[i] +
                                     n.parameters[3 + i];
                ASSERT_NEAR(at(result.y, 3, r, k), right, 1e-10);
            }
            EXPECT_NEAR(result.next_state[i], 0.9 * n.state[i] + 0.1 * mean, 1e-13);
            EXPECT_NEAR(result.next_state[3 + i], 0.9 * n.state[3 + i] + 0.1 * unbiased, 1e-13);
        }
        EXPECT_EQ(result.next_state[6], n.state[6] + 1);
    }
}

TEST(PlainLoops, spectral_norm_and_its_vectors) {
    for (const int iterations : {0, 1, 5, 60}) {
        const OperationCase c{"case", [=](OperationInputs& in) {
                                  const Value weight = in.parameter(5 * 4);
                                  const Value y = ops::linear(in.b, {in.rows(Axis::node, 4)}, weight, 5);
                                  const Value u = in.state({5}, {});
                                  return ops::divide_by_spectral_norm(in.b, y, weight, u, in.state({4}, {}),
                                                                      5, 4, iterations);
                              }};
        const RecordedOperation op(c, 4);
        const Batch batch = test_batches()[2];
        const OperationNumbers<double> n(op, batch);
        const auto result = OperationRunner<double>(op, batch, 0, batch.lanes.size(), Checking::debug).run(n);
        const auto w = [&](std::size_t i, std::size_t j) { return n.parameters[i * 4 + j]; };
        std::vector<double> u(n.state.begin(), n.state.begin() + 5);
        std::vector<double> v(n.state.begin() + 5, n.state.end());
        const auto unit = [](std::vector<double>& x) {
            double norm = 0;
            for (const double e : x) {
                norm += e * e;
            }
            for (double& e : x) {
                e /= std::sqrt(norm);
            }
        };
        for (int k = 0; k < iterations; ++k) {
            for (std::size_t i = 0; i < 5; ++i) {
                u[i] = 0;
                for (std::size_t j = 0; j < 4; ++j) {
                    u[i] += w(i, j) * v[j];
                }
            }
            unit(u);
            for (std::size_t j = 0; j < 4; ++j) {
                v[j] = 0;
                for (std::size_t i = 0; i < 5; ++i) {
                    v[j] += w(i, j) * u[i];
                }
            }
            unit(v);
        }
        double sigma = 0;
        for (std::size_t i = 0; i < 5; ++i) {
            for (std::size_t j = 0; j < 4; ++j) {
                sigma += u[i] * w(i, j) * v[j];
            }
        }
        for (std::size_t r = 0; r * 5 < result.y.size(); ++r) {
            for (std::size_t i = 0; i < 5; ++i) {
                double sum = 0;
                for (std::size_t j = 0; j < 4; ++j) {
                    sum += w(i, j) * n.field.at("field1")[r * 4 + j];
                }
                ASSERT_NEAR(result.y[r * 5 + i], sum / sigma, 1e-11 * std::max(1.0, std::abs(1 / sigma)))
                    << iterations << " iterations, row " << r << ", column " << i << ", sigma " << sigma;
            }
        }
        if (iterations > 0) {
            for (std::size_t i = 0; i < 5; ++i) {
                ASSERT_NEAR(result.next_state[i], u[i], 1e-12);
            }
        } else {
            ASSERT_EQ(result.next_state, n.state) << "evaluation keeps the vectors";
        }
    }
}

} // namespace
} // namespace tether::test
