// The calls of the CUDA runtime that the backend makes, as an interface: the real ones (src/device/cuda), and
// a recording fake of the tests that plays streams, events and graphs on the host. Every call returns CUDA's
// result code, 0 for success; nothing here throws.
#pragma once

#include "tether/device/backend.hpp"
#include "tether/device/devices.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace tether::device {

using Stream = void*;
using Event = void*;
using Graph = void*;    // as captured
using GraphRun = void*; // ready to be launched

class CudaCalls {
public:
    CudaCalls() = default;
    CudaCalls(const CudaCalls&) = delete;
    CudaCalls& operator=(const CudaCalls&) = delete;
    virtual ~CudaCalls() = default;

    virtual int driver_version(int& version) = 0; // 0: no driver
    virtual int runtime_version(int& version) = 0;
    virtual int device_count(int& count) = 0;
    virtual int facts(int number, DeviceFacts& facts) = 0;
    virtual int peer_access(int from, int to, bool& possible) = 0;
    virtual int use_device(int number) = 0;
    // The virtual architecture (90 for sm_90) that the code of a kernel was made for, which may be older than
    // the device.
    virtual int code_version(const void* kernel, int& version) = 0;

    virtual int allocate(void*& memory, std::size_t bytes) = 0;
    virtual int release(void* memory) = 0;
    virtual int allocate_staging(void*& memory, std::size_t bytes) = 0;
    virtual int release_staging(void* memory) = 0;

    virtual int make_stream(Stream& stream, bool background) = 0; // gives way to others
    virtual int end_stream(Stream stream) = 0;
    virtual int make_event(Event& event) = 0;
    virtual int end_event(Event event) = 0;
    virtual int record(Event event, Stream stream) = 0;
    virtual int wait(Stream stream, Event event) = 0;      // the stream waits, not the host
    virtual int happened(Event event, bool& happened) = 0; // the host asks
    virtual int wait_for_event(Event event) = 0;           // the host waits
    virtual int wait_for_stream(Stream stream) = 0;

    virtual int copy_to_device(void* to, const void* from, std::size_t bytes, Stream stream) = 0;
    virtual int copy_to_host(void* to, const void* from, std::size_t bytes, Stream stream) = 0;
    virtual int copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream) = 0;
    virtual int clear(void* memory, std::size_t bytes, Stream stream) = 0;
    // kernel(functor in launch.bytes, launch.items)
    virtual int launch(const Launch& launch, const void* kernel, unsigned blocks, unsigned threads,
                       Stream stream) = 0;
    // The same functor for `members` replicas, whose values and items lie in device memory.
    virtual int launch_many(const Launch& first, const void* kernel, unsigned blocks, unsigned threads,
                            unsigned members, const std::byte* functors, const Index* items,
                            Stream stream) = 0;

    virtual int begin_capture(Stream stream) = 0;
    virtual int end_capture(Stream stream, Graph& graph) = 0; // null where the capture was spoilt
    virtual int instantiate(GraphRun& run, Graph graph) = 0;
    virtual int end_graph(Graph graph) = 0;
    virtual int launch_graph(GraphRun run, Stream stream) = 0;
    virtual int end_graph_run(GraphRun run) = 0;

    [[nodiscard]] virtual std::string
    text(int result) const = 0; // "out of memory (cudaErrorMemoryAllocation)"
};

[[nodiscard]] std::unique_ptr<CudaCalls> make_cuda_calls(); // null where this build has no CUDA

// Over any implementation; the functions without `calls` use those of this build.
[[nodiscard]] Survey survey_devices(CudaCalls& calls);
[[nodiscard]] std::unique_ptr<Backend> make_cuda(std::unique_ptr<CudaCalls> calls, int number,
                                                 const Launchers& launchers);

} // namespace tether::device
