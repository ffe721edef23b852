// One element of an Adam update (Kingma and Ba, 2015) with the conventions of torch.optim.Adam:
// weight decay is added to the gradient (L2), eps stands outside the root,
//     m <- m + (1 - b1)(g - m),  v <- b2 v + (1 - b2) g^2,
//     p <- p - lr/(1 - b1^t) * m / (sqrt(v)/sqrt(1 - b2^t) + eps).
// What is the same for all elements is computed once per step, in double.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <cmath>

namespace tether::kernels {

struct AdamSettings {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double eps = 1e-8;
    double weight_decay = 0;
};

template <class T>
struct Adam {
    T gradient_scale = 1; // clipping: multiplies the gradient before weight decay is added
    T weight_decay = 0;
    T one_minus_beta1 = 0;
    T beta2 = 0;
    T one_minus_beta2 = 0;
    T step_size = 0;    // lr / (1 - b1^t)
    T inverse_root = 0; // 1 / sqrt(1 - b2^t)
    T eps = 0;

    Adam() = default;

    // count: updates of this element including the present one (t above, from 1).
    TETHER_HD Adam(const AdamSettings& settings, double learning_rate, Index count, double scale = 1)
        : gradient_scale(static_cast<T>(scale)), weight_decay(static_cast<T>(settings.weight_decay)),
          one_minus_beta1(static_cast<T>(1 - settings.beta1)), beta2(static_cast<T>(settings.beta2)),
          one_minus_beta2(static_cast<T>(1 - settings.beta2)),
          step_size(
              static_cast<T>(learning_rate / (1 - std::pow(settings.beta1, static_cast<double>(count))))),
          inverse_root(
              static_cast<T>(1 / std::sqrt(1 - std::pow(settings.beta2, static_cast<double>(count))))),
          eps(static_cast<T>(settings.eps)) {}

    TETHER_HD void operator()(T& parameter, T gradient, T& m, T& v) const {
        const T g = gradient * gradient_scale + weight_decay * parameter;
        m += one_minus_beta1 * (g - m);
        v = beta2 * v + one_minus_beta2 * g * g;
        parameter -= step_size * (m / (std::sqrt(v) * inverse_root + eps));
    }
};

} // namespace tether::kernels
