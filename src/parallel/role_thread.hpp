// The thread in which a coordinator's role lives from its making to its end, with a bounded queue of
// messages in and one of answers out. Memory of messages is kept and used again. The first thing
// the role throws ends its work; it is handed out by every later call.
#pragma once

#include "tether/parallel/coordinator.hpp"

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace tether::parallel {

// First in, first out; fixed capacity; slots keep their memory.
template <class T>
class Ring {
public:
    explicit Ring(std::size_t capacity) : slots_(capacity) {}
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] bool full() const noexcept { return count_ == slots_.size(); }
    [[nodiscard]] T& front() { return slots_[first_]; }
    [[nodiscard]] T& next_free() { return slots_[(first_ + count_) % slots_.size()]; }
    void push() { ++count_; }
    void pop() {
        first_ = (first_ + 1) % slots_.size();
        --count_;
    }

private:
    std::vector<T> slots_;
    std::size_t first_ = 0;
    std::size_t count_ = 0;
};

class RoleThread {
public:
    explicit RoleThread(CoordinatorFactory factory); // waits until the role is made; throws its error
    ~RoleThread();                                   // drops what is not yet worked on
    RoleThread(const RoleThread&) = delete;
    RoleThread& operator=(const RoleThread&) = delete;

    void report(std::span<const double> numbers);
    void blob(const std::string& kind, std::vector<std::byte> bytes);
    void finish(); // returns when the role has finished and is gone

    // The next answer is swapped into `into`. wait: until there is one; else false when there is
    // none within `patience`.
    bool answer(std::vector<double>& into, std::optional<std::chrono::microseconds> patience);

private:
    struct Message {
        enum class Kind { report, blob, finish } kind = Kind::report;
        std::vector<double> numbers;
        std::string name;
        std::vector<std::byte> bytes;
    };
    void live(const CoordinatorFactory& factory);
    void work(CoordinatorRole& role);
    void rethrow() const; // with the mutex held
    template <class Fill>
    void put(Fill fill);

    std::mutex mutex_;
    std::condition_variable changed_in_;  // the role's thread waits
    std::condition_variable changed_out_; // the caller waits
    Ring<Message> messages_{64};
    Ring<std::vector<double>> answers_{64};
    std::exception_ptr error_;
    bool ready_ = false; // the role is made (or could not be)
    bool ended_ = false; // the role is gone
    bool drop_ = false;
    std::thread thread_;
};

} // namespace tether::parallel
