// The trainer's part of a step in miniature, for tests: one flat vector [weights, gates, slacks] on a
// quadratic task loss, driven through the same Method and MethodState as a training run.
#pragma once

#include "tether/kernels/adam.hpp"
#include "tether/kernels/norm.hpp"
#include "tether/kernels/sgd.hpp"
#include "tether/methods/method.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace tether::methods::test_support {

struct PrimalSettings {
    bool adam = true;
    double eps = 1e-8;
    double weight_decay = 0;
    double clip = 0; // 0: off
};

// J0 = (z - c)^T H (z - c) / 2 in z = (weights, gates); empty H: J0 = 0.
struct Quadratic {
    std::vector<double> H, c;
};

class Descent {
public:
    Descent(const MethodSettings& settings, const PrimalSettings& primal, Quadratic task,
            std::vector<double> weights, std::vector<double> gates, Index steps_per_epoch = 1)
        : method_(make_method(settings)), primal_(primal), task_(std::move(task)), weights_(weights.size()),
          sites_(gates.size()), value_(std::move(weights)) {
        value_.insert(value_.end(), gates.begin(), gates.end());
        if (method_->sites().slack) {
            value_.resize(value_.size() + sites_, method_->sites().initial_u);
        }
        first_.assign(value_.size(), 0);
        second_.assign(value_.size(), 0);
        state_ = method_->start({.sites = static_cast<Index>(sites_), .steps_per_epoch = steps_per_epoch});
    }

    void step(double rate, double dual_rate) {
        std::vector<double> gradient(value_.size(), 0.0);
        const std::size_t n = weights_ + sites_;
        task_loss_ = 0;
        for (std::size_t i = 0; i < n && !task_.H.empty(); ++i) {
            for (std::size_t j = 0; j < n; ++j) {
                gradient[i] += task_.H[i * n + j] * (value_[j] - task_.c[j]);
            }
            task_loss_ += 0.5 * (value_[i] - task_.c[i]) * gradient[i];
        }
        const std::span<double> d(gradient);
        extra_loss_ = method_->primal_terms(
            {gamma(), u(), state_->control(), d.subspan(weights_, sites_), d.subspan(n)});
        state_->advance({step_, dual_rate, gamma(), u()});
        ++step_;
        double scale = 1;
        if (primal_.clip > 0) {
            const auto size = static_cast<Index>(gradient.size());
            scale = std::min(1.0, primal_.clip /
                                      (std::sqrt(kernels::squared_norm_block(gradient.data(), size)) + 1e-6));
        }
        const kernels::Adam<double> adam({.eps = primal_.eps, .weight_decay = primal_.weight_decay}, rate,
                                         step_, scale);
        const kernels::Sgd<double> sgd({0, primal_.weight_decay}, rate, scale);
        for (std::size_t i = 0; i < value_.size(); ++i) {
            primal_.adam ? adam(value_[i], gradient[i], first_[i], second_[i]) : sgd(value_[i], gradient[i]);
        }
    }

    [[nodiscard]] std::span<const double> weights() const { return {value_.data(), weights_}; }
    [[nodiscard]] std::span<const double> gamma() const { return {value_.data() + weights_, sites_}; }
    [[nodiscard]] std::span<const double> u() const {
        return std::span<const double>(value_).subspan(weights_ + sites_);
    }
    [[nodiscard]] std::span<const double> lambda() const {
        return static_cast<const MethodState&>(*state_).control().lambda();
    }
    [[nodiscard]] double task_loss() const { return task_loss_; } // before the last update
    [[nodiscard]] double extra_loss() const { return extra_loss_; }
    [[nodiscard]] MethodState& state() { return *state_; }
    [[nodiscard]] std::vector<double>& value() { return value_; }

private:
    std::unique_ptr<Method> method_;
    std::unique_ptr<MethodState> state_;
    PrimalSettings primal_;
    Quadratic task_;
    std::size_t weights_;
    std::size_t sites_;
    std::vector<double> value_, first_, second_;
    Index step_ = 0;
    double task_loss_ = 0;
    double extra_loss_ = 0;
};

} // namespace tether::methods::test_support
