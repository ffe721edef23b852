// See device_communicator.hpp; and sums that go through the host, for one rank, for the emulation, and for
// builds without NCCL.
#include "tether/parallel/device_communicator.hpp"

#include "tether/core/error.hpp"
#include "tether/parallel/nccl_calls.hpp"

#include <map>
#include <vector>

namespace tether::parallel {
namespace {

class StagedSums final : public DeviceCommunicator {
public:
    StagedSums(Communicator& ranks, device::Backend& backend) : ranks_(ranks), backend_(backend) {}
    [[nodiscard]] std::string description() const override {
        return ranks_.size() == 1 ? "one device"
                                  : fmt::format("{} devices through host memory", ranks_.size());
    }
    [[nodiscard]] bool in_graph() const override { return ranks_.size() == 1; } // nothing to be done
    void sum(float* values, Index count, SumOrder order) override { sum_of(values, count, order, floats_); }
    void sum(double* values, Index count, SumOrder order) override { sum_of(values, count, order, doubles_); }
    void check_peers() override {} // ranks_ throws
    [[nodiscard]] std::string trouble() const override { return ranks_.waiting_for(); }

private:
    template <class T>
    void sum_of(T* values, Index count, SumOrder order, std::vector<T>& host) {
        if (ranks_.size() == 1) {
            return;
        }
        host.resize(static_cast<std::size_t>(count));
        backend_.to_host(host.data(), values, host.size() * sizeof(T));
        if (order == SumOrder::tree) {
            ranks_.all_reduce_tree(std::span<T>(host));
        } else {
            ranks_.all_reduce_fast(std::span<T>(host));
        }
        backend_.to_device(values, host.data(), host.size() * sizeof(T));
    }

    Communicator& ranks_;
    device::Backend& backend_;
    std::vector<float> floats_;
    std::vector<double> doubles_;
};

} // namespace

void check_devices_differ(Communicator& ranks, const device::Backend& backend) {
    const std::string mine = backend.identity();
    const std::vector<Bytes> all = ranks.all_gather(std::as_bytes(std::span(mine)));
    std::map<std::string, std::size_t> owner;
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
        const std::string name(reinterpret_cast<const char*>(all[rank].data()), all[rank].size());
        if (name.empty()) {
            continue;
        }
        const auto [found, fresh] = owner.emplace(name, rank);
        check(fresh, ExitCode::device,
              "ranks {} and {} use the same device {}: start as many ranks per node as it has devices "
              "(--ntasks-per-node with --gpus-per-node)",
              found->second, rank, name);
    }
}

std::unique_ptr<DeviceCommunicator> make_device_communicator(Communicator& ranks, device::Backend& backend,
                                                             const DeviceCommunicatorOptions& options) {
    if (ranks.size() > 1 && backend.stream() != nullptr) {
        if (auto calls = make_nccl_calls()) {
            return make_nccl_communicator(std::move(calls), ranks, backend, options);
        }
    }
    check_devices_differ(ranks, backend);
    return std::make_unique<StagedSums>(ranks, backend);
}

} // namespace tether::parallel
