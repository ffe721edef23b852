// One element of a gradient step with the conventions of torch.optim.SGD: weight decay is added to
// the gradient (L2), m <- mu m + g, p <- p - lr m (no dampening; without momentum p <- p - lr g,
// which needs no m). The first step of momentum starts from m = 0, so m = g.
#pragma once

#include "tether/core/host_device.hpp"

namespace tether::kernels {

struct SgdSettings {
    double momentum = 0;
    double weight_decay = 0;
};

template <class T>
struct Sgd {
    T gradient_scale = 1; // clipping: multiplies the gradient before weight decay is added
    T weight_decay = 0;
    T momentum = 0;
    T learning_rate = 0;

    Sgd() = default;
    Sgd(const SgdSettings& settings, double rate, double scale = 1)
        : gradient_scale(static_cast<T>(scale)), weight_decay(static_cast<T>(settings.weight_decay)),
          momentum(static_cast<T>(settings.momentum)), learning_rate(static_cast<T>(rate)) {}

    TETHER_HD void operator()(T& parameter, T gradient) const {
        parameter -= learning_rate * (gradient * gradient_scale + weight_decay * parameter);
    }
    TETHER_HD void operator()(T& parameter, T gradient, T& m) const {
        m = momentum * m + (gradient * gradient_scale + weight_decay * parameter);
        parameter -= learning_rate * m;
    }
};

} // namespace tether::kernels
