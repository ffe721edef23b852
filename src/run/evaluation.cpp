#include "tether/run/evaluation.hpp"

#include "src/run/part_runner.hpp"
#include "tether/core/error.hpp"
#include "tether/data/collate.hpp"
#include "tether/run/turning.hpp"

#include <algorithm>

namespace tether::run {
namespace {

const Program& program_of(const Network& network, Mode mode) {
    return mode == Mode::projected ? network.projected() : network.relaxed();
}

} // namespace

template <class T>
std::vector<T> evaluation_control(const Program& program, std::span<const double> controlled_gates) {
    std::vector<T> control;
    for (const std::string& name : program.controls) {
        control.push_back(
            name == loss_factor
                ? T(1)
                : static_cast<T>(controlled_gates[static_cast<std::size_t>(std::stol(name.substr(4)))]));
    }
    return control;
}

template std::vector<float> evaluation_control(const Program&, std::span<const double>);
template std::vector<double> evaluation_control(const Program&, std::span<const double>);

template <class T>
struct Evaluator<T>::Worker {
    std::unique_ptr<PartRunner<T>> runner[2];
    BatchPart<T> part, turned;
    std::vector<symmetry::O3Element> elements;
    std::vector<T> reference, rotated;
};

template <class T>
Evaluator<T>::Evaluator(const Setup& setup, parallel::Communicator& communicator, parallel::ThreadTeam& team,
                        device::Backend* backend)
    : setup_(setup), communicator_(communicator), team_(team), on_device_(backend != nullptr) {
    const Network& network = *setup.network;
    for (int t = 0; t < (on_device_ ? 1 : team.size()); ++t) {
        auto worker = std::make_unique<Worker>();
        for (const Mode mode : {Mode::projected, Mode::relaxed}) {
            const Program& program = program_of(network, mode);
            std::unique_ptr<PartRunner<T>>& runner = worker->runner[static_cast<int>(mode)];
            if (on_device_) {
                runner = std::make_unique<DevicePartRunner<T>>(program, network.trained_size(),
                                                               network.states().size(), *backend);
            } else {
                runner = std::make_unique<HostPartRunner<T>>(program);
            }
        }
        workers_.push_back(std::move(worker));
    }
    for (const Mode mode : {Mode::projected, Mode::relaxed}) {
        if (!on_device_) {
            packed_[static_cast<int>(mode)] = std::make_unique<PackedWeights<T>>(program_of(network, mode));
        }
    }
}

template <class T>
Evaluator<T>::~Evaluator() = default;

template <class T>
void Evaluator<T>::prepare(Mode mode, const EvaluationNumbers<T>& numbers) {
    const auto m = static_cast<std::size_t>(mode);
    EvaluationNumbers<T> all = numbers;
    if (packed_[m] != nullptr) {
        if (!packed_ready_[m]) {
            packed_[m]->renew(numbers.parameters.data());
            packed_ready_[m] = true;
        }
        all.packed = packed_[m]->data();
    }
    for (const auto& worker : workers_) {
        worker->runner[m]->use(all);
    }
}

// task(worker, chunk) for the chunks of this rank, over its threads.
template <class T>
template <class Task>
void Evaluator<T>::for_chunks(Index chunks, Task&& task) {
    const Index ranks = communicator_.size();
    const Index threads = std::ssize(workers_);
    const auto run = [&](int thread) {
        for (Index c = 0; c < chunks; ++c) {
            if (c % (ranks * threads) == communicator_.rank() * threads + thread) {
                task(*workers_[static_cast<std::size_t>(thread)], c);
            }
        }
    };
    if (on_device_) {
        run(0);
    } else {
        team_.run(run);
    }
}

template <class T>
double Evaluator<T>::loss(Mode mode, data::Split split, std::span<const T> parameters,
                          std::span<const T> state, std::span<const double> controlled_gates) {
    const Program& program = program_of(*setup_.network, mode);
    const std::vector<Index>& samples = setup_.set.samples(split);
    check(!samples.empty(), ExitCode::data, "{}: the {} split is empty", setup_.set.path,
          data::split_name(split));
    const std::vector<int> fields = setup_.set.field_numbers(program.fields);
    const std::vector<T> control = evaluation_control<T>(program, controlled_gates);
    prepare(mode, {parameters, state, control});
    const auto count = static_cast<Index>(samples.size());
    const Index chunk_samples = setup_.evaluation_chunk(on_device_);
    const Index chunks = (count + chunk_samples - 1) / chunk_samples;
    std::vector<double> sums(static_cast<std::size_t>(chunks), 0.0);
    for_chunks(chunks, [&](Worker& w, Index c) {
        const Index first = c * chunk_samples;
        const std::span<const Index> part(samples.data() + first,
                                          static_cast<std::size_t>(std::min(chunk_samples, count - first)));
        data::collate(setup_.set, fields, part, 1, 0, 1, w.part);
        PartRunner<T>& runner = *w.runner[static_cast<int>(mode)];
        runner.run(w.part);
        sums[static_cast<std::size_t>(c)] = static_cast<double>(runner.output("loss")[0]);
    });
    if (communicator_.size() > 1) {
        communicator_.all_reduce_tree(std::span<double>(sums)); // every entry has one owner: no rounding
    }
    double total = 0;
    for (const double s : sums) {
        total += s;
    }
    return total * setup_.evaluation_factor_of(samples);
}

template <class T>
methods::EquivarianceError Evaluator<T>::equivariance(Mode mode, data::Split split, Index sample_count,
                                                      Index elements, std::span<const T> parameters,
                                                      std::span<const T> state,
                                                      std::span<const double> controlled_gates) {
    const Program& program = program_of(*setup_.network, mode);
    const std::vector<Index>& samples = setup_.set.samples(split);
    const std::vector<int> fields = setup_.set.field_numbers(program.fields);
    const std::vector<T> control = evaluation_control<T>(program, controlled_gates);
    prepare(mode, {parameters, state, control});
    const Index count = std::min<Index>(sample_count, static_cast<Index>(samples.size()));
    const Index chunk_samples = setup_.evaluation_chunk(on_device_);
    const Index chunks = (count + chunk_samples - 1) / chunk_samples;
    const Index width = setup_.network->target_columns();
    const bool nodes = setup_.network->target_extent().axis == Axis::node;
    const bool vector = nodes && is_vector_field(setup_.network->model().target().name, width);
    const auto times = static_cast<std::int32_t>(setup_.network->target_extent().times);
    constexpr std::size_t terms = 10;
    std::vector<double> all(static_cast<std::size_t>(chunks) * terms, 0.0);
    for_chunks(chunks, [&](Worker& w, Index c) {
        const Index first = c * chunk_samples;
        const std::span<const Index> part(samples.data() + first,
                                          static_cast<std::size_t>(std::min(chunk_samples, count - first)));
        PartRunner<T>& runner = *w.runner[static_cast<int>(mode)];
        data::collate(setup_.set, fields, part, 1, 0, 1, w.part);
        runner.run(w.part);
        const auto output = runner.output("prediction");
        w.reference.assign(output.begin(), output.end());
        std::vector<std::int32_t> begin = w.part.topology.node_begin;
        if (!nodes) {
            begin.resize(part.size() + 1);
            for (std::size_t g = 0; g < begin.size(); ++g) {
                begin[g] = static_cast<std::int32_t>(g);
            }
        }
        for (std::int32_t& row : begin) {
            row *= times;
        }
        methods::EquivarianceMeasure measure;
        measure.begin<T>(w.reference, width, begin);
        for (Index e = 0; e < elements; ++e) {
            draw_elements(setup_.set.group, static_cast<std::uint64_t>(setup_.job.seed), Purpose::measurement,
                          e, part, w.elements);
            w.turned = w.part;
            turn<T>(w.turned, program.fields, w.elements);
            runner.run(w.turned);
            w.rotated = w.reference;
            if (vector) {
                turn_nodes<T>(w.part, w.rotated, w.elements);
            }
            measure.add<T>(runner.output("prediction"), w.rotated);
        }
        const methods::EquivarianceSums s = measure.sums();
        const double values[terms] = {s.row_norms,
                                      s.output_norms,
                                      s.sample_norms,
                                      s.averaged,
                                      s.minimum,
                                      s.maximum,
                                      static_cast<double>(s.rows),
                                      static_cast<double>(s.output_rows),
                                      static_cast<double>(s.samples),
                                      static_cast<double>(s.averaged_samples)};
        std::copy_n(values, terms, all.data() + static_cast<std::size_t>(c) * terms);
    });
    if (communicator_.size() > 1) {
        communicator_.all_reduce_tree(std::span<double>(all));
    }
    methods::EquivarianceSums total;
    for (Index c = 0; c < chunks; ++c) {
        const double* v = all.data() + static_cast<std::size_t>(c) * terms;
        methods::EquivarianceSums s;
        s.row_norms = v[0];
        s.output_norms = v[1];
        s.sample_norms = v[2];
        s.averaged = v[3];
        s.minimum = v[4];
        s.maximum = v[5];
        s.rows = static_cast<Index>(v[6]);
        s.output_rows = static_cast<Index>(v[7]);
        s.samples = static_cast<Index>(v[8]);
        s.averaged_samples = static_cast<Index>(v[9]);
        total += s;
    }
    return total.error();
}

template class Evaluator<float>;
template class Evaluator<double>;

} // namespace tether::run
