#include "tether/run/filling.hpp"

#include "tether/data/collate.hpp"
#include "tether/run/turning.hpp"

#include <algorithm>

namespace tether::run {

std::vector<std::string> data_fields(const Program& program) {
    const std::string prefix = turned_prefix;
    std::vector<std::string> names;
    for (const std::string& name : program.fields) {
        names.push_back(name.starts_with(prefix) ? name.substr(prefix.size()) : name);
    }
    return names;
}

template <class T>
BatchFiller<T>::BatchFiller(const Setup& setup, const parallel::LaneMap& lanes)
    : setup_(setup), lanes_(lanes), elements_(static_cast<std::size_t>(lanes.threads())) {
    const Program& program = setup.network->training();
    turned_ = data_fields(program);
    fields_ = setup.set.field_numbers(turned_);
    for (std::size_t f = 0; f < turned_.size(); ++f) {
        if (!program.fields[f].starts_with(turned_prefix)) {
            turned_[f].clear();
        }
    }
}

template <class T>
void BatchFiller<T>::begin(Index step, std::span<const Index> samples) {
    step_ = step;
    samples_ = samples;
}

template <class T>
void BatchFiller<T>::operator()(Index first, Index count, BatchPart<T>& part) {
    data::collate(setup_.set, fields_, samples_, lanes_.lanes(), first, count, part);
    if (setup_.network->tasks().turned) {
        auto& elements =
            elements_[static_cast<std::size_t>((first - lanes_.mine().first) / lanes_.lanes_per_thread())];
        draw_elements(setup_.set.group.proper(), static_cast<std::uint64_t>(setup_.job.seed),
                      Purpose::augmentation, step_, part.sample, elements);
        turn<T>(part, turned_, elements);
    }
}

template class BatchFiller<float>;
template class BatchFiller<double>;

} // namespace tether::run
