// One open run file, shared by the two halves of RunFileWriter: what a file is made of
// (run_file_build.cpp), and what its users call (run_file.cpp). Not for other files.
#pragma once

#include "tether/run/run_file.hpp"
#include "tether/run/run_file_reader.hpp"

namespace tether::run {

// Positions in run_file_tables().
enum TablePosition : std::size_t { train, constraint, validation, test, symmetry, timing };

// One table's open datasets and the rows that wait for commit().
struct OpenTable {
    Table layout;
    std::vector<h5::Handle> datasets;
    std::vector<std::vector<double>> waiting; // per column; column 0 (step) in steps
    std::vector<Index> steps;
    Index committed = 0;
    Index last_step = -1;
};

struct RunFileWriter::Impl {
    h5::Place place; // the path as it is open now
    std::string path;
    RunDescription description;
    std::string started;
    Index restarts = 0;
    h5::Handle file;
    std::vector<OpenTable> tables;
    h5::Handle state_dataset;
    h5::Handle committed_dataset;
    LiveState state;
    bool failed = false;
    bool finished = false;

    void build();
    void write_meta();
    void write_tables();
    void begin_swmr();
    void copy_from(const RunFileReader& reader, Index last_step);
    void append(std::size_t table, Index step, std::span<const std::span<const double>> columns);
    void append_scalars(std::size_t table, Index step, std::vector<double> values,
                        std::span<const Quantity> declared, const Extra& extra);
    void flush_rows();
    void write_state();
    void close() noexcept;
    void give_up();
    [[nodiscard]] int descriptor() const;
    // Of a table that only some descriptions have.
    [[nodiscard]] std::size_t position(const std::string& group) const;
    [[nodiscard]] Index width(const Column& column) const {
        return column.per_site ? static_cast<Index>(description.sites.size()) : 1;
    }
};

} // namespace tether::run
