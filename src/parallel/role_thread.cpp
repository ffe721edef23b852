#include "role_thread.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"

#include <utility>

namespace tether::parallel {

RoleThread::RoleThread(CoordinatorFactory factory) {
    thread_ = std::thread([this, made_by = std::move(factory), run = log::context()] {
        log::adopt(run);
        live(made_by);
    });
    std::unique_lock lock(mutex_);
    changed_out_.wait(lock, [this] { return ready_; });
    if (error_) {
        lock.unlock();
        thread_.join();
        std::rethrow_exception(error_);
    }
}

RoleThread::~RoleThread() {
    {
        const std::lock_guard lock(mutex_);
        drop_ = true;
    }
    changed_in_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void RoleThread::live(const CoordinatorFactory& factory) {
    std::exception_ptr error;
    try {
        const std::unique_ptr<CoordinatorRole> role = factory();
        check(role != nullptr, "coordinator: the factory made no role");
        {
            const std::lock_guard lock(mutex_);
            ready_ = true;
        }
        changed_out_.notify_all();
        work(*role);
    } catch (const Error&) {
        error = std::current_exception();
    } catch (const std::exception& other) {
        error = std::make_exception_ptr(Error(ExitCode::peer, fmt::format("coordinator: {}", other.what())));
    }
    {
        const std::lock_guard lock(mutex_);
        error_ = error;
        ready_ = ended_ = true;
    }
    changed_out_.notify_all();
}

void RoleThread::work(CoordinatorRole& role) {
    for (;;) {
        Message* message = nullptr;
        {
            std::unique_lock lock(mutex_);
            changed_in_.wait(lock, [this] { return drop_ || !messages_.empty(); });
            if (drop_) {
                return;
            }
            message = &messages_.front(); // its slot is not reused before pop()
        }
        const std::vector<double>* answer = nullptr;
        const Message::Kind kind = message->kind;
        switch (kind) {
        case Message::Kind::report: answer = &role.answer(message->numbers); break;
        case Message::Kind::blob: role.blob(message->name, std::exchange(message->bytes, {})); break;
        case Message::Kind::finish: role.finish(); break;
        }
        {
            std::unique_lock lock(mutex_);
            messages_.pop();
            if (answer != nullptr) {
                // There is room: answers not yet fetched and messages together never exceed one ring,
                // unless the caller posts on and on without waiting; then the role waits for it.
                changed_in_.wait(lock, [this] { return drop_ || !answers_.full(); });
                if (drop_) {
                    return;
                }
                answers_.next_free() = *answer;
                answers_.push();
            }
        }
        changed_out_.notify_all();
        if (kind == Message::Kind::finish) {
            return;
        }
    }
}

void RoleThread::rethrow() const {
    if (error_) {
        std::rethrow_exception(error_);
    }
}

template <class Fill>
void RoleThread::put(Fill fill) {
    {
        std::unique_lock lock(mutex_);
        changed_out_.wait(lock, [this] { return ended_ || !messages_.full(); });
        rethrow();
        check(!ended_, "coordinator: a message after finish()");
        fill(messages_.next_free());
        messages_.push();
    }
    changed_in_.notify_all();
}

void RoleThread::report(std::span<const double> numbers) {
    put([&](Message& message) {
        message.kind = Message::Kind::report;
        message.numbers.assign(numbers.begin(), numbers.end());
    });
}

void RoleThread::blob(const std::string& kind, std::vector<std::byte> bytes) {
    put([&](Message& message) {
        message.kind = Message::Kind::blob;
        message.name = kind;
        message.bytes = std::move(bytes);
    });
}

void RoleThread::finish() {
    put([](Message& message) { message.kind = Message::Kind::finish; });
    std::unique_lock lock(mutex_);
    changed_out_.wait(lock, [this] { return ended_; });
    rethrow();
}

bool RoleThread::answer(std::vector<double>& into, std::optional<std::chrono::microseconds> patience) {
    {
        std::unique_lock lock(mutex_);
        const auto there = [this] { return ended_ || !answers_.empty(); };
        if (patience) {
            changed_out_.wait_for(lock, *patience, there);
        } else {
            changed_out_.wait(lock, there);
        }
        if (answers_.empty()) { // answers given before an error still count
            rethrow();
            return false;
        }
        into.swap(answers_.front());
        answers_.pop();
    }
    changed_in_.notify_all();
    return true;
}

} // namespace tether::parallel
