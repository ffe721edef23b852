// Sweep files: what they expand to, and what people get wrong in them.
#include "tests/running/job_fixture.hpp"
#include "tests/running/sweep_fixture.hpp"

#include <filesystem>
#include <set>

namespace tether::run::test {
namespace {
namespace fs = std::filesystem;

std::vector<std::string> descriptions(const Sweep& sweep) {
    std::vector<std::string> out;
    for (const SweepRun& run : sweep.runs) {
        out.push_back(run.description());
    }
    return out;
}

TEST(Sweep, all_forms_together) {
    const SweepFolder f(R"(name = "every"
base = "job.toml"
seeds = [1, 2]
[set]
train.epochs = 3
[grid]
primal.lr = [1e-3, 0.01]
setting = [{ label = "plain", method.name = "strict" }, { label = "held", method = { name = "ace" }, dual.lr = 0.5 }]
[zip]
"model.layers" = [1, 3]
data.batch = [20, 10]
[[run]]
method.name = "free"
[[run]]
label = "other"
seed = 9
model.hidden = "2x0e+2x1o"
)");
    const Sweep sweep = read_sweep(f.file);
    ASSERT_EQ(sweep.runs.size(), 2U * 2 * 2 * 2 + 2 + 1);
    EXPECT_EQ(sweep.runs[0].description(),
              "primal.lr=0.001, setting=plain, model.layers=1, data.batch=20, seed=1");
    EXPECT_EQ(sweep.runs[15].description(),
              "primal.lr=0.01, setting=held, model.layers=3, data.batch=10, seed=2");
    EXPECT_EQ(sweep.runs[16].description(), "method.name=free, seed=1");
    EXPECT_EQ(sweep.runs[18].description(), "run=other");

    const Job held = sweep.job(sweep.runs[15]);
    EXPECT_EQ(held.name, "every-lr0.01-held-layers3-batch10-seed2");
    EXPECT_EQ(held.method.name, "ace");
    EXPECT_EQ(held.dual.lr, 0.5);
    EXPECT_EQ(held.primal.lr, 0.01);
    EXPECT_EQ(held.model.integer("layers"), 3);
    EXPECT_EQ(held.data.batch, 10);
    EXPECT_EQ(held.train.epochs, 3);
    EXPECT_EQ(held.seed, 2);
    EXPECT_EQ(sweep.job(sweep.runs[18]).seed, 9);
    std::set<std::string> hashes;
    for (const SweepRun& run : sweep.runs) {
        hashes.insert(sweep.job(run).hash());
    }
    EXPECT_EQ(hashes.size(), sweep.runs.size());
}

TEST(Sweep, single_runs_alone_and_the_job_itself) {
    const SweepFolder f("base = \"job.toml\"\n[[run]]\nseed = 1\n[[run]]\nseed = 5\n");
    EXPECT_EQ(descriptions(read_sweep(f.file)), (std::vector<std::string>{"seed=1", "seed=5"}));
    f.write("base = \"job.toml\"\n");
    const Sweep sweep = read_sweep(f.file);
    ASSERT_EQ(sweep.runs.size(), 1U);
    EXPECT_EQ(sweep.name, "some");
    EXPECT_EQ(sweep.job(sweep.runs[0]).name, "some");
}

TEST(Sweep, files_of_the_repository_are_whole) {
    int count = 0;
    for (const auto& item : fs::directory_iterator(TETHER_SOURCE_DIR "/jobs/sweeps")) {
        const Sweep sweep = read_sweep(item.path().string());
        for (const SweepRun& run : sweep.runs) {
            EXPECT_NE(sweep.job(run).hash(), "");
        }
        ++count;
    }
    EXPECT_GE(count, 1);
}

struct Mistake {
    std::string name, text;
    std::vector<std::string> said;
};
std::ostream& operator<<(std::ostream& to, const Mistake& m) { return to << m.name; }

class SweepMistake : public testing::TestWithParam<Mistake> {};

// Said before anything is written.
TEST_P(SweepMistake, is_told_with_its_line) {
    const SweepFolder f(GetParam().text);
    const std::string message =
        error_of(ExitCode::usage, [&] { (void)freeze(read_sweep(f.file), f.out(), 0); });
    EXPECT_TRUE(contains(message, GetParam().said));
    EXPECT_TRUE(contains(message, {"some.toml"}));
    EXPECT_FALSE(fs::exists(f.out()));
}

const std::string base = "base = \"job.toml\"\n";
INSTANTIATE_TEST_SUITE_P(
    Files, SweepMistake,
    testing::Values(
        Mistake{"unknown_word", base + "gird = 3\n", {":2", "gird", "did you mean 'grid'"}},
        Mistake{"unknown_key_in_grid", base + "[grid]\nprimal.rl = [1]\n", {":3", "primal.rl", "primal.lr"}},
        Mistake{"unknown_key_in_set", base + "[set]\nmodel.layres = 1\n", {":3", "model.layers"}},
        Mistake{"unknown_key_in_zip", base + "[zip]\nsede = [1]\n", {":3", "'seed'"}},
        Mistake{"unknown_key_in_run", base + "[[run]]\nsede = 1\n", {":3", "'seed'"}},
        Mistake{"empty_axis", base + "[grid]\nseed = []\n", {":3", "axis seed is empty"}},
        Mistake{"empty_seeds", base + "seeds = []\n", {":2", "axis seeds is empty"}},
        Mistake{"empty_grid", base + "[grid]\n", {":2", "[grid] is empty"}},
        Mistake{"axis_that_is_no_list", base + "[grid]\nseed = 1\n", {":3", "must be a list"}},
        Mistake{"value_that_is_a_date", base + "[set]\nseed = 2020-01-01\n", {":3", "a date"}},
        Mistake{"unequal_zip", base + "[zip]\nseed = [1, 2]\nprimal.lr = [1]\n", {":4", "1 values", "has 2"}},
        Mistake{"value_without_label", base + "[grid]\na = [{ seed = 1 }]\n", {":3", "no label"}},
        Mistake{"mixed_axis", base + "[grid]\nseed = [1, { label = \"a\", seed = 2 }]\n", {":3", "mixes"}},
        Mistake{"varied_twice",
                base + "seeds = [1]\n[grid]\nseed = [1, 2]\n",
                {"'seed' is varied twice", ":2", ":4"}},
        Mistake{"too_many",
                base + "max_runs = 5\n[grid]\nseed = [1, 2, 3]\nprimal.lr = [1e-3, 2e-3]\n",
                {"6 runs", "5 are allowed"}},
        Mistake{"a_great_many",
                base +
                    "[grid]\nseed = [1,2,3,4,5,6,7,8,9]\ndata.batch = "
                    "[1,2,3,4,5,6,7,8,9]\ndata.train=[1,2,3,4,5,6,7,8,9]\nmodel.layers=[1,2,3,4,5,6,7,8,9]\n",
                {"6561 runs", "1000"}},
        Mistake{"same_job_twice", base + "[grid]\nseed = [1, 1]\n", {"same job"}},
        Mistake{"same_numbers_twice", base + "[grid]\nlog.every = [1, 2]\n", {"same job"}},
        Mistake{
            "wrong_type", base + "[grid]\nprimal.lr = [\"fast\"]\n", {":3", "primal.lr", "expected real"}},
        Mistake{"out_of_range", base + "[[run]]\ndata.batch = -1\n", {":3", "data.batch", "-1"}},
        Mistake{"key_without_effect",
                base + "[grid]\nmethod.name = [\"strict\"]\ndual.lr = [1.0]\n",
                {":4", "dual.lr", "no effect"}},
        Mistake{"irreps_that_are_none", base + "[set]\nmodel.hidden = \"4y1o\"\n", {"4y1o"}},
        Mistake{"no_base", "seeds = [1]\n", {"missing 'base'"}},
        Mistake{"absent_base", "base = \"jbo.toml\"\n", {":1", "jbo.toml", "does not exist"}},
        Mistake{"name_no_folder", base + "name = \"a/b\"\n", {":2", "a/b"}},
        Mistake{"not_toml", "base = \n", {":1", "not valid TOML"}}),
    [](const auto& tested) { return tested.param.name; });

TEST(SweepMistakes, files_that_are_none) {
    EXPECT_TRUE(contains(error_of(ExitCode::usage, [] { (void)read_sweep("/no/such.toml"); }),
                         {"sweep file /no/such.toml does not exist"}));
    EXPECT_TRUE(contains(error_of(ExitCode::usage, [] { (void)read_sweep("/tmp"); }), {"is a folder"}));
}

TEST(SweepMistakes, absent_data) {
    const SweepFolder f("base = \"job.toml\"\n[set]\ndata.file = \"/absent.h5\"\n");
    EXPECT_TRUE(contains(error_of(ExitCode::data, [&] { (void)freeze(read_sweep(f.file), f.out(), 0); }),
                         {"/absent.h5", "tether data"}));
    EXPECT_FALSE(fs::exists(f.out()));
}

} // namespace
} // namespace tether::run::test
