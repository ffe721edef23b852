// The calls of NCCL, one line each (nccl_calls.hpp).
#include "tether/parallel/nccl_calls.hpp"

#include <nccl.h>

#include <cstring>

namespace tether::parallel {
namespace {

static_assert(sizeof(NcclId) == sizeof(ncclUniqueId) && NcclCalls::success == ncclSuccess &&
              NcclCalls::in_progress == ncclInProgress);

ncclComm_t comm_of(NcclComm comm) { return static_cast<ncclComm_t>(comm); }
cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

class Library final : public NcclCalls {
public:
    int version(int& number) override { return ncclGetVersion(&number); }
    int unique_id(NcclId& id) override {
        ncclUniqueId made;
        const ncclResult_t result = ncclGetUniqueId(&made);
        std::memcpy(id.data(), &made, sizeof made);
        return result;
    }
    int start(NcclComm& comm, int ranks, const NcclId& id, int rank) override {
        ncclUniqueId of_all;
        std::memcpy(&of_all, id.data(), sizeof of_all);
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 0;
        ncclComm_t made = nullptr;
        const ncclResult_t result = ncclCommInitRankConfig(&made, ranks, of_all, rank, &config);
        comm = made;
        return result;
    }
    int state(NcclComm comm, int& result) override {
        ncclResult_t now = ncclSuccess;
        const ncclResult_t asked = ncclCommGetAsyncError(comm_of(comm), &now);
        result = now;
        return asked;
    }
    int finish(NcclComm comm) override {
        ncclResult_t result = ncclCommFinalize(comm_of(comm));
        while (result == ncclInProgress) {
            ncclCommGetAsyncError(comm_of(comm), &result);
        }
        const ncclResult_t destroyed = ncclCommDestroy(comm_of(comm));
        return result != ncclSuccess ? result : destroyed;
    }
    int abort(NcclComm comm) override { return ncclCommAbort(comm_of(comm)); }
    int begin_group() override { return ncclGroupStart(); }
    int end_group() override { return ncclGroupEnd(); }
    int send(const void* from, std::size_t count, Number type, int peer, NcclComm comm,
             void* stream) override {
        return ncclSend(from, count, type_of(type), peer, comm_of(comm), stream_of(stream));
    }
    int receive(void* to, std::size_t count, Number type, int peer, NcclComm comm, void* stream) override {
        return ncclRecv(to, count, type_of(type), peer, comm_of(comm), stream_of(stream));
    }
    int all_reduce(void* values, std::size_t count, Number type, NcclComm comm, void* stream) override {
        return ncclAllReduce(values, values, count, type_of(type), ncclSum, comm_of(comm), stream_of(stream));
    }
    [[nodiscard]] std::string text(int result) const override {
        const char* last = ncclGetLastError(nullptr);
        const std::string detail = last != nullptr ? last : "";
        return ncclGetErrorString(static_cast<ncclResult_t>(result)) + (detail.empty() ? "" : ": " + detail);
    }

private:
    static ncclDataType_t type_of(Number type) { return type == Number::float32 ? ncclFloat32 : ncclFloat64; }
};

} // namespace

std::unique_ptr<NcclCalls> make_nccl_calls() { return std::make_unique<Library>(); }

} // namespace tether::parallel
