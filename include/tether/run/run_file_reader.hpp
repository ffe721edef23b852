// Reads a run file in whatever state it is: being written, left by a killed process, closed. Rows
// are cut to those committed. A file that is absent, truncated or damaged is an Error(data) that
// says what is wrong; the reader never waits for a writer and never disturbs one.
#pragma once

#include "tether/run/run_hdf5.hpp"

#include <map>
#include <optional>

namespace tether::run {

// How often a read that fails is tried again: a writer may be in the middle of a change. Nobody writes
// to a file that is given from elsewhere.
enum class Patience { with_a_writer, none };

class RunFileReader {
public:
    explicit RunFileReader(std::string path, Patience patience = Patience::with_a_writer);
    void refresh(); // sees what has been committed since

    [[nodiscard]] const std::string& path() const noexcept { return place_.path; }
    // As the writer left it: `running` is true of a killed run as well; who wants to know asks for
    // the lease too (run_folder: inspect_run).
    [[nodiscard]] const LiveState& state() const noexcept { return state_; }

    [[nodiscard]] std::string text(const std::string& name) const; // attributes of /meta
    [[nodiscard]] Index integer(const std::string& name) const;
    [[nodiscard]] bool has_attribute(const std::string& name) const;
    [[nodiscard]] const std::vector<std::string>& sites() const noexcept { return sites_; }

    [[nodiscard]] const std::vector<std::string>& tables() const noexcept { return tables_; } // "/train"
    [[nodiscard]] std::vector<std::string> columns(const std::string& table) const;           // sorted
    [[nodiscard]] Index rows(const std::string& table) const;
    // Values per row: 1, or the number of sites.
    [[nodiscard]] Index width(const std::string& table, const std::string& column) const;
    [[nodiscard]] std::string units(const std::string& table, const std::string& column) const;

    // Rows [first, first + count), row after row; without a range all of them.
    [[nodiscard]] std::vector<double> numbers(const std::string& table, const std::string& column) const;
    [[nodiscard]] std::vector<double> numbers(const std::string& table, const std::string& column,
                                              Index first, Index count) const;
    [[nodiscard]] std::vector<Index> steps(const std::string& table) const;
    [[nodiscard]] std::vector<Index> steps(const std::string& table, Index first, Index count) const;

private:
    void open();
    [[nodiscard]] h5::Handle dataset(const std::string& name) const;
    void check_room(Index count, Index width, const std::string& name) const;
    void read(const std::string& table, const std::string& column, hid_t type, Index first, Index count,
              void* out) const;
    h5::Place place_;
    Patience patience_;
    h5::Handle file_;
    LiveState state_;
    std::vector<std::string> sites_;
    std::vector<std::string> tables_;
    std::map<std::string, Index> rows_;
};

// Only /live/state, for a look at many runs (a fraction of a millisecond each). Nothing where there is
// no run file or none that can be read.
[[nodiscard]] std::optional<LiveState> peek_state(const std::string& path,
                                                  Patience patience = Patience::with_a_writer);

} // namespace tether::run
