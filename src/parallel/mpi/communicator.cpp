#include "src/parallel/mpi/communicator.hpp"

#include "src/parallel/wait_word.hpp"
#include "tether/core/error.hpp"
#include "tether/core/fixed_tree.hpp"
#include "tether/core/log.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

namespace tether::parallel {
namespace {

constexpr int header_tag = 1;

constexpr std::size_t largest_broadcast = std::size_t{1} << 30U;

} // namespace

MpiCommunicator::MpiCommunicator(std::shared_ptr<MpiSession> session, MpiComm comm)
    : session_(std::move(session)), comm_(std::move(comm)) {
    TETHER_MPI_CHECK(MPI_Comm_set_errhandler(comm_.get(), MPI_ERRORS_RETURN));
    rank_ = comm_.rank();
    size_ = comm_.size();
    control_ = comm_.split(0, rank_);
    find_nodes();
}

MpiCommunicator::~MpiCommunicator() {
    if (std::uncaught_exceptions() > 0) {
        return; // the others will not come; the session aborts
    }
    try {
        deliver(true);
        agree(header(Collective::end, 0, 0, -1));
    } catch (const std::exception& error) {
        log::error("{}", error.what());
        abort(static_cast<int>(ExitCode::peer));
    }
}

void MpiCommunicator::find_nodes() {
    node_ = comm_.split_by_node();
    // Other programs may share the cores; what is known here is the ranks of this machine.
    spin_ = node_.size() <= static_cast<int>(std::thread::hardware_concurrency());
    if (const int wanted = session_->ranks_per_node(); wanted > 0) {
        node_ = node_.split(node_.rank() / wanted, node_.rank());
    }
    local_rank_ = node_.rank();
    local_size_ = node_.size();
    check(local_size_ <= most_local, "MPI: {} ranks on one node, expected at most {}", local_size_,
          most_local);

    // Aligned, equal, power-of-two blocks of ranks: then a node is a subtree of the sum.
    const int base = rank_ - local_rank_;
    std::array<int, 2> bounds{rank_, -rank_}; // lowest and highest rank of the node
    TETHER_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, bounds.data(), 2, MPI_INT, MPI_MIN, node_.get()));
    const bool block = bounds[0] == base && -bounds[1] == base + local_size_ - 1 && base % local_size_ == 0 &&
                       is_power_of_two(local_size_);
    std::array<int, 3> facts{block ? 1 : 0, local_size_, -local_size_};
    TETHER_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, facts.data(), 3, MPI_INT, MPI_MIN, comm_.get()));
    nodes_ = local_rank_ == 0 ? 1 : 0;
    TETHER_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, &nodes_, 1, MPI_INT, MPI_SUM, comm_.get()));
    const bool equal = facts[1] == -facts[2];
    if (nodes_ > 1 && !(facts[0] == 1 && equal)) {
        return;
    }
    if (local_size_ > 1 || nodes_ == 1) {
        window_ = NodeWindow::make(node_, spin_);
    }
    int windows = window_ ? 1 : 0;
    TETHER_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, &windows, 1, MPI_INT, MPI_MIN, comm_.get()));
    if (windows == 0) {
        window_.reset();
    } else if (nodes_ > 1) {
        across_ = comm_.split(local_rank_, rank_);
    }
}

std::string MpiCommunicator::description() const {
    return fmt::format("{} rank(s) on {} node(s), {}", size_, nodes_,
                       window_ ? "shared memory within a node" : "messages only");
}

// ---- agreeing

Header MpiCommunicator::header(Collective kind, std::uint64_t count, std::uint32_t entry, int root) {
    return {++sequence_, count, 0, step_, kind, entry, root};
}

void MpiCommunicator::agree(const Header& mine) { exchange(mine, {}); }

const std::vector<const std::byte*>& MpiCommunicator::exchange(const Header& mine,
                                                               std::span<const std::byte> payload) {
    payloads_.clear();
    if (one_node()) {
        window_->arrive(mine, payload);
        bool same = true;
        for (int rank = 0; rank < size_; ++rank) {
            same = same && window_->header(rank) == mine;
        }
        if (!same) {
            std::vector<Header> headers;
            for (int rank = 0; rank < size_; ++rank) {
                headers.push_back(window_->header(rank));
            }
            check_agreement(headers);
        }
        for (int rank = 0; rank < size_ && !payload.empty(); ++rank) {
            payloads_.push_back(window_->payload(rank).data());
        }
        return payloads_;
    }
    // A dissemination barrier of headers: after round k a rank has heard, directly or not, of the
    // 2^(k+1) - 1 ranks before it. The first round compares all neighbours, the others carry what was
    // found to everybody, so that all ranks fail together.
    struct Word {
        Header mine;
        Header one, other; // two ranks that differ, where one_rank >= 0
        int one_rank = -1;
        int other_rank = -1;
    };
    Word word;
    word.mine = mine;
    for (int distance = 1; distance < size_; distance *= 2) {
        const int to = (rank_ + distance) % size_;
        const int from = (rank_ - distance + size_) % size_;
        Word heard;
        mpi_exchange(control_.get(), to, &word, sizeof word, from, &heard, sizeof heard, header_tag, spin_);
        if (word.one_rank < 0 && heard.one_rank >= 0) {
            heard.mine = mine;
            word = heard;
        } else if (word.one_rank < 0 && !(heard.mine == mine)) {
            word = {mine, heard.mine, mine, from, rank_};
        }
    }
    if (word.one_rank >= 0) {
        fail(ExitCode::peer, "ranks do not call the same collective: rank {} is at {}; rank {} is at {}",
             word.one_rank, describe(word.one), word.other_rank, describe(word.other));
    }
    if (!payload.empty()) {
        const auto ranks = static_cast<std::size_t>(size_);
        gathered_.resize(payload.size() * ranks);
        std::array<MPI_Request, 1> request{MPI_REQUEST_NULL};
        TETHER_MPI_CHECK(MPI_Iallgather(payload.data(), mpi_count(payload.size()), MPI_BYTE, gathered_.data(),
                                        mpi_count(payload.size()), MPI_BYTE, comm_.get(), request.data()));
        mpi_wait(request, spin_);
        for (std::size_t rank = 0; rank < ranks; ++rank) {
            payloads_.push_back(gathered_.data() + rank * payload.size());
        }
    }
    return payloads_;
}

std::string MpiCommunicator::waiting_for() const {
    Header where;
    where.sequence = in_sequence_.load(std::memory_order_acquire);
    if (where.sequence == 0) {
        return {};
    }
    where.kind = static_cast<Collective>(in_kind_.load(std::memory_order_relaxed));
    where.step = in_step_.load(std::memory_order_relaxed);
    std::string text = "in " + describe(where);
    if (window_) {
        const std::vector<int> missing = window_->missing();
        const int base = rank_ - local_rank_;
        for (std::size_t i = 0; i < missing.size(); ++i) {
            text += fmt::format("{}{}", i == 0 ? ", not yet there: rank " : ", ", base + missing[i]);
        }
    }
    return text;
}

// ---- small vectors

template <class T, class Combine>
void MpiCommunicator::combine(Collective kind, std::span<T> values, Combine better) {
    constexpr std::uint32_t real = std::is_floating_point_v<T> ? 256 : 0;
    check(values.size_bytes() <= NodeWindow::payload_bytes,
          "communicator: {} entries in a small reduction, expected at most {}", values.size(),
          NodeWindow::payload_bytes / sizeof(T));
    const Header mine = header(kind, values.size(), sizeof(T) + real, -1);
    const Scope scope(*this, mine);
    const std::vector<const std::byte*>& all = exchange(mine, std::as_bytes(values));
    for (std::size_t i = 0; i < values.size(); ++i) {
        T best{};
        for (std::size_t rank = 0; rank < all.size(); ++rank) {
            T other{};
            std::memcpy(&other, all[rank] + i * sizeof(T), sizeof(T));
            best = rank == 0 ? other : better(best, other);
        }
        values[i] = best;
    }
}

namespace {

// NaN on either side is the result, whoever has it.
template <class T>
T larger(T a, T b) {
    return a != a || a > b ? a : b;
}
template <class T>
T smaller(T a, T b) {
    return a != a || a < b ? a : b;
}

} // namespace

void MpiCommunicator::all_reduce_max(std::span<double> values) {
    combine(Collective::max, values, [](double a, double b) { return larger(a, b); });
}
void MpiCommunicator::all_reduce_max(std::span<std::int64_t> values) {
    combine(Collective::max, values, [](std::int64_t a, std::int64_t b) { return std::max(a, b); });
}
void MpiCommunicator::all_reduce_min(std::span<double> values) {
    combine(Collective::min, values, [](double a, double b) { return smaller(a, b); });
}
void MpiCommunicator::all_reduce_min(std::span<std::int64_t> values) {
    combine(Collective::min, values, [](std::int64_t a, std::int64_t b) { return std::min(a, b); });
}
void MpiCommunicator::all_reduce_or(std::span<std::int64_t> values) {
    combine(Collective::bit_or, values, [](std::int64_t a, std::int64_t b) { return a | b; });
}

// ---- data to and from all

void MpiCommunicator::check_rank(int rank, bool other) const {
    check(rank >= 0 && rank < size_ && !(other && rank == rank_),
          "communicator: rank {}, expected {}one of 0..{}", rank, other ? "another " : "", size_ - 1);
}

void MpiCommunicator::barrier() {
    const Header mine = header(Collective::barrier, 0, 0, -1);
    const Scope scope(*this, mine);
    agree(mine);
}

void MpiCommunicator::broadcast(std::span<std::byte> bytes, int root) {
    check_rank(root, false);
    const Header mine = header(Collective::broadcast, bytes.size(), 1, root);
    const Scope scope(*this, mine);
    if (one_node() && bytes.size() <= NodeWindow::payload_bytes) {
        const std::vector<const std::byte*>& all = exchange(mine, bytes);
        if (rank_ != root && !bytes.empty()) {
            std::memcpy(bytes.data(), all[static_cast<std::size_t>(root)], bytes.size());
        }
        return;
    }
    agree(mine);
    for (std::size_t done = 0; done < bytes.size(); done += largest_broadcast) {
        const std::size_t count = std::min(largest_broadcast, bytes.size() - done);
        std::array<MPI_Request, 1> request{MPI_REQUEST_NULL};
        TETHER_MPI_CHECK(
            MPI_Ibcast(bytes.data() + done, mpi_count(count), MPI_BYTE, root, comm_.get(), request.data()));
        mpi_wait(request, spin_);
    }
}

std::vector<std::int64_t> MpiCommunicator::exchange_sizes(const Header& mine, std::size_t bytes) {
    const auto size = static_cast<std::int64_t>(bytes);
    const std::vector<const std::byte*>& all =
        exchange(mine, std::as_bytes(std::span<const std::int64_t>(&size, 1)));
    std::vector<std::int64_t> sizes(all.size());
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
        std::memcpy(&sizes[rank], all[rank], sizeof size);
    }
    return sizes;
}

std::vector<Bytes> MpiCommunicator::gather(std::span<const std::byte> bytes, int root) {
    check_rank(root, false);
    return gather_to(Collective::gather, bytes, root);
}

std::vector<Bytes> MpiCommunicator::all_gather(std::span<const std::byte> bytes) {
    return gather_to(Collective::all_gather, bytes, -1);
}

std::vector<Bytes> MpiCommunicator::gather_to(Collective kind, std::span<const std::byte> bytes, int root) {
    const Header mine = header(kind, 0, 1, root);
    const Scope scope(*this, mine);
    const std::vector<std::int64_t> sizes = exchange_sizes(mine, bytes.size());
    std::vector<int> counts;
    std::vector<int> offsets;
    std::size_t total = 0;
    for (const std::int64_t size : sizes) {
        counts.push_back(mpi_count(static_cast<std::size_t>(size)));
        offsets.push_back(mpi_count(total));
        total += static_cast<std::size_t>(size);
    }
    const int own = mpi_count(bytes.size());
    Bytes joined(root < 0 || root == rank_ ? total : 0);
    std::array<MPI_Request, 1> request{MPI_REQUEST_NULL};
    if (root < 0) {
        TETHER_MPI_CHECK(MPI_Iallgatherv(bytes.data(), own, MPI_BYTE, joined.data(), counts.data(),
                                         offsets.data(), MPI_BYTE, comm_.get(), request.data()));
    } else {
        TETHER_MPI_CHECK(MPI_Igatherv(bytes.data(), own, MPI_BYTE, joined.data(), counts.data(),
                                      offsets.data(), MPI_BYTE, root, comm_.get(), request.data()));
    }
    mpi_wait(request, spin_);
    std::vector<Bytes> result;
    for (std::size_t rank = 0; rank < sizes.size() && (root < 0 || root == rank_); ++rank) {
        const auto first = joined.begin() + offsets[rank];
        result.emplace_back(first, first + counts[rank]);
    }
    return result;
}

// ---- more communicators, the end

std::unique_ptr<Communicator> MpiCommunicator::split(int color, int key) {
    const Header mine = header(Collective::split, 0, 0, -1);
    const Scope scope(*this, mine);
    agree(mine);
    MpiComm made = comm_.split(color, key);
    if (made.get() == MPI_COMM_NULL) {
        return nullptr;
    }
    return std::make_unique<MpiCommunicator>(session_, std::move(made));
}

void MpiCommunicator::abort(int code) {
    std::fflush(nullptr);
    // MPI_Abort itself may hang when the library is what failed.
    std::thread([code] {
        std::this_thread::sleep_for(std::chrono::seconds(10));
        ::_exit(code);
    }).detach();
    MPI_Abort(MPI_COMM_WORLD, code);
    ::_exit(code);
}

std::unique_ptr<Communicator> make_communicator() {
    const Launch launch = read_launch();
    if (!launch.by_launcher) {
        check_world(launch, 1); // no launcher: MPI need not be started to know the answer
        return make_self_communicator();
    }
    auto session = std::make_shared<MpiSession>(launch);
    int world = 0;
    TETHER_MPI_CHECK(MPI_Comm_size(MPI_COMM_WORLD, &world));
    check_world(launch, world);
    MPI_Comm copy = MPI_COMM_NULL;
    TETHER_MPI_CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &copy));
    return std::make_unique<MpiCommunicator>(std::move(session), MpiComm(copy));
}

} // namespace tether::parallel
