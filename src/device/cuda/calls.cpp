// The calls of the CUDA runtime, one line each (cuda_calls.hpp).
#include "tether/device/cuda_calls.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstring>

namespace tether::device {
namespace {

cudaStream_t stream_of(Stream s) { return static_cast<cudaStream_t>(s); }
cudaEvent_t event_of(Event e) { return static_cast<cudaEvent_t>(e); }

// Handles of CUDA are pointers of types of their own.
template <class Handle, class Make>
int make(void*& place, const Make& call) {
    Handle handle = nullptr;
    const cudaError_t result = call(&handle);
    place = handle;
    return result;
}

// CUDA keeps the device at hand per thread; replicas call from several.
thread_local int device_of_thread = -1;

class Runtime final : public CudaCalls {
public:
    int driver_version(int& version) override { return cudaDriverGetVersion(&version); }
    int runtime_version(int& version) override { return cudaRuntimeGetVersion(&version); }
    int device_count(int& count) override { return cudaGetDeviceCount(&count); }
    int facts(int number, DeviceFacts& facts) override {
        cudaDeviceProp p{};
        const cudaError_t result = cudaGetDeviceProperties(&p, number);
        facts.number = number;
        facts.name = p.name;
        facts.major = p.major;
        facts.minor = p.minor;
        facts.multiprocessors = p.multiProcessorCount;
        facts.memory = p.totalGlobalMem;
        facts.uuid = "GPU";
        for (std::size_t i = 0; i < sizeof p.uuid.bytes; ++i) {
            facts.uuid += fmt::format("{}{:02x}", i == 0 || i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                                      static_cast<unsigned char>(p.uuid.bytes[i]));
        }
        return result;
    }
    int peer_access(int from, int to, bool& possible) override {
        int can = 0;
        const cudaError_t result = cudaDeviceCanAccessPeer(&can, from, to);
        possible = can != 0;
        return result;
    }
    int use_device(int number) override {
        number_ = number;
        return here();
    }

    int code_version(const void* kernel, int& version) override {
        here();
        cudaFuncAttributes attributes{};
        const cudaError_t result = cudaFuncGetAttributes(&attributes, kernel);
        version = attributes.ptxVersion;
        return result;
    }

    int allocate(void*& memory, std::size_t bytes) override {
        const int result = here();
        return result != 0 ? result : cudaMalloc(&memory, bytes);
    }
    int release(void* memory) override { return cudaFree(memory); }
    int allocate_staging(void*& memory, std::size_t bytes) override {
        const int result = here();
        return result != 0 ? result : cudaMallocHost(&memory, bytes);
    }
    int release_staging(void* memory) override { return cudaFreeHost(memory); }

    int make_stream(Stream& stream, bool background) override {
        here();
        int least = 0, greatest = 0; // the greatest priority is the smaller number
        const cudaError_t known = cudaDeviceGetStreamPriorityRange(&least, &greatest);
        if (known != cudaSuccess) {
            return known;
        }
        return make<cudaStream_t>(stream, [&](cudaStream_t* s) {
            return cudaStreamCreateWithPriority(s, cudaStreamNonBlocking, background ? least : greatest);
        });
    }
    int end_stream(Stream stream) override { return cudaStreamDestroy(stream_of(stream)); }
    int make_event(Event& event) override {
        here();
        return make<cudaEvent_t>(
            event, [](cudaEvent_t* e) { return cudaEventCreateWithFlags(e, cudaEventDisableTiming); });
    }
    int end_event(Event event) override { return cudaEventDestroy(event_of(event)); }
    int record(Event event, Stream stream) override {
        return cudaEventRecord(event_of(event), stream_of(stream));
    }
    int wait(Stream stream, Event event) override {
        return cudaStreamWaitEvent(stream_of(stream), event_of(event), 0);
    }
    int happened(Event event, bool& happened) override {
        const cudaError_t result = cudaEventQuery(event_of(event));
        happened = result == cudaSuccess;
        return result == cudaErrorNotReady ? cudaSuccess : result;
    }
    int wait_for_event(Event event) override { return cudaEventSynchronize(event_of(event)); }
    int wait_for_stream(Stream stream) override { return cudaStreamSynchronize(stream_of(stream)); }

    int copy_to_device(void* to, const void* from, std::size_t bytes, Stream stream) override {
        return cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_of(stream));
    }
    int copy_to_host(void* to, const void* from, std::size_t bytes, Stream stream) override {
        return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_of(stream));
    }
    int copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream) override {
        return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(stream));
    }
    int clear(void* memory, std::size_t bytes, Stream stream) override {
        return cudaMemsetAsync(memory, 0, bytes, stream_of(stream));
    }
    int launch(const Launch& launch, const void* kernel, unsigned blocks, unsigned threads,
               Stream stream) override {
        void* arguments[] = {const_cast<std::byte*>(launch.bytes.data()), const_cast<Index*>(&launch.items)};
        return start(kernel, dim3(blocks), threads, launch.parts, arguments, stream);
    }
    int launch_many(const Launch& first, const void* kernel, unsigned blocks, unsigned threads,
                    unsigned members, const std::byte* functors, const Index* items, Stream stream) override {
        void* arguments[] = {&functors, &items};
        return start(kernel, dim3(blocks, members), threads, first.parts, arguments, stream);
    }

    int begin_capture(Stream stream) override {
        here();
        // Other threads (NCCL's, the coordinator's) may go on with what they do.
        return cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal);
    }
    int end_capture(Stream stream, Graph& graph) override {
        return make<cudaGraph_t>(graph,
                                 [&](cudaGraph_t* g) { return cudaStreamEndCapture(stream_of(stream), g); });
    }
    int instantiate(GraphRun& run, Graph graph) override {
        return make<cudaGraphExec_t>(run, [&](cudaGraphExec_t* r) {
            return cudaGraphInstantiate(r, static_cast<cudaGraph_t>(graph), 0);
        });
    }
    int end_graph(Graph graph) override { return cudaGraphDestroy(static_cast<cudaGraph_t>(graph)); }
    int launch_graph(GraphRun run, Stream stream) override {
        here();
        return cudaGraphLaunch(static_cast<cudaGraphExec_t>(run), stream_of(stream));
    }
    int end_graph_run(GraphRun run) override {
        return cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(run));
    }
    [[nodiscard]] std::string text(int result) const override {
        const auto error = static_cast<cudaError_t>(result);
        return fmt::format("{} ({})", cudaGetErrorString(error), cudaGetErrorName(error));
    }

private:
    int start(const void* kernel, dim3 blocks, unsigned threads, int parts, void** arguments, Stream stream) {
        here();
        cudaLaunchAttribute cluster{};
        cluster.id = cudaLaunchAttributeClusterDimension;
        cluster.val.clusterDim.x = static_cast<unsigned>(parts);
        cluster.val.clusterDim.y = 1;
        cluster.val.clusterDim.z = 1;
        cudaLaunchConfig_t config{};
        config.gridDim = blocks;
        config.blockDim = dim3(threads);
        config.stream = stream_of(stream);
        config.attrs = &cluster;
        config.numAttrs = parts > 1 ? 1 : 0; // devices before sm_90 have none
        return cudaLaunchKernelExC(&config, kernel, arguments);
    }
    // A failure shows in the call that follows.
    int here() {
        if (device_of_thread == number_) {
            return 0;
        }
        const cudaError_t result = cudaSetDevice(number_);
        device_of_thread = result == cudaSuccess ? number_ : -1;
        return result;
    }
    int number_ = 0;
};

} // namespace

std::unique_ptr<CudaCalls> make_cuda_calls() { return std::make_unique<Runtime>(); }

} // namespace tether::device
