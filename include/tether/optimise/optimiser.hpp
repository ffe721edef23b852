// First-order optimiser over one flat parameter vector (Adam, SGD), exactly as torch.optim does it
// (kernels/adam.hpp, kernels/sgd.hpp). A parameter that the loss does not reach is skipped: no
// decay, no step count, so every range of the vector counts its own updates.
// One step: one thread calls prepare(); then any threads call update() on disjoint parts, which
// reads parameter, gradient and moments once. The result does not depend on the parts chosen.
#pragma once

#include "tether/core/types.hpp"
#include "tether/kernels/adam.hpp"
#include "tether/kernels/sgd.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tether::optimise {

enum class OptimiserKind : std::uint8_t { adam, sgd };

// Throws Error(usage) naming the nearest known optimiser.
[[nodiscard]] OptimiserKind optimiser_kind(std::string_view name);
[[nodiscard]] std::string optimiser_name(OptimiserKind kind);
[[nodiscard]] std::vector<std::string> optimiser_names();

struct OptimiserSettings {
    OptimiserKind kind = OptimiserKind::adam;
    double beta1 = 0.9;      // adam
    double beta2 = 0.999;    // adam
    double eps = 1e-8;       // adam
    double momentum = 0;     // sgd
    double weight_decay = 0; // added to the gradient (L2), after clipping
    double clip_norm = 0;    // 0: no clipping
};

// Throws Error(usage) where a value is out of its range or of another optimiser.
void check_settings(const OptimiserSettings& settings);

struct Range {
    Index begin = 0;
    Index end = 0;
    friend bool operator==(const Range&, const Range&) = default;
};

template <class T>
class Optimiser {
public:
    // ranges: ascending and disjoint in [0, size), one per parameter; what lies in none of them is
    // never touched. Without ranges the whole vector is one. moments: zeroed memory for them that others
    // may see, moments(settings) of them with `size` numbers each; without it they are the optimiser's own.
    struct Moments {
        std::span<T> first, second;
    };
    Optimiser(const OptimiserSettings& settings, Index size, std::vector<Range> ranges = {},
              Moments moments = {});
    Optimiser(const Optimiser&) = delete;
    Optimiser& operator=(const Optimiser&) = delete;

    // Moments kept of every element: 2 with adam, 1 with momentum, else 0.
    [[nodiscard]] static int moments(const OptimiserSettings& settings);

    [[nodiscard]] const OptimiserSettings& settings() const { return settings_; }
    [[nodiscard]] Index size() const { return size_; }
    [[nodiscard]] std::span<const Range> ranges() const { return ranges_; }

    // One flag per range: 0 where the loss of the coming steps does not reach it.
    void set_reached(std::span<const std::uint8_t> reached);

    // Starts a step: counts it and computes what all elements share. gradient_norm (of everything
    // given to the step, methods.md 1.3) is used for clipping only. Allocates nothing.
    void prepare(double learning_rate, double gradient_norm = 0);

    // Applies the step to [begin, end) of the flat vectors, both of size().
    void update(Index begin, Index end, std::span<T> parameter, std::span<const T> gradient);

    // The state a checkpoint holds, to be written and to be filled. Moments are empty where the
    // optimiser has none (sgd: no second; without momentum no first).
    [[nodiscard]] std::span<T> first_moment() { return first_; }
    [[nodiscard]] std::span<T> second_moment() { return second_; }
    [[nodiscard]] std::span<Index> counts() { return counts_; } // updates done, one per range

    // Neighbouring reached ranges with the same count, and their shared numbers.
    struct Segment {
        Range range;
        Index count = 0;
        kernels::Adam<T> adam;
    };
    // What prepare() made for the present step, for updates that are done elsewhere (on a device).
    [[nodiscard]] std::span<const Segment> segments() const { return segments_; }
    [[nodiscard]] const kernels::Sgd<T>& sgd() const { return sgd_; }

private:
    OptimiserSettings settings_;
    Index size_;
    std::vector<Range> ranges_;
    std::vector<std::uint8_t> reached_;
    std::vector<Index> counts_;
    std::vector<Segment> segments_; // of the present step
    kernels::Sgd<T> sgd_;
    std::vector<T> own_first_, own_second_;
    std::span<T> first_, second_; // one's own or in somebody else's memory
};

extern template class Optimiser<float>;
extern template class Optimiser<double>;

} // namespace tether::optimise
