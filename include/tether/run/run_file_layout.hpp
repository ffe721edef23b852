// The layout of `run.h5` (spec: interfaces, "Run file"), described once for writer, reader and copy.
// Beside what the specification names:
//   /live/state      one record: what changes while the run is written (the attributes of /meta and
//                    /eval/best cannot: HDF5 offers no safe way under SWMR). Written with each commit.
//   /live/committed  [tables] rows of each table that are whole, in the order of its attribute
//                    `tables`; flushed last. Readers cut every table to it.
// Who reads the file by other means: where /meta's `status` is "running", /live/state is newer.
#pragma once

#include "tether/core/types.hpp"

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace tether::run {

inline constexpr int run_file_schema_version = 1;

// A quantity of a table: its dataset's name and what people see of it.
struct Quantity {
    std::string name;
    std::string units; // "1" for pure numbers
    std::string long_name;
};

struct Column {
    Quantity quantity;
    bool integer = false;
    bool per_site = false; // [rows, sites] instead of [rows]
};

// A group of append-only datasets of equal length; the first column is always `step`.
struct Table {
    std::string group;
    std::vector<Column> columns;
};

enum class RunStatus { running = 0, complete = 1, stopped = 2, failed = 3 };
[[nodiscard]] std::string run_status_name(RunStatus status);

// Chosen on validation, read on test. step -1: no evaluation yet.
struct BestFigures {
    Index projected_step = -1;
    double projected_validation = std::numeric_limits<double>::quiet_NaN();
    double projected_test = std::numeric_limits<double>::quiet_NaN();
    Index relaxed_step = -1;
    double relaxed_validation = std::numeric_limits<double>::quiet_NaN();
    double relaxed_test = std::numeric_limits<double>::quiet_NaN();
};

// Everything that is known before the first step. All of it becomes attributes of /meta, datasets
// and their attributes.
struct RunDescription {
    std::string job; // resolved TOML
    std::string job_hash;
    std::string model;
    std::string method;
    std::string data_sha256;
    std::string devices;
    std::string hosts;
    std::string started; // empty: now. A resumed run keeps its first start.
    Index seed = 0;
    Index ranks = 1;
    Index threads = 1;
    Index total_steps = 0; // planned; attribute `total_steps`
    Index parameters_equivariant = 0;
    Index parameters_free = 0;
    std::vector<std::pair<std::string, std::string>> more; // further text attributes of /meta

    std::vector<std::string> sites;
    Quantity headline;                // of /eval/*/{projected,relaxed}; its name becomes `metric`
    std::vector<Quantity> metrics;    // further datasets of /eval/*
    std::vector<Quantity> symmetry;   // further datasets of /symmetry
    std::string output_units = "1";   // of equivariance errors and their bound
    bool out_of_distribution = false; // there is /eval/out_of_distribution beside /eval/test
    bool task_weights = false;        // there is /tasks
};

// The tables of a run with this description, in the order of /live/committed.
[[nodiscard]] std::vector<Table> run_file_tables(const RunDescription& description);

// What /live/state holds.
struct LiveState {
    RunStatus status = RunStatus::running;
    Index steps = 0; // steps done
    std::string state_sha256;
    BestFigures best;
};

} // namespace tether::run
