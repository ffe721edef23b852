// T persistent threads that run one function together, the caller being thread 0. Waiting spins
// for some microseconds, then sleeps, so that more threads than cores still make progress. A run
// allocates nothing. An exception of any thread reaches the caller once all have stopped (that of
// the lowest thread when several threw); threads waiting in barrier() are released by it.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace tether::parallel {

// Cores this process may use: its affinity mask, not the machine.
[[nodiscard]] int cores_available();

class ThreadTeam {
public:
    explicit ThreadTeam(int threads, bool pin = false); // pin: thread t to the t-th allowed core
    ~ThreadTeam();
    ThreadTeam(const ThreadTeam&) = delete;
    ThreadTeam& operator=(const ThreadTeam&) = delete;

    [[nodiscard]] int size() const noexcept { return threads_; }

    // task(thread) on every thread; returns when all are done. Not from inside a run.
    template <class Task>
    void run(Task&& task) {
        using Plain = std::remove_reference_t<Task>;
        launch(
            [](const void* object, int thread) { (*static_cast<Plain*>(const_cast<void*>(object)))(thread); },
            std::addressof(task));
    }

    // Inside a run, by all threads: nobody goes on before everybody came.
    void barrier();

private:
    using Call = void (*)(const void* object, int thread);
    void launch(Call call, const void* object);
    struct State;
    int threads_;
    std::unique_ptr<State> state_;
};

} // namespace tether::parallel
