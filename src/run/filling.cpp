#include "tether/run/filling.hpp"

#include "tether/data/collate.hpp"
#include "tether/methods/drawn.hpp"
#include "tether/run/turning.hpp"

#include <algorithm>
#include <array>

namespace tether::run {

namespace {

// What a field is called in the data.
std::string data_name(const std::string& field) {
    const std::string prefix = turned_prefix;
    return field.starts_with(prefix) ? field.substr(prefix.size()) : field;
}

} // namespace

std::vector<int> field_numbers(const data::GraphSet& set, const Program& program) {
    std::vector<int> numbers;
    for (const std::string& field : program.fields) {
        const bool drawn = field.starts_with(methods::drawn_prefix);
        numbers.push_back(drawn ? -1 : set.field_number(data_name(field)));
    }
    return numbers;
}

template <class T>
BatchFiller<T>::BatchFiller(const Setup& setup, const parallel::LaneMap& lanes)
    : setup_(setup), lanes_(lanes), fields_(field_numbers(setup.set, setup.network->training())),
      draws_(setup.network->training(), static_cast<std::uint64_t>(setup.job.seed)),
      elements_(static_cast<std::size_t>(lanes.threads())) {
    for (const std::string& field : setup.network->training().fields) {
        turned_.push_back(field.starts_with(turned_prefix) ? data_name(field) : "");
    }
}

template <class T>
void BatchFiller<T>::begin(Index step, std::span<const Index> samples) {
    step_ = step;
    samples_ = samples;
    draws_.begin(setup_.set, samples, step);
}

template <class T>
void BatchFiller<T>::operator()(Index first, Index count, BatchPart<T>& part) {
    data::collate(setup_.set, fields_, samples_, lanes_.lanes(), first, count, part);
    if (setup_.network->tasks().turned) {
        auto& elements =
            elements_[static_cast<std::size_t>((first - lanes_.mine().first) / lanes_.lanes_per_thread())];
        const bool together = setup_.network->tasks().together;
        const std::array<Index, 1> nobody{-1}; // a number that no sample has
        draw_elements(setup_.set.group.proper(), static_cast<std::uint64_t>(setup_.job.seed),
                      Purpose::augmentation, step_, together ? std::span<const Index>(nobody) : part.sample,
                      elements);
        if (together) {
            elements.resize(part.sample.size(), elements.front());
        }
        turn<T>(part, turned_, elements);
    }
    draws_.fill(part);
}

template class BatchFiller<float>;
template class BatchFiller<double>;

} // namespace tether::run
