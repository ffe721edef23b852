// Frozen sweeps: whole or absent, found again, and nothing in them or behind them changes unnoticed; the
// ledger over runs in every state.
#include "tests/running/job_fixture.hpp"
#include "tests/running/run_file_support.hpp"
#include "tests/running/sweep_fixture.hpp"
#include "tether/run/run_folder.hpp"
#include "tether/run/run_storage.hpp"
#include "tether/run/sweep_ledger.hpp"

#include <chrono>
#include <filesystem>
#include <unistd.h>

namespace tether::run::test {
namespace {
namespace fs = std::filesystem;

TEST(Freeze, every_run_is_there_with_its_job) {
    const SweepFolder f;
    const Manifest m = f.frozen();
    ASSERT_EQ(m.runs.size(), 2U);
    EXPECT_EQ(m.sources.size(), 3U); // sweep, base, data
    for (const PlannedRun& run : m.runs) {
        const Job job = read_job(m.job_file_of(run));
        EXPECT_EQ(job.hash(), run.hash);
        EXPECT_EQ(job.folder_name(), run.folder);
        EXPECT_TRUE(fs::path(job.data.file).is_absolute());
        EXPECT_EQ(run.cost.steps, 0);
    }
    EXPECT_EQ(&m.find("2"), &m.runs[1]);
    EXPECT_EQ(&m.find(m.runs[1].name), &m.runs[1]);
    EXPECT_EQ(&m.find(m.folder_of(m.runs[0])), &m.runs[0]);
    EXPECT_TRUE(contains(error_of(ExitCode::usage, [&] { (void)m.find("some-seed3"); }), {"did you mean"}));
    EXPECT_EQ(m.id().size(), 8U);
    m.check_unchanged();
}

TEST(Freeze, again_changes_nothing_and_another_sweep_is_refused) {
    const SweepFolder f;
    (void)f.frozen();
    const auto before = fs::last_write_time(f.out() + "/manifest.json");
    EXPECT_FALSE(freeze(read_sweep(f.file), f.out(), 0));
    f.write("base = \"job.toml\"\nseeds = [1, 3]\n");
    EXPECT_TRUE(contains(error_of(ExitCode::usage, [&] { (void)freeze(read_sweep(f.file), f.out(), 0); }),
                         {f.out(), "another sweep"}));
    EXPECT_EQ(fs::last_write_time(f.out() + "/manifest.json"), before);
    fs::create_directories(f.folder.file("mine/things"));
    EXPECT_TRUE(contains(
        error_of(ExitCode::usage, [&] { (void)freeze(read_sweep(f.file), f.folder.file("mine"), 0); }),
        {"is no sweep"}));
    fs::create_directories(f.folder.file("empty"));
    EXPECT_TRUE(freeze(read_sweep(f.file), f.folder.file("empty"), 0));
}

TEST(Freeze, leftovers_of_killed_ones_are_cleared) {
    const SweepFolder f;
    const std::string left = f.out() + ".partial-999999999"; // no such process
    fs::create_directories(left);
    (void)f.frozen();
    EXPECT_FALSE(fs::exists(left));
    for (const auto& item : fs::directory_iterator(f.folder.path())) {
        EXPECT_EQ(item.path().string().find("partial"), std::string::npos);
    }
}

TEST(Freeze, costs_are_measured_once_for_each_kind) {
    const SweepFolder f("base = \"job.toml\"\nseeds = [1, 2]\n[grid]\nmethod.name = [\"strict\", \"ace\"]\n"
                        "train.epochs = [1, 2]\n");
    const Manifest m = f.frozen(2);
    ASSERT_EQ(m.runs.size(), 8U);
    for (const PlannedRun& run : m.runs) {
        EXPECT_GT(run.cost.step_s, 0);
        EXPECT_GT(run.cost.seconds, run.cost.step_s * static_cast<double>(run.cost.steps));
        EXPECT_GT(run.cost.memory_mb, 5);
    }
    EXPECT_EQ(m.runs[0].cost.steps, 2);
    EXPECT_EQ(m.runs[2].cost.steps, 4);
    EXPECT_EQ(m.runs[0].cost.step_s, m.runs[3].cost.step_s);
}

TEST(Freeze, a_job_that_cannot_run_is_told_before_anything_is_written) {
    const SweepFolder f("base = \"job.toml\"\n[set]\ndata.train = 10001\n");
    EXPECT_TRUE(
        contains(error_of(ExitCode::data, [&] { (void)freeze(read_sweep(f.file), f.out(), 2); }), {"10001"}));
    EXPECT_FALSE(fs::exists(f.out()));
}

TEST(Freeze, whatever_changes_afterwards_is_told) {
    const SweepFolder f;
    const std::string data = f.folder.file("data.h5");
    fs::copy_file(TETHER_SOURCE_DIR "/data/nbody/charged5_small.h5", data);
    f.write("base = \"job.toml\"\nseeds = [1, 2]\n[set]\ndata.file = \"" + data + "\"\n");
    const Manifest m = f.frozen();
    std::ofstream(f.folder.file("job.toml"), std::ios::app) << "# a thought\n";
    EXPECT_TRUE(contains(error_of(ExitCode::usage, [&] { m.check_unchanged(); }),
                         {"job.toml", "base", "--as-frozen"}));
    m.check_unchanged(false);
    fs::permissions(data, fs::perms::owner_all);
    std::ofstream(data, std::ios::app) << "x";
    EXPECT_TRUE(contains(error_of(ExitCode::data, [&] { m.check_unchanged(false); }), {data, "changed"}));
    fs::remove(data);
    EXPECT_TRUE(contains(error_of(ExitCode::data, [&] { m.check_unchanged(false); }), {data, "gone"}));
    std::ofstream(m.job_file_of(m.runs[1]), std::ios::app) << "\n";

    std::string text = read_text(f.out() + "/manifest.json");
    text.replace(text.find("\"retries\": 3"), 12, "\"retries\": 9");
    std::ofstream(f.out() + "/manifest.json") << text;
    EXPECT_TRUE(contains(error_of(ExitCode::data, [&] { (void)Manifest::read(f.out()); }), {"checksum"}));
    std::ofstream(f.out() + "/manifest.json") << text.substr(0, text.size() / 2);
    EXPECT_TRUE(contains(error_of(ExitCode::data, [&] { (void)Manifest::read(f.out()); }), {"damaged"}));
    EXPECT_TRUE(contains(error_of(ExitCode::usage, [&] { (void)Manifest::read(f.folder.path()); }),
                         {"no sweep", "tether sweep plan"}));
}

TEST(Freeze, a_frozen_job_that_was_edited_is_told) {
    const SweepFolder f;
    const Manifest m = f.frozen();
    std::ofstream(m.job_file_of(m.runs[1]), std::ios::app) << "\n";
    EXPECT_TRUE(contains(error_of(ExitCode::data, [&] { m.check_unchanged(); }), {m.runs[1].folder}));
}

void put_run_file(const std::string& folder, RunStatus end) {
    RunFileWriter writer = RunFileWriter::create(folder + "/run.h5", tether::test::small_description());
    for (Index step = 1; step <= 10; ++step) {
        tether::test::append_all(writer, step);
    }
    writer.commit();
    if (end != RunStatus::running) {
        writer.finish(end);
    }
}

TEST(Ledger, tells_every_state) {
    const SweepFolder f("base = \"job.toml\"\nretries = 2\nseeds = [1, 2, 3, 4, 5, 6, 7, 8]\n");
    const Manifest m = f.frozen();
    const Ledger ledger(m);
    put_run_file(m.folder_of(m.runs[1]), RunStatus::stopped);
    put_run_file(m.folder_of(m.runs[2]), RunStatus::running); // and nobody writes it
    put_run_file(m.folder_of(m.runs[3]), RunStatus::complete);
    ledger.record_begin(m.runs[4], "test");
    std::ofstream(f.folder.file("log")) << "error: of another attempt\n";
    const auto from = static_cast<long long>(fs::file_size(f.folder.file("log")));
    std::ofstream(f.folder.file("log"), std::ios::app) << "words\nerror: step 7: loss nan\nmore\n";
    EXPECT_TRUE(ledger.record_end(m.runs[4], 12, f.folder.file("log"), from));
    ledger.record_begin(m.runs[5], "test");
    EXPECT_TRUE(ledger.record_end(m.runs[5], 137, f.folder.file("no log"), 0));
    const std::unique_ptr<Lease> lease = std::make_unique<Lease>(m.folder_of(m.runs[6]));

    const std::vector<LedgerRow> rows = ledger.rows({"0008"});
    const auto expect = [&](std::size_t i, SweepState state, bool due) {
        EXPECT_EQ(state_name(rows[i].state), state_name(state)) << i;
        EXPECT_EQ(rows[i].due(), due) << i;
    };
    expect(0, SweepState::waiting, true);
    expect(1, SweepState::stopped, true);
    expect(2, SweepState::interrupted, true);
    expect(3, SweepState::complete, false);
    expect(4, SweepState::failed, false);
    expect(5, SweepState::interrupted, true);
    expect(6, SweepState::running, false);
    expect(7, SweepState::queued, false);
    EXPECT_EQ(rows[1].step, 10);
    EXPECT_EQ(rows[4].code, 12);
    EXPECT_EQ(rows[4].message, "step 7: loss nan");
    EXPECT_EQ(rows[5].message, "");
    EXPECT_NE(rows[6].holder.find(std::to_string(getpid())), std::string::npos);
}

TEST(Ledger, counts_failures_and_forgets_them_on_retry) {
    const SweepFolder f("base = \"job.toml\"\nretries = 2\n");
    const Manifest m = f.frozen();
    const Ledger ledger(m);
    const PlannedRun& run = m.runs[0];
    const auto attempt = [&](int code) {
        ledger.record_begin(run, "test");
        (void)ledger.record_end(run, code, "", 0);
        return ledger.row(run).state;
    };
    EXPECT_EQ(attempt(75), SweepState::interrupted); // no run file: nothing to be `stopped`
    EXPECT_EQ(attempt(13), SweepState::interrupted);
    EXPECT_EQ(attempt(137), SweepState::failed); // the second of two
    EXPECT_EQ(ledger.row(run).attempts, 3);
    ledger.record_retry(run);
    EXPECT_TRUE(ledger.row(run).due());
    for (const int code : {2, 3, 12}) {
        EXPECT_EQ(attempt(code), SweepState::failed) << code; // at once
        ledger.record_retry(run);
    }
    // A line cut off by a kill is passed over, and swallows nothing.
    std::ofstream(m.directory() + "/attempts/0001.jsonl", std::ios::app) << "{\"event\": \"en";
    EXPECT_EQ(attempt(14), SweepState::interrupted);
    EXPECT_EQ(ledger.row(run).failures, 1);
}

TEST(Ledger, a_refused_attempt_is_no_failure) {
    const SweepFolder f;
    const Manifest m = f.frozen();
    const Ledger ledger(m);
    const Lease lease(m.folder_of(m.runs[0]));
    const std::string told = error_of(ExitCode::usage, [&] { const Lease second(m.folder_of(m.runs[0])); });
    std::ofstream(f.folder.file("log")) << "error: " << told << "\n";
    ledger.record_begin(m.runs[0], "test");
    EXPECT_FALSE(ledger.record_end(m.runs[0], 2, f.folder.file("log"), 0));
    EXPECT_EQ(ledger.row(m.runs[0]).failures, 0);
}

// A thousand runs, all with run files, and as many ledgers: below a second (here: files in the cache).
// Prints how long that takes; a second is what `tether sweep status` may need.
TEST(Ledger, has_a_thousand_runs) {
    std::string seeds = "1";
    for (int s = 2; s <= 1000; ++s) {
        seeds += "," + std::to_string(s);
    }
    const SweepFolder f("base = \"job.toml\"\nseeds = [" + seeds.substr(0, 3893) + "]\n");
    const Manifest m = f.frozen();
    ASSERT_EQ(m.runs.size(), 1000U);
    put_run_file(f.folder.path(), RunStatus::stopped);
    for (const PlannedRun& run : m.runs) {
        fs::copy_file(f.folder.file("run.h5"), m.folder_of(run) + "/run.h5");
        std::ofstream(f.out() + "/attempts/" + run.id + ".jsonl") << "{\"event\": \"begin\"}\n";
    }
    double best = 1e9;
    for (int repeat = 0; repeat < 3; ++repeat) {
        const auto start = std::chrono::steady_clock::now();
        const Manifest again = Manifest::read(f.out());
        const std::vector<LedgerRow> rows = Ledger(again).rows();
        ASSERT_EQ(rows.size(), 1000U);
        EXPECT_EQ(rows.back().step, 10);
        best =
            std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::printf("ledger of 1000 runs: %.3f s\n", best);
}

} // namespace
} // namespace tether::run::test
