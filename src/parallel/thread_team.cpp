#include "tether/parallel/thread_team.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "wait_word.hpp"

#include <pthread.h>

#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace tether::parallel {
namespace {

struct Released {}; // leaves a task whose barrier can no longer be complete

cpu_set_t allowed_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    ::sched_getaffinity(0, sizeof set, &set);
    return set;
}

void pin_to(int position, const cpu_set_t& allowed) {
    const int count = CPU_COUNT(&allowed);
    int wanted = count > 0 ? position % count : 0;
    for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
        if (CPU_ISSET(core, &allowed) && wanted-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(core, &one);
            ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);
            return;
        }
    }
}

} // namespace

int cores_available() {
    const cpu_set_t set = allowed_cores();
    const int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

struct ThreadTeam::State {
    // Written by the caller before `go` advances, read by the workers after.
    Call call = nullptr;
    const void* object = nullptr;
    bool stop = false;
    bool running = false;
    std::vector<std::exception_ptr> errors;
    std::vector<std::thread> workers;
    std::chrono::microseconds spin{0};

    WaitWord go;
    WaitWord done;
    WaitWord barrier;
    alignas(64) std::atomic<int> busy{0};
    alignas(64) std::atomic<int> arrived{0};
    std::atomic<bool> failed{false};

    void work(int thread) noexcept {
        try {
            call(object, thread);
        } catch (const Released&) {
            // another thread has the reason
        } catch (...) {
            errors[static_cast<std::size_t>(thread)] = std::current_exception();
            failed.store(true);
            barrier.advance();
        }
    }

    void live(int thread, std::uint32_t seen) noexcept {
        for (;;) {
            go.wait_change(seen, spin);
            ++seen;
            if (stop) {
                return;
            }
            work(thread);
            if (busy.fetch_sub(1) == 1) {
                done.advance();
            }
        }
    }

    void end() noexcept {
        stop = true;
        go.advance();
        for (std::thread& worker : workers) {
            worker.join();
        }
    }
};

ThreadTeam::ThreadTeam(int threads, bool pin) : threads_(threads), state_(std::make_unique<State>()) {
    check(threads >= 1, "thread team: {} threads asked for, expected at least 1", threads);
    State& s = *state_;
    const int cores = cores_available();
    if (threads > cores) {
        log::info("{} threads share {} core(s) this process may use (mpirun binds each rank to one core "
                  "unless told --bind-to none)",
                  threads, cores);
    }
    s.spin = std::chrono::microseconds(threads > cores ? 0 : 50);
    s.errors.resize(static_cast<std::size_t>(threads));
    s.workers.reserve(static_cast<std::size_t>(threads - 1));
    const cpu_set_t allowed = allowed_cores();
    try {
        for (int thread = 1; thread < threads; ++thread) {
            s.workers.emplace_back([&s, thread, pin, allowed] {
                if (pin) {
                    pin_to(thread, allowed);
                }
                s.live(thread, 0);
            });
        }
    } catch (const std::system_error& error) {
        s.end();
        fail(ExitCode::usage,
             "thread team: thread {} of {} could not be started ({}); fewer threads or a "
             "higher limit (ulimit -u, -v) help",
             s.workers.size() + 1, threads, error.what());
    }
    if (pin) {
        pin_to(0, allowed);
    }
}

ThreadTeam::~ThreadTeam() { state_->end(); }

void ThreadTeam::launch(Call call, const void* object) {
    State& s = *state_;
    check(!s.running, "thread team: run() from inside a run");
    s.running = true;
    s.call = call;
    s.object = object;
    s.failed.store(false, std::memory_order_relaxed);
    s.arrived.store(0, std::memory_order_relaxed);
    if (threads_ > 1) {
        s.busy.store(threads_ - 1, std::memory_order_relaxed);
        const std::uint32_t before = s.done.value.load(std::memory_order_relaxed);
        s.go.advance();
        s.work(0);
        s.done.wait_change(before, s.spin);
    } else {
        s.work(0);
    }
    s.running = false;
    if (s.failed.load(std::memory_order_relaxed)) {
        std::exception_ptr first;
        for (std::exception_ptr& error : s.errors) {
            if (error && !first) {
                first = error;
            }
            error = nullptr;
        }
        std::rethrow_exception(first);
    }
}

void ThreadTeam::barrier() {
    State& s = *state_;
    if (threads_ == 1) {
        return;
    }
    const std::uint32_t before = s.barrier.value.load();
    if (s.failed.load()) {
        throw Released{};
    }
    if (s.arrived.fetch_add(1) + 1 == threads_) {
        s.arrived.store(0);
        s.barrier.advance();
    } else {
        s.barrier.wait_change(before, s.spin);
    }
    if (s.failed.load()) {
        throw Released{};
    }
}

} // namespace tether::parallel
