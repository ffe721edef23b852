// When the same work comes again and again: run directly twice, captured into a graph the third time, one
// graph launch ever after (ggml's rule). Work is the same while its key is: version of what is asked for, and
// which part of it. A capture that CUDA refuses is told once and that work stays in stream order.
// While a capture is going on, everything that would spoil it must ask refuse() first.
#pragma once

#include "tether/device/cuda_calls.hpp"

#include <compare>
#include <cstdint>
#include <functional>
#include <map>

namespace tether::device {

// A call failed while its stream was captured: no error, the work is then done without a graph.
struct CaptureSpoilt {
    const char* call;
    int result;
};

class GraphReplay {
public:
    struct Key {
        std::uint64_t version;
        std::size_t first, last;
        bool exchanges;
        [[nodiscard]] friend auto operator<=>(const Key&, const Key&) = default;
    };
    enum class Done { direct, captured, replayed };

    // `failed(call, result)` throws; `name` of the device for messages.
    GraphReplay(CudaCalls& calls, std::string name, std::function<void(const char*, int)> failed)
        : calls_(calls), name_(std::move(name)), failed_(std::move(failed)) {}
    ~GraphReplay();
    GraphReplay(const GraphReplay&) = delete;
    GraphReplay& operator=(const GraphReplay&) = delete;

    // Does the work by body() or by its graph. Inside another run(): by body(), as part of that.
    Done run(const Key& key, Stream stream, const std::function<void()>& body);
    [[nodiscard]] bool capturing() const { return capturing_; }
    [[nodiscard]] bool inside() const { return inside_; } // a run()
    // Ends all graphs; not inside a run.
    void clear();
    // Error(device) while capturing: `call` cannot be part of a graph.
    void refuse(const char* call) const;

private:
    struct Work {
        int runs = 0;
        bool never = false; // a capture failed
        GraphRun graph = nullptr;
        std::uint64_t used = 0;
    };
    static constexpr std::size_t most_works = 256; // the longest unused is dropped

    bool capture(Work& work, Stream stream, const std::function<void()>& body);
    void make_room();

    CudaCalls& calls_;
    std::string name_;
    std::function<void(const char*, int)> failed_;
    std::map<Key, Work> works_;
    std::uint64_t clock_ = 0;
    bool inside_ = false, capturing_ = false, told_ = false;
};

} // namespace tether::device
