// Runs a program that evaluates on one part after the other, on cores or on a device, and gives back its
// named outputs.
#pragma once

#include "tether/core/error.hpp"
#include "tether/program/device_executor.hpp"
#include "tether/program/executor.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tether::run {

// The numbers an evaluation takes. The vectors must live as long as they are used.
template <class T>
struct EvaluationNumbers {
    std::span<const T> parameters, state, control;
    const T* packed = nullptr; // of the program, on cores
};

template <class T>
class PartRunner {
public:
    PartRunner() = default;
    PartRunner(const PartRunner&) = delete;
    PartRunner& operator=(const PartRunner&) = delete;
    virtual ~PartRunner() = default;
    // To be called before run(), and again when numbers have changed.
    virtual void use(const EvaluationNumbers<T>& numbers) = 0;
    virtual void run(const BatchPart<T>& part) = 0;
    // Of the last run, until the next.
    [[nodiscard]] virtual std::span<const T> output(const std::string& name) = 0;
};

template <class T>
class HostPartRunner : public PartRunner<T> {
public:
    explicit HostPartRunner(const Program& program) : executor_(program) {}
    void use(const EvaluationNumbers<T>& numbers) override {
        environment_ = {.parameters = numbers.parameters.data(),
                        .state = numbers.state.data(),
                        .control = numbers.control.data(),
                        .packed = numbers.packed};
    }
    void run(const BatchPart<T>& part) override { executor_.run(part, environment_); }
    [[nodiscard]] std::span<const T> output(const std::string& name) override {
        return executor_.output(name);
    }

private:
    HostExecutor<T> executor_;
    Environment<T> environment_;
};

template <class T>
class DevicePartRunner : public PartRunner<T> {
public:
    DevicePartRunner(const Program& program, Index parameters, Index states, device::Backend& backend)
        : program_(program), backend_(backend), parameters_(backend), state_(backend), control_(backend),
          sums_(backend) {
        const auto room = [](Index n) { return std::max<Index>(1, n); };
        parameters_.require(room(parameters));
        state_.require(room(states));
        control_.require(room(static_cast<Index>(program.controls.size())));
        sums_.require(room(program.sum_columns()));
        executor_ = std::make_unique<DeviceExecutor<T>>(program, backend,
                                                        DeviceEnvironment<T>{.parameters = parameters_.data(),
                                                                             .sums = sums_.data(),
                                                                             .state = state_.data(),
                                                                             .control = control_.data()});
    }
    ~DevicePartRunner() override {
        try {
            backend_.synchronise(); // nothing may still use the memory that is about to go
        } catch (const Error&) {    // a device that failed has been reported
        }
    }
    void use(const EvaluationNumbers<T>& numbers) override {
        parameters_.load(numbers.parameters);
        state_.load(numbers.state);
        control_.load(numbers.control);
    }
    void run(const BatchPart<T>& part) override {
        executor_->load(part);
        executor_->run();
    }
    [[nodiscard]] std::span<const T> output(const std::string& name) override {
        const auto found = program_.outputs.find(name);
        check(found != program_.outputs.end(), "the program has no output {}", name);
        return output_[name] = executor_->value(found->second);
    }

private:
    const Program& program_;
    device::Backend& backend_;
    device::Buffer<T> parameters_, state_, control_, sums_;
    std::unique_ptr<DeviceExecutor<T>> executor_;
    std::map<std::string, std::vector<T>> output_;
};

} // namespace tether::run
