// The backend of a CUDA device, over the interface of the calls it makes (cuda_calls.hpp), so that all of it
// but those calls is plain C++ that the tests run against a fake. Three streams: lists run on the first;
// batches are copied on the second into a shadow of their staging memory and from there, device to device,
// to their place in the order of the first, so that the next batch travels while the last is worked on;
// the third takes what is asked for beside(). Kernels of a wave fork to some more streams and meet again: in
// a graph that is an edge. Every failed call is Error(device) naming device and call.
#include "graph_replay.hpp"
#include "launch_waves.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <vector>

namespace tether::device {
namespace {

constexpr Index each_threads = 256;
constexpr std::size_t most_resolved = 1024;
constexpr Index most_blocks = std::numeric_limits<std::int32_t>::max(); // kernels stride over the rest

class CudaBackend final : public Backend {
public:
    CudaBackend(std::unique_ptr<CudaCalls> calls, int number, const Launchers& launchers)
        : calls_(std::move(calls)), launchers_(launchers), name_(fmt::format("CUDA device {}", number)) {
        const Survey survey = survey_devices(*calls_);
        check(survey.missing.empty(), ExitCode::device, "--device cuda: {}", survey.missing);
        check(number >= 0 && number < static_cast<int>(survey.devices.size()), ExitCode::device,
              "{}: this process sees {} device{} (numbers from 0)", name_, survey.devices.size(),
              survey.devices.size() == 1 ? "" : "s");
        const DeviceFacts& facts = survey.devices[static_cast<std::size_t>(number)];
        name_ += fmt::format(" ({})", facts.name);
        uuid_ = facts.uuid;
        multiprocessors_ = facts.multiprocessors;
        made("cudaSetDevice", calls_->use_device(number));
        graphs_.emplace(*calls_, name_, [this](const char* call, int result) { made(call, result); });
        if (!launchers_.empty()) { // all are made for the same architectures
            int version = 0;
            made("cudaFuncGetAttributes", calls_->code_version(launchers_.begin()->second.one, version));
            clusters_ = version >= 90;
        }
        try {
            for (std::size_t s = 0; s < streams_.size(); ++s) {
                made("cudaStreamCreateWithPriority", calls_->make_stream(streams_[s], s == side));
            }
            for (Event& event : events_) {
                made("cudaEventCreateWithFlags", calls_->make_event(event));
            }
        } catch (...) {
            end();
            throw;
        }
        current_ = streams_[compute];
    }
    ~CudaBackend() override { end(); }

    [[nodiscard]] std::string name() const override { return name_; }
    [[nodiscard]] std::string identity() const override { return uuid_; }

    [[nodiscard]] void* allocate(std::size_t bytes) override {
        graphs_->refuse("allocate");
        void* memory = nullptr;
        made("cudaMalloc", calls_->allocate(memory, std::max<std::size_t>(bytes, 1)),
             [&] { return fmt::format(" of {} bytes", bytes); });
        ++counts_.allocations;
        try {
            made("cudaMemsetAsync", calls_->clear(memory, bytes, current_));
        } catch (...) {
            calls_->release(memory);
            throw;
        }
        return memory;
    }
    // Called by destructors: a device that failed before has been reported.
    void release(void* memory) override { calls_->release(memory); }

    [[nodiscard]] void* allocate_staging(std::size_t bytes) override {
        graphs_->refuse("allocate_staging");
        Staging s;
        s.bytes = std::max<std::size_t>(bytes, 1);
        void* memory = nullptr;
        try {
            made("cudaMallocHost", calls_->allocate_staging(memory, s.bytes),
                 [&] { return fmt::format(" of {} bytes", bytes); });
            made("cudaMalloc", calls_->allocate(s.shadow, s.bytes),
                 [&] { return fmt::format(" of {} bytes", bytes); });
            for (Event* event : {&s.copied, &s.taken, &s.fetched}) {
                made("cudaEventCreateWithFlags", calls_->make_event(*event));
            }
        } catch (...) {
            end_staging(memory, s);
            throw;
        }
        ++counts_.allocations;
        std::fill_n(static_cast<std::byte*>(memory), s.bytes, std::byte{0});
        staging_[static_cast<const std::byte*>(memory)] = s;
        return memory;
    }
    void release_staging(void* memory) override {
        const auto found = staging_.find(static_cast<const std::byte*>(memory));
        if (found != staging_.end()) {
            calls_->wait_for_stream(streams_[copies]);
            calls_->wait_for_stream(streams_[compute]);
            end_staging(memory, found->second);
            staging_.erase(found);
        }
    }

    void to_device(void* device, const void* host, std::size_t bytes) override {
        graphs_->refuse("to_device");
        std::size_t offset = 0;
        Staging* s = staging_of(host, bytes, offset);
        if (s == nullptr) {
            made("cudaMemcpyAsync", calls_->copy_to_device(device, host, bytes, current_));
            wait_for_stream();
            return;
        }
        auto* shadow = static_cast<std::byte*>(s->shadow) + offset;
        made("cudaStreamWaitEvent", calls_->wait(streams_[copies], s->taken));
        made("cudaMemcpyAsync", calls_->copy_to_device(shadow, host, bytes, streams_[copies]));
        made("cudaEventRecord", calls_->record(s->copied, streams_[copies]));
        made("cudaStreamWaitEvent", calls_->wait(current_, s->copied));
        made("cudaMemcpyAsync", calls_->copy_on_device(device, shadow, bytes, current_));
        made("cudaEventRecord", calls_->record(s->taken, current_));
    }
    void to_host(void* host, const void* device, std::size_t bytes) override {
        graphs_->refuse("to_host");
        made("cudaMemcpyAsync", calls_->copy_to_host(host, device, bytes, current_));
        wait_for_stream();
    }
    void fetch(void* staging, const void* device, std::size_t bytes) override {
        graphs_->refuse("fetch");
        std::size_t offset = 0;
        Staging* s = staging_of(staging, bytes, offset);
        check(s != nullptr, ExitCode::device, "{}: fetch of {} bytes to memory that is no staging memory",
              name_, bytes);
        made("cudaMemcpyAsync", calls_->copy_to_host(staging, device, bytes, current_));
        made("cudaEventRecord", calls_->record(s->fetched, current_));
    }
    void await(const void* staging) override {
        graphs_->refuse("await");
        std::size_t offset = 0;
        const Staging* s = staging_of(staging, 1, offset);
        check(s != nullptr, ExitCode::device, "{}: await of memory that is no staging memory", name_);
        for (const Event event : {s->copied, s->fetched}) {
            bool happened = false;
            made("cudaEventQuery", calls_->happened(event, happened));
            if (!happened) {
                made("cudaEventSynchronize", calls_->wait_for_event(event));
                ++counts_.waits;
            }
        }
    }
    void clear(void* device, std::size_t bytes) override {
        made("cudaMemsetAsync", calls_->clear(device, bytes, current_));
    }

    [[nodiscard]] int parts_of_teams(Index teams) const override {
        return clusters_ ? device::parts_of_teams(teams, multiprocessors_) : 1;
    }
    void run(const LaunchList& list, std::size_t first, std::size_t last,
             const DeviceExchange& exchange) override {
        forget_if_many();
        const bool exchanges = exchange && exchange.in_graph;
        const auto is_border = [&](std::size_t i) {
            return exchange && !exchange.in_graph && list.launches()[i].shape == Launch::Shape::exchange;
        };
        for (std::size_t begin = first; begin < last;) {
            std::size_t end = begin;
            while (end < last && !is_border(end)) {
                ++end;
            }
            if (end > begin) {
                const BatchedRange range{&list, begin, end};
                const Resolved& resolved = resolve({&range, 1});
                const auto body = [&] { run_waves(resolved, exchange); };
                count(graphs_->run({list.version(), begin, end, exchanges}, current_, std::ref(body)));
            }
            if (end < last) { // not part of a graph
                graphs_->refuse("an exchange that waits for the host");
                exchange(list.launches()[end].sums, list.launches()[end].items);
                ++end;
            }
            begin = end;
        }
    }
    void run_together(std::span<const BatchedRange> ranges) override {
        forget_if_many();
        // In whatever order members come, the same lists are the same work.
        ranges_.assign(ranges.begin(), ranges.end());
        std::ranges::sort(ranges_, {}, [](const BatchedRange& r) { return r.list->version(); });
        const Resolved& resolved = resolve(ranges_);
        const auto body = [&] { run_waves(resolved, {}); };
        count(graphs_->run({resolved.version, 0, resolved.waves.size(), false}, current_, std::ref(body)));
    }
    void replay(std::uint64_t version, const std::function<void()>& body) override {
        // No list has a range that begins behind its end.
        count(graphs_->run({version, 1, 0, true}, current_, std::ref(body)));
    }
    void beside(const std::function<void(void*)>& work) override {
        made("cudaEventRecord", calls_->record(events_[fork], streams_[compute]));
        made("cudaStreamWaitEvent", calls_->wait(streams_[side], events_[fork]));
        current_ = streams_[side];
        try {
            work(current_);
        } catch (...) {
            current_ = streams_[compute];
            throw;
        }
        current_ = streams_[compute];
        apart_ = true;
    }
    void meet() override {
        if (apart_) {
            made("cudaEventRecord", calls_->record(events_[join], streams_[side]));
            made("cudaStreamWaitEvent", calls_->wait(streams_[compute], events_[join]));
            apart_ = false;
        }
    }
    [[nodiscard]] void* stream() const override { return current_; }
    void synchronise() override {
        graphs_->refuse("synchronise");
        wait_for_stream();
    }
    [[nodiscard]] Counts counts() const override { return counts_; }

private:
    enum : std::size_t { compute, copies, side, first_branch, stream_count = first_branch + 3 };
    // A wave's fork, and where each of its streams meets the first again.
    enum : std::size_t { fork, join, wave_fork, first_meeting, event_count = first_meeting + 3 };
    struct Staging {
        std::size_t bytes = 0;
        void* shadow = nullptr;
        Event copied = nullptr;  // host to shadow
        Event taken = nullptr;   // shadow to its place
        Event fetched = nullptr; // device to host
    };
    // Lists as they are started; functors and items of groups in device memory.
    struct Resolved {
        struct Member {
            std::uint64_t version;
            std::size_t first, last;
            [[nodiscard]] friend auto operator<=>(const Member&, const Member&) = default;
        };
        std::uint64_t version = 0;
        std::vector<std::vector<KernelGroup>> waves;
        std::byte* memory = nullptr;
    };

    template <class What>
    void made(const char* call, int result, const What& what) const {
        if (result == 0) [[likely]] {
            return;
        }
        if (graphs_ && graphs_->capturing()) {
            throw CaptureSpoilt{call, result};
        }
        fail(ExitCode::device, "{}: {}{} failed: {}", name_, call, what(), calls_->text(result));
    }
    void made(const char* call, int result) const {
        made(call, result, [] { return ""; });
    }
    void count(GraphReplay::Done done) {
        if (done != GraphReplay::Done::direct) {
            ++counts_.replays;
        }
    }
    void wait_for_stream() {
        made("cudaStreamSynchronize", calls_->wait_for_stream(current_));
        ++counts_.waits;
    }
    Staging* staging_of(const void* address, std::size_t bytes, std::size_t& offset) {
        const auto* at = static_cast<const std::byte*>(address);
        auto found = staging_.upper_bound(at);
        if (found == staging_.begin()) {
            return nullptr;
        }
        --found;
        offset = static_cast<std::size_t>(at - found->first);
        return offset + bytes <= found->second.bytes ? &found->second : nullptr;
    }
    void end_staging(void* memory, const Staging& s) {
        for (const Event event : {s.copied, s.taken, s.fetched}) {
            if (event != nullptr) {
                calls_->end_event(event);
            }
        }
        if (s.shadow != nullptr) {
            calls_->release(s.shadow);
        }
        if (memory != nullptr) {
            calls_->release_staging(memory);
        }
    }
    void end() {
        for (const Stream stream : streams_) {
            if (stream != nullptr) {
                calls_->wait_for_stream(stream);
            }
        }
        graphs_.reset();
        for (const auto& [key, resolved] : resolved_) {
            if (resolved.memory != nullptr) {
                calls_->release(resolved.memory);
            }
        }
        for (auto& [memory, s] : staging_) {
            end_staging(const_cast<std::byte*>(memory), s);
        }
        for (const Event event : events_) {
            if (event != nullptr) {
                calls_->end_event(event);
            }
        }
        for (const Stream stream : streams_) {
            if (stream != nullptr) {
                calls_->end_stream(stream);
            }
        }
    }

    [[nodiscard]] Kernels kernels_of(const Launch& launch) const {
        const auto known = launchers_.find(launch.functor);
        check(known != launchers_.end(), ExitCode::device,
              "{}: operation {} has no kernel for its functor {} in this build", name_, launch.name,
              launch.functor.name());
        return known->second;
    }
    const Resolved& resolve(std::span<const BatchedRange> ranges) {
        key_.clear();
        for (const BatchedRange& r : ranges) {
            key_.push_back({r.list->version(), r.first, r.last});
        }
        const auto found = resolved_.find(key_);
        if (found != resolved_.end()) {
            return found->second;
        }
        LaunchWaves waves = launch_waves(ranges, [this](const Launch& l) { return kernels_of(l); });
        Resolved made;
        made.version = LaunchList().version();
        made.waves = std::move(waves.waves);
        if (!waves.bytes.empty()) {
            graphs_->refuse("a first run of lists");
            made.memory = static_cast<std::byte*>(allocate(waves.bytes.size()));
            to_device(made.memory, waves.bytes.data(), waves.bytes.size());
        }
        return resolved_[key_] = std::move(made);
    }
    // Of lists that came and went: everything goes at once, with the graphs that point to it, when nobody is
    // in the middle of a list.
    void forget_if_many() {
        if (resolved_.size() < most_resolved || graphs_->inside()) {
            return;
        }
        for (const Stream stream : streams_) {
            made("cudaStreamSynchronize", calls_->wait_for_stream(stream));
        }
        graphs_->clear();
        for (const auto& [key, resolved] : resolved_) {
            if (resolved.memory != nullptr) {
                release(resolved.memory);
            }
        }
        resolved_.clear();
    }
    static std::pair<unsigned, unsigned> geometry(const KernelGroup& group) {
        const bool team = group.first.shape == Launch::Shape::team;
        const Index blocks = team ? group.most_items : (group.most_items + each_threads - 1) / each_threads;
        const Index parts = group.first.parts; // whole teams
        return {static_cast<unsigned>(std::min(blocks, most_blocks / parts) * parts),
                static_cast<unsigned>(team ? group.first.threads : each_threads)};
    }
    void start(const Resolved& resolved, const KernelGroup& group, Stream stream) {
        const auto [blocks, threads] = geometry(group);
        const int result =
            group.members == 1
                ? calls_->launch(group.first, group.kernels.one, blocks, threads, stream)
                : calls_->launch_many(group.first, group.kernels.many, blocks, threads, group.members,
                                      resolved.memory + group.functors,
                                      reinterpret_cast<const Index*>(resolved.memory + group.items), stream);
        made("cudaLaunchKernel", result, [&] { return fmt::format(" of operation {}", group.first.name); });
        counts_.launches += graphs_->capturing() ? 0 : 1;
    }
    void run_waves(const Resolved& resolved, const DeviceExchange& exchange) {
        for (const std::vector<KernelGroup>& wave : resolved.waves) {
            if (wave.front().first.shape == Launch::Shape::exchange) {
                if (exchange) {
                    exchange(wave.front().first.sums, wave.front().first.items);
                }
                continue;
            }
            // What runs on the side has no branches of its own: those of the main stream would make it wait.
            const std::size_t branches =
                current_ == streams_[side] ? 0 : std::min(wave.size() - 1, stream_count - first_branch);
            if (branches > 0) {
                made("cudaEventRecord", calls_->record(events_[wave_fork], current_));
            }
            for (std::size_t b = 0; b < branches; ++b) {
                made("cudaStreamWaitEvent", calls_->wait(streams_[first_branch + b], events_[wave_fork]));
            }
            for (std::size_t g = 0; g < wave.size(); ++g) {
                const std::size_t turn = g % (branches + 1);
                start(resolved, wave[g], turn == 0 ? current_ : streams_[first_branch + turn - 1]);
            }
            for (std::size_t b = 0; b < branches; ++b) {
                const Event meeting = events_[first_meeting + b];
                made("cudaEventRecord", calls_->record(meeting, streams_[first_branch + b]));
                made("cudaStreamWaitEvent", calls_->wait(current_, meeting));
            }
        }
    }

    std::unique_ptr<CudaCalls> calls_;
    Launchers launchers_;
    std::string name_, uuid_;
    bool clusters_ = false; // blocks can meet
    Index multiprocessors_ = 1;
    std::optional<GraphReplay> graphs_;
    std::array<Stream, stream_count> streams_{};
    std::array<Event, event_count> events_{};
    Stream current_ = nullptr;
    bool apart_ = false; // something runs on the side
    std::map<const std::byte*, Staging> staging_;
    std::map<std::vector<Resolved::Member>, Resolved> resolved_;
    std::vector<Resolved::Member> key_; // of the lists asked for
    std::vector<BatchedRange> ranges_;
    Counts counts_;
};

} // namespace

std::unique_ptr<Backend> make_cuda(std::unique_ptr<CudaCalls> calls, int number, const Launchers& launchers) {
    return std::make_unique<CudaBackend>(std::move(calls), number, launchers);
}

std::unique_ptr<Backend> make_cuda(int number, const Launchers& launchers) {
    auto calls = make_cuda_calls();
    check(calls != nullptr, ExitCode::device, "--device cuda: {}", survey_devices().missing);
    return make_cuda(std::move(calls), number, launchers);
}

} // namespace tether::device
