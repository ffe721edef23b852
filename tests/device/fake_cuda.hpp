// A CUDA that the host plays: streams are queues that nothing moves until somebody waits, and then in a
// random order that only events restrain; work captured into a graph runs when the graph is launched. So a
// missing wait shows as a wrong number. Every call is recorded by name, and any of them can be made to fail.
#pragma once

#include "tether/device/cuda_calls.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace tether::test {

// What outlives the backend that owns the calls: settings, the record, the memory.
struct FakeMachine {
    int driver = 13000, runtime = 13000, devices = 1;
    int code = 90; // architecture of kernels
    unsigned seed = 1;
    bool eager = false; // everything happens at once
    // Call number `fail_at` (from 0) of that name fails with this code.
    std::string fail_call;
    int fail_at = 0;
    int fail_code = 2;
    std::vector<std::string> calls;
    std::map<std::string, int> number_of;
    std::map<void*, std::size_t> memory; // alive
    int handles = 0;                     // streams, events and graphs alive
    std::vector<std::string> launched;   // names of launches in the order in which they ran

    [[nodiscard]] int count(const std::string& call) const {
        const auto found = number_of.find(call);
        return found == number_of.end() ? 0 : found->second;
    }
};

class FakeCuda final : public device::CudaCalls {
public:
    static constexpr int out_of_memory = 2, invalid = 1, unsafe_in_capture = 900;

    explicit FakeCuda(std::shared_ptr<FakeMachine> machine) : m_(std::move(machine)), random_(m_->seed) {}

    int driver_version(int& version) override {
        version = m_->driver;
        return noted("cudaDriverGetVersion");
    }
    int runtime_version(int& version) override {
        version = m_->runtime;
        return noted("cudaRuntimeGetVersion");
    }
    int device_count(int& count) override {
        count = m_->devices;
        return count == 0 ? 100 : noted("cudaGetDeviceCount");
    }
    int facts(int number, device::DeviceFacts& facts) override {
        facts = {number, "Fake", "GPU-" + std::to_string(number), 9, 0, 132, std::size_t{1} << 30};
        return noted("cudaGetDeviceProperties");
    }
    int peer_access(int, int, bool& possible) override {
        possible = true;
        return noted("cudaDeviceCanAccessPeer");
    }
    int use_device(int) override { return noted("cudaSetDevice"); }
    int code_version(const void* kernel, int& version) override {
        version = m_->code;
        return kernel == nullptr ? invalid : noted("cudaFuncGetAttributes");
    }

    int allocate(void*& memory, std::size_t bytes) override { return take("cudaMalloc", memory, bytes); }
    int release(void* memory) override { return give("cudaFree", memory); }
    int allocate_staging(void*& memory, std::size_t bytes) override {
        return take("cudaMallocHost", memory, bytes);
    }
    int release_staging(void* memory) override { return give("cudaFreeHost", memory); }

    int make_stream(device::Stream& stream, bool /*background*/) override {
        return make("cudaStreamCreateWithPriority", stream, new Queue);
    }
    int end_stream(device::Stream stream) override {
        const int result = noted("cudaStreamDestroy");
        work_.erase(queue(stream));
        end(static_cast<Queue*>(stream));
        return result;
    }
    int make_event(device::Event& event) override {
        return make("cudaEventCreateWithFlags", event, new Mark);
    }
    int end_event(device::Event event) override {
        end(static_cast<Mark*>(event));
        return noted("cudaEventDestroy");
    }
    int record(device::Event event, device::Stream stream) override {
        if (const int failed = noted("cudaEventRecord")) {
            return failed;
        }
        auto* mark = static_cast<Mark*>(event);
        mark->captured = captures(stream);
        if (mark->captured) {
            return 0;
        }
        const long wanted = ++mark->recorded;
        put(stream, [mark, wanted] { mark->done = std::max(mark->done, wanted); });
        return 0;
    }
    int wait(device::Stream stream, device::Event event) override {
        if (const int failed = noted("cudaStreamWaitEvent")) {
            return failed;
        }
        auto* mark = static_cast<Mark*>(event);
        if (mark->captured) { // joins or goes on with the capture
            joined_.insert(queue(stream));
            return 0;
        }
        if (captures(stream)) {
            return unsafe_in_capture;
        }
        work_[queue(stream)].push_back({[] {}, mark, mark->recorded});
        settle();
        return 0;
    }
    int happened(device::Event event, bool& happened) override {
        const auto* mark = static_cast<Mark*>(event);
        happened = mark->done >= mark->recorded;
        return noted("cudaEventQuery");
    }
    int wait_for_event(device::Event event) override {
        const int result = blocking("cudaEventSynchronize");
        const auto* mark = static_cast<Mark*>(event);
        while (result == 0 && mark->done < mark->recorded && step()) {
        }
        return result;
    }
    int wait_for_stream(device::Stream stream) override {
        const int result = blocking("cudaStreamSynchronize");
        while (result == 0 && !work_[queue(stream)].empty() && step()) {
        }
        return result;
    }

    int copy_to_device(void* to, const void* from, std::size_t bytes, device::Stream stream) override {
        return copy("cudaMemcpyAsync", to, from, bytes, stream);
    }
    int copy_to_host(void* to, const void* from, std::size_t bytes, device::Stream stream) override {
        return copy("cudaMemcpyAsync", to, from, bytes, stream);
    }
    int copy_on_device(void* to, const void* from, std::size_t bytes, device::Stream stream) override {
        return copy("cudaMemcpyAsync", to, from, bytes, stream);
    }
    int clear(void* memory, std::size_t bytes, device::Stream stream) override {
        if (const int failed = noted("cudaMemsetAsync")) {
            return failed;
        }
        put(stream, [=] { std::memset(memory, 0, bytes); });
        return 0;
    }
    int launch(const device::Launch& launch, const void* kernel, unsigned blocks, unsigned threads,
               device::Stream stream) override {
        if (const int failed = noted("cudaLaunchKernel")) {
            return failed;
        }
        const auto covered = static_cast<Index>(blocks) / launch.parts *
                             (launch.shape == device::Launch::Shape::team ? 1 : static_cast<Index>(threads));
        if (kernel == nullptr || blocks == 0 || threads == 0 || threads > 1024 || covered < launch.items ||
            blocks % static_cast<unsigned>(launch.parts) != 0) { // a grid of whole clusters
            return invalid;
        }
        put(stream, [this, launch] {
            launch.emulate(launch, false);
            m_->launched.push_back(launch.name);
        });
        return 0;
    }
    int launch_many(const device::Launch& first, const void* kernel, unsigned blocks, unsigned threads,
                    unsigned members, const std::byte* functors, const Index* items,
                    device::Stream stream) override {
        if (const int failed = noted("cudaLaunchKernel")) {
            return failed;
        }
        if (kernel == nullptr || blocks == 0 || threads == 0 || members == 0 ||
            blocks % static_cast<unsigned>(first.parts) != 0) {
            return invalid;
        }
        const auto covered = static_cast<Index>(blocks) / first.parts *
                             (first.shape == device::Launch::Shape::team ? 1 : static_cast<Index>(threads));
        put(stream, [=, this, launch = first]() mutable {
            for (unsigned k = 0; k < members; ++k) {
                std::memcpy(launch.bytes.data(), functors + k * launch.size, launch.size);
                launch.items = std::min(items[k], covered);
                launch.emulate(launch, false);
            }
            m_->launched.push_back(launch.name);
        });
        return 0;
    }

    int begin_capture(device::Stream stream) override {
        if (const int failed = noted("cudaStreamBeginCapture")) {
            return failed;
        }
        if (capture_ != nullptr) {
            return unsafe_in_capture;
        }
        capture_ = std::make_unique<Work>();
        origin_ = queue(stream);
        joined_ = {origin_};
        spoilt_ = false;
        return 0;
    }
    int end_capture(device::Stream stream, device::Graph& graph) override {
        const int failed = noted("cudaStreamEndCapture");
        graph = nullptr;
        if (capture_ == nullptr || queue(stream) != origin_) {
            return invalid;
        }
        auto captured = std::move(capture_);
        joined_.clear();
        if (spoilt_ || failed != 0) {
            return failed != 0 ? failed : unsafe_in_capture + 1;
        }
        graph = captured.release();
        ++m_->handles;
        return 0;
    }
    int instantiate(device::GraphRun& run, device::Graph graph) override {
        return make("cudaGraphInstantiate", run, new Work(*static_cast<Work*>(graph)));
    }
    int end_graph(device::Graph graph) override {
        end(static_cast<Work*>(graph));
        return noted("cudaGraphDestroy");
    }
    int launch_graph(device::GraphRun run, device::Stream stream) override {
        if (const int failed = noted("cudaGraphLaunch")) {
            return failed;
        }
        for (const auto& piece : *static_cast<Work*>(run)) {
            put(stream, piece);
        }
        return 0;
    }
    int end_graph_run(device::GraphRun run) override {
        end(static_cast<Work*>(run));
        return noted("cudaGraphExecDestroy");
    }
    [[nodiscard]] std::string text(int result) const override {
        return "fake error " + std::to_string(result);
    }

    // Work of somebody else's library on a stream (an all-reduce).
    void put(device::Stream stream, std::function<void()> piece) {
        if (captures(stream)) {
            capture_->push_back(std::move(piece));
        } else {
            work_[queue(stream)].push_back({std::move(piece), nullptr, 0});
            settle();
        }
    }

private:
    struct Queue {};
    struct Mark {
        long recorded = 0, done = 0;
        bool captured = false;
    };
    struct Piece {
        std::function<void()> act;
        const Mark* after = nullptr;
        long count = 0;
        [[nodiscard]] bool ready() const { return after == nullptr || after->done >= count; }
    };
    using Work = std::vector<std::function<void()>>;

    static Queue* queue(device::Stream stream) { return static_cast<Queue*>(stream); }
    bool captures(device::Stream stream) const {
        return capture_ != nullptr && joined_.count(queue(stream)) != 0;
    }
    int noted(const std::string& call) {
        m_->calls.push_back(call);
        const int number = m_->number_of[call]++;
        return call == m_->fail_call && number == m_->fail_at ? m_->fail_code : 0;
    }
    int blocking(const std::string& call) { // spoils a capture, as CUDA has it
        const int result = noted(call);
        spoilt_ = spoilt_ || capture_ != nullptr;
        return capture_ != nullptr ? unsafe_in_capture : result;
    }
    template <class X>
    int make(const std::string& call, void*& place, X* made) {
        if (const int failed = noted(call)) {
            delete made;
            return failed;
        }
        place = made;
        ++m_->handles;
        return 0;
    }
    template <class X>
    void end(X* made) {
        delete made;
        --m_->handles;
    }
    int take(const std::string& call, void*& memory, std::size_t bytes) {
        if (const int failed = blocking(call)) {
            return failed;
        }
        memory = std::malloc(bytes);
        std::memset(memory, 0xA5, bytes);
        m_->memory[memory] = bytes;
        return 0;
    }
    int give(const std::string& call, void* memory) {
        while (step()) { // cudaFree waits for the device
        }
        if (m_->memory.erase(memory) == 0) {
            return invalid;
        }
        std::free(memory);
        return noted(call);
    }
    int copy(const std::string& call, void* to, const void* from, std::size_t bytes, device::Stream stream) {
        if (const int failed = noted(call)) {
            return failed;
        }
        put(stream, [=] { std::memcpy(to, from, bytes); });
        return 0;
    }
    void settle() {
        while (m_->eager && step()) {
        }
    }
    // One piece of work of any stream that may go on.
    bool step() {
        std::vector<Queue*> able;
        for (auto& [q, pieces] : work_) {
            if (!pieces.empty() && pieces.front().ready()) {
                able.push_back(q);
            }
        }
        if (able.empty()) {
            return false;
        }
        auto& pieces = work_[able[random_() % able.size()]];
        const Piece piece = std::move(pieces.front());
        pieces.pop_front();
        piece.act();
        return true;
    }

    std::shared_ptr<FakeMachine> m_;
    std::mt19937 random_;
    std::map<Queue*, std::deque<Piece>> work_;
    std::unique_ptr<Work> capture_;
    Queue* origin_ = nullptr;
    std::set<Queue*> joined_;
    bool spoilt_ = false;
};

} // namespace tether::test
