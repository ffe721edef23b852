// See optimiser.hpp. The loops are written so that the compiler vectorises them: plain pointers
// that do not overlap, one functor, no branch inside.
#include "tether/optimise/optimiser.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/optimise/clip.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace tether::optimise {
namespace {

template <class T>
void adam_loop(const kernels::Adam<T> adam, Index count, T* __restrict parameter,
               const T* __restrict gradient, T* __restrict first, T* __restrict second) {
    for (Index i = 0; i < count; ++i) {
        adam(parameter[i], gradient[i], first[i], second[i]);
    }
}

template <class T>
void sgd_loop(const kernels::Sgd<T> sgd, Index count, T* __restrict parameter, const T* __restrict gradient) {
    for (Index i = 0; i < count; ++i) {
        sgd(parameter[i], gradient[i]);
    }
}

template <class T>
void momentum_loop(const kernels::Sgd<T> sgd, Index count, T* __restrict parameter,
                   const T* __restrict gradient, T* __restrict first) {
    for (Index i = 0; i < count; ++i) {
        sgd(parameter[i], gradient[i], first[i]);
    }
}

} // namespace

std::vector<std::string> optimiser_names() { return {"adam", "sgd"}; }

OptimiserKind optimiser_kind(std::string_view name) {
    const std::vector<std::string> names = optimiser_names();
    const auto found = std::ranges::find(names, name);
    check(found != names.end(), "unknown optimizer '{}'{}", name, hint(name, names));
    return static_cast<OptimiserKind>(found - names.begin());
}

std::string optimiser_name(OptimiserKind kind) { return optimiser_names()[static_cast<std::size_t>(kind)]; }

void check_settings(const OptimiserSettings& s) {
    check(s.beta1 >= 0 && s.beta1 < 1, "primal beta1 is {}, expected a value in [0, 1)", s.beta1);
    check(s.beta2 >= 0 && s.beta2 < 1, "primal beta2 is {}, expected a value in [0, 1)", s.beta2);
    check(s.eps >= 0 && std::isfinite(s.eps), "primal eps is {}, expected a value >= 0", s.eps);
    check(s.momentum >= 0 && s.momentum < 1, "primal momentum is {}, expected a value in [0, 1)", s.momentum);
    check(s.momentum == 0 || s.kind == OptimiserKind::sgd,
          "primal momentum is {} with optimizer adam, expected 0 (momentum belongs to sgd)", s.momentum);
    check(s.weight_decay >= 0 && std::isfinite(s.weight_decay),
          "primal weight decay is {}, expected a value >= 0", s.weight_decay);
    check(s.clip_norm >= 0 && std::isfinite(s.clip_norm),
          "primal clip is {}, expected a value > 0, or 0 for no clipping", s.clip_norm);
}

template <class T>
int Optimiser<T>::moments(const OptimiserSettings& settings) {
    if (settings.kind == OptimiserKind::adam) {
        return 2;
    }
    return settings.momentum != 0 ? 1 : 0;
}

template <class T>
Optimiser<T>::Optimiser(const OptimiserSettings& settings, Index size, std::vector<Range> ranges,
                        Moments moments)
    : settings_(settings), size_(size), ranges_(std::move(ranges)) {
    check_settings(settings_);
    check(size_ >= 0, "optimiser: size is {}, expected 0 or more", size_);
    if (ranges_.empty()) {
        ranges_.push_back({0, size_});
    }
    Index last = 0;
    for (const Range& range : ranges_) {
        check(range.begin >= last && range.end >= range.begin && range.end <= size_,
              "optimiser: range [{}, {}) is not ascending, disjoint and within [{}, {})", range.begin,
              range.end, last, size_);
        last = range.end;
    }
    reached_.assign(ranges_.size(), 1);
    counts_.assign(ranges_.size(), 0);
    segments_.reserve(ranges_.size());
    const auto place = [&](int number, std::span<T> given, std::vector<T>& own) {
        const std::size_t wanted =
            Optimiser::moments(settings_) > number ? static_cast<std::size_t>(size_) : 0;
        if (moments.first.empty()) {
            own.assign(wanted, T{0});
            given = own;
        }
        check(given.size() == wanted, "optimiser: room for {} numbers of moment {}, expected {}",
              given.size(), number + 1, wanted);
        return given;
    };
    first_ = place(0, moments.first, own_first_);
    second_ = place(1, moments.second, own_second_);
}

template <class T>
void Optimiser<T>::set_reached(std::span<const std::uint8_t> reached) {
    check(reached.size() == ranges_.size(), "optimiser: {} reached flags for {} ranges", reached.size(),
          ranges_.size());
    reached_.assign(reached.begin(), reached.end());
}

template <class T>
void Optimiser<T>::prepare(double learning_rate, double gradient_norm) {
    const double scale = clip_factor(gradient_norm, settings_.clip_norm);
    const kernels::AdamSettings adam{settings_.beta1, settings_.beta2, settings_.eps, settings_.weight_decay};
    sgd_ = kernels::Sgd<T>({settings_.momentum, settings_.weight_decay}, learning_rate, scale);
    segments_.clear();
    for (std::size_t r = 0; r < ranges_.size(); ++r) {
        if (reached_[r] == 0) {
            continue;
        }
        const Index count = ++counts_[r];
        if (!segments_.empty() && segments_.back().count == count &&
            segments_.back().range.end == ranges_[r].begin) {
            segments_.back().range.end = ranges_[r].end;
        } else {
            segments_.push_back({ranges_[r], count, kernels::Adam<T>(adam, learning_rate, count, scale)});
        }
    }
}

template <class T>
void Optimiser<T>::update(Index begin, Index end, std::span<T> parameter, std::span<const T> gradient) {
    check(static_cast<Index>(parameter.size()) == size_ && static_cast<Index>(gradient.size()) == size_,
          "optimiser: {} parameters and {} gradients, expected {}", parameter.size(), gradient.size(), size_);
    auto segment =
        std::ranges::upper_bound(segments_, begin, {}, [](const Segment& s) { return s.range.end; });
    for (; segment != segments_.end() && segment->range.begin < end; ++segment) {
        const Index from = std::max(begin, segment->range.begin);
        const Index count = std::min(end, segment->range.end) - from;
        T* const p = parameter.data() + from;
        const T* const g = gradient.data() + from;
        if (settings_.kind == OptimiserKind::adam) {
            adam_loop(segment->adam, count, p, g, first_.data() + from, second_.data() + from);
        } else if (settings_.momentum != 0) {
            momentum_loop(sgd_, count, p, g, first_.data() + from);
        } else {
            sgd_loop(sgd_, count, p, g);
        }
    }
}

template class Optimiser<float>;
template class Optimiser<double>;

} // namespace tether::optimise
