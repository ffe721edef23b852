// See graph_replay.hpp.
#include "graph_replay.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"

#include <algorithm>

namespace tether::device {
namespace {

// Sets a flag for as long as it lives.
class During {
public:
    explicit During(bool& flag) : flag_(flag) { flag_ = true; }
    ~During() { flag_ = false; }
    During(const During&) = delete;
    During& operator=(const During&) = delete;

private:
    bool& flag_;
};

} // namespace

GraphReplay::~GraphReplay() { clear(); }

void GraphReplay::clear() {
    for (auto& [key, work] : works_) {
        if (work.graph != nullptr) {
            calls_.end_graph_run(work.graph);
        }
    }
    works_.clear();
}

void GraphReplay::refuse(const char* call) const {
    check(!capturing_, ExitCode::device,
          "{}: {} was called while a graph is captured: it must happen before or after the replayed work",
          name_, call);
}

GraphReplay::Done GraphReplay::run(const Key& key, Stream stream, const std::function<void()>& body) {
    if (inside_) {
        body();
        return Done::direct;
    }
    const During inside(inside_);
    if (works_.size() >= most_works && works_.find(key) == works_.end()) {
        make_room();
    }
    Work& work = works_[key];
    work.used = ++clock_;
    if (work.graph == nullptr) {
        if (work.runs < 2 || work.never || !capture(work, stream, body)) {
            ++work.runs;
            body();
            return Done::direct;
        }
        if (const int result = calls_.launch_graph(work.graph, stream); result != 0) {
            failed_("cudaGraphLaunch", result);
        }
        return Done::captured;
    }
    if (const int result = calls_.launch_graph(work.graph, stream); result != 0) {
        failed_("cudaGraphLaunch", result);
    }
    return Done::replayed;
}

// Nothing of body has happened on the device when this returns false.
bool GraphReplay::capture(Work& work, Stream stream, const std::function<void()>& body) {
    const char* call = "cudaStreamBeginCapture";
    int result = calls_.begin_capture(stream);
    if (result == 0) {
        Graph graph = nullptr;
        try {
            const During capturing(capturing_);
            body();
        } catch (const CaptureSpoilt& spoilt) {
            call = spoilt.call;
            result = spoilt.result;
        } catch (...) {
            // Leaves the stream as it was. What body throws is its own mistake, not a reason to go on.
            if (calls_.end_capture(stream, graph) == 0 && graph != nullptr) {
                calls_.end_graph(graph);
            }
            throw;
        }
        const int ended = calls_.end_capture(stream, graph);
        if (result == 0) {
            call = "cudaStreamEndCapture";
            result = ended;
        }
        if (result == 0 && graph != nullptr) {
            call = "cudaGraphInstantiate";
            result = calls_.instantiate(work.graph, graph);
        }
        if (graph != nullptr) {
            calls_.end_graph(graph);
        }
        if (result == 0 && work.graph != nullptr) {
            return true;
        }
    }
    work.graph = nullptr;
    work.never = true;
    if (!told_) {
        told_ = true;
        log::warning("{}: no graph of a step could be made ({}: {}); it goes on kernel by kernel, which is "
                     "slower for small networks",
                     name_, call, calls_.text(result));
    }
    return false;
}

void GraphReplay::make_room() {
    const auto oldest = std::min_element(works_.begin(), works_.end(), [](const auto& a, const auto& b) {
        return a.second.used < b.second.used;
    });
    if (oldest->second.graph != nullptr) {
        calls_.end_graph_run(oldest->second.graph);
    }
    works_.erase(oldest);
}

} // namespace tether::device
