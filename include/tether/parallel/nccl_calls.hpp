// The calls of NCCL that the communicator makes, as an interface: the real ones (src/parallel/nccl), and a
// fake of the tests that plays several devices in one process. Calls return NCCL's result code; communicators
// are not blocking: `in_progress` means that state() tells when it is done. Nothing here throws.
#pragma once

#include "tether/parallel/device_communicator.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <string>

namespace tether::parallel {

using NcclId = std::array<std::byte, 128>;
using NcclComm = void*;

class NcclCalls {
public:
    static constexpr int success = 0, in_progress = 7;
    enum class Number { float32, float64 };

    NcclCalls() = default;
    NcclCalls(const NcclCalls&) = delete;
    NcclCalls& operator=(const NcclCalls&) = delete;
    virtual ~NcclCalls() = default;

    virtual int version(int& number) = 0; // 22809 for 2.28.9
    virtual int unique_id(NcclId& id) = 0;
    virtual int start(NcclComm& comm, int ranks, const NcclId& id, int rank) = 0;
    virtual int state(NcclComm comm, int& result) = 0;
    virtual int finish(NcclComm comm) = 0; // collective
    virtual int abort(NcclComm comm) = 0;  // not collective; ends what runs on the device
    virtual int begin_group() = 0;
    virtual int end_group() = 0;
    virtual int send(const void* from, std::size_t count, Number type, int peer, NcclComm comm,
                     void* stream) = 0;
    virtual int receive(void* to, std::size_t count, Number type, int peer, NcclComm comm, void* stream) = 0;
    virtual int all_reduce(void* values, std::size_t count, Number type, NcclComm comm, void* stream) = 0;
    [[nodiscard]] virtual std::string text(int result) const = 0;
};

[[nodiscard]] std::unique_ptr<NcclCalls> make_nccl_calls(); // null where this build has no NCCL

[[nodiscard]] std::unique_ptr<DeviceCommunicator>
make_nccl_communicator(std::unique_ptr<NcclCalls> calls, Communicator& ranks, device::Backend& backend,
                       const DeviceCommunicatorOptions& options);

} // namespace tether::parallel
