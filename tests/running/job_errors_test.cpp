// Each kind of mistake in a job gives one message with file and line, what was found, what was expected.
#include "tests/running/job_fixture.hpp"
#include "tests/support/reference.hpp"

#include <fstream>

namespace tether::run::test {

TEST(JobErrors, unknown_key) {
    EXPECT_TRUE(contains(message(small_job + "[primal]\nlearning_rate = 1\n"),
                         {"a.toml:13", "unknown key 'primal.learning_rate'", "known:", "lr"}));
    EXPECT_TRUE(contains(message(small_job + "epoch = 1\n"), {"a.toml:12", "did you mean 'train.epochs'?"}));
    EXPECT_TRUE(contains(message("sed = 1\n" + small_job), {"a.toml:1", "'sed'", "did you mean 'seed'?"}));
}

TEST(JobErrors, key_of_another_section) {
    EXPECT_TRUE(contains(message(small_job + "lr = 1\n"), {"a.toml:12", "'primal.lr' or 'dual.lr'"}));
    EXPECT_TRUE(contains(message_with({"lanes=4"}), {"--set lanes=4", "did you mean 'parallel.lanes'?"}));
}

TEST(JobErrors, unknown_section) {
    EXPECT_TRUE(contains(message(small_job + "[primel]\nlr = 1\n"),
                         {"a.toml:12", "unknown section [primel]", "did you mean 'primal'?"}));
    EXPECT_TRUE(
        contains(message_with({"modle.name=x"}), {"unknown section [modle]", "did you mean 'model'?"}));
    EXPECT_TRUE(contains(message(small_job + "[model.extra]\nx = 1\n"), {"a.toml:12", "'model.extra'"}));
}

TEST(JobErrors, first_mistake_of_the_file_is_named) {
    EXPECT_TRUE(contains(message("zzz = 1\naaa = 2\n" + small_job), {"a.toml:1", "'zzz'"}));
}

TEST(JobErrors, wrong_type) {
    EXPECT_TRUE(contains(message(small_job + "[primal]\nlr = \"fast\"\n"),
                         {"a.toml:13: 'primal.lr': found \"fast\" (text), expected real 0 .. 1000000"}));
    EXPECT_TRUE(contains(message_with({"train.epochs=2.5"}), {"found 2.5 (real), expected integer"}));
    EXPECT_TRUE(contains(message_with({"train.epochs=true"}), {"found true, expected integer"}));
    EXPECT_TRUE(contains(message_with({"data.drop_last=1"}), {"found 1 (integer), expected true or false"}));
    EXPECT_TRUE(contains(message_with({"primal.betas=0.9"}), {"found 0.9 (real), expected list of 2 reals"}));
    EXPECT_TRUE(
        contains(message_with({"primal.betas=[0.9]"}), {"found a list of 1, expected list of 2 reals"}));
    EXPECT_TRUE(contains(message_with({"primal.betas=[0.9, true]"}), {"(entry true)"}));
    EXPECT_TRUE(contains(message_with({"seed=2020-01-01"}), {"found a date or time, expected integer"}));
    EXPECT_TRUE(contains(message("model = \"segnn\"\n"), {"a.toml:1", "found \"segnn\" (text)", "[model]"}));
    EXPECT_TRUE(contains(message(small_job + "[[log]]\nevery = 1\n"), {"a list of 1", "[log]"}));
    std::string text = small_job;
    text.replace(text.find("\"segnn\""), 7, "7");
    EXPECT_TRUE(contains(message(text), {"a.toml:7", "found 7 (integer), expected one of segnn, egnn"}));
}

TEST(JobErrors, out_of_range) {
    EXPECT_TRUE(contains(message(small_job + "[primal]\nlr = -1\n"),
                         {"a.toml:13: 'primal.lr': found -1 (integer), expected real 0 .. 1000000"}));
    EXPECT_TRUE(
        contains(message_with({"data.batch=0"}), {"found 0 (integer), expected integer 1 .. 1000000000"}));
    EXPECT_TRUE(contains(message_with({"primal.lr=nan"}), {"found nan (real), expected real"}));
    EXPECT_TRUE(contains(message_with({"primal.lr=inf"}), {"found inf (real), expected real"}));
    EXPECT_TRUE(
        contains(message_with({"seed=9223372036854775807"}), {"expected integer 0 .. 9007199254740992"}));
    EXPECT_TRUE(contains(message_with({"primal.betas=[0.9, 1]"}), {"(entry 1 (integer))"}));
    EXPECT_TRUE(contains(message_with({"log.checkpoint_every_s=-1"}), {"[s]"}));
    EXPECT_TRUE(contains(message_with({"schema_version=2"}), {"expected integer 1 .. 1"}));
}

TEST(JobErrors, unknown_word) {
    EXPECT_TRUE(
        contains(message_with({"method.name=ase"}), {"expected one of strict, free", "did you mean 'ace'?"}));
    EXPECT_TRUE(contains(message_with({"train.precision=float23"}), {"did you mean 'float32'?"}));
    EXPECT_TRUE(contains(message_with({"data.set=mnist"}), {"expected one of nbody"}));
}

TEST(JobErrors, irreps_are_checked_where_they_are_written) {
    EXPECT_TRUE(contains(message(small_job + "[log]\n[model.x]\n"), {"'model.x'"}));
    EXPECT_TRUE(
        contains(message_with({"model.hidden=32x0e+32y1o"}),
                 {"--set model.hidden=32x0e+32y1o: 'model.hidden': found \"32x0e+32y1o\"", "position"}));
    EXPECT_TRUE(contains(message_with({"model.hidden=\"\""}), {"'model.hidden'", "1 .. 4096"}));
    EXPECT_TRUE(contains(message_with({"model.hidden=5000x0e"}), {"5000 columns, expected 1 .. 4096"}));
    EXPECT_TRUE(contains(message_with({"model.hidden=2x7o"}), {"degree 7, expected at most 6"}));
}

TEST(JobErrors, lanes_must_be_a_power_of_two) {
    EXPECT_TRUE(contains(message_with({"parallel.lanes=6"}), {"found 6 (integer), expected a power of two"}));
    EXPECT_TRUE(contains(message_with({"parallel.lanes=0"}), {"expected integer 1 .. 4096"}));
    EXPECT_TRUE(contains(message_with({"parallel.lanes_at_once=3"}), {"a power of two"}));
}

TEST(JobErrors, name_must_do_for_a_folder) {
    EXPECT_TRUE(contains(message_with({"name=a/b"}), {"letters, digits"}));
    EXPECT_TRUE(contains(message_with({"name=.."}), {"letters, digits"}));
    EXPECT_TRUE(contains(message_with({"name=\"\""}), {"letters, digits"}));
    const std::string nameless = small_job.substr(small_job.find('\n') + 1);
    try {
        (void)parse_job_text(nameless, "my job.toml");
        FAIL();
    } catch (const Error& error) {
        EXPECT_TRUE(contains(error.what(), {"'name' is missing", "letters, digits"}));
    }
}

TEST(JobErrors, missing_keys_are_all_named) {
    EXPECT_TRUE(contains(message("seed = 1\n"), {"a.toml: missing", "'data.set' (data set)", "'data.file'",
                                                 "'model.name'", "'method.name'"}));
    EXPECT_TRUE(contains(message(""), {"a.toml: the job is empty", "'data.set'"}));
    EXPECT_TRUE(contains(message("\xef\xbb\xbf\r\n# only a comment\r\n"), {"the job is empty"}));
}

TEST(JobErrors, given_twice) {
    EXPECT_TRUE(contains(message("seed = 1\n" + small_job), {"a.toml:3", "given twice", "seed"}));
    EXPECT_TRUE(
        contains(message(small_job + "[model]\nlayers = 2\n"), {"a.toml:12", "given twice", "model"}));
}

TEST(JobErrors, not_toml) {
    EXPECT_TRUE(contains(message(small_job + "what is this\n"), {"a.toml:12", "not valid TOML"}));
    EXPECT_TRUE(contains(message(small_job + "x = \"open\n"), {"a.toml:12", "not valid TOML"}));
    EXPECT_TRUE(contains(message("[data] set = \"nbody\"\n"), {"a.toml:1", "not valid TOML"}));
    EXPECT_TRUE(contains(message(std::string("seed = 1\0\n", 10)), {"a.toml:1", "not valid TOML"}));
    EXPECT_TRUE(contains(message("name = \"\xff\xfe\"\n"), {"a.toml:1", "not valid TOML"}));
}

TEST(JobErrors, absurd_text) {
    EXPECT_TRUE(contains(message("a = 1\nx = \"" + std::string(1 << 20, 'x') + "\"\n"),
                         {"a.toml:2", "1048582 characters", "at most 4096"}));
    std::string dotted = "a";
    for (int i = 0; i < 1500; ++i) {
        dotted += ".a";
    }
    EXPECT_TRUE(contains(message(dotted + " = 1\n"), {"a.toml:1", "dots"}));
    EXPECT_TRUE(contains(message("x = " + std::string(2000, '[') + "\n"), {"a.toml:1", "not valid TOML"}));
    std::string nested = "x = ";
    for (int i = 0; i < 5000; ++i) {
        nested += "[\n";
    }
    EXPECT_TRUE(contains(message(nested), {"not valid TOML"}));
}

TEST(JobErrors, keys_without_effect) {
    std::string strict = small_job;
    strict.replace(strict.find("\"ace\""), 5, "\"strict\"");
    EXPECT_TRUE(contains(message(strict + "[dual]\nlr = 1\n"),
                         {"a.toml:13: 'dual.lr' has no effect: it needs a method with multipliers (ace)",
                          "method.name = \"strict\" (a.toml:9)"}));
    EXPECT_TRUE(contains(message_with({"method.name=strict", "dual.lr=1"}),
                         {"--set dual.lr=1: 'dual.lr' has no effect", "--set method.name=strict"}));
    EXPECT_TRUE(contains(message_with({"method.name=strict", "method.epsilon=1"}),
                         {"'method.epsilon' has no effect", "method.name = \"strict\""}));
    EXPECT_TRUE(contains(message_with({"method.epsilon=0.1", "method.name=ace-resilient"}),
                         {"'method.epsilon' has no effect", "method.constraint = \"resilient\""}));
    EXPECT_TRUE(contains(message_with({"method.rho=2"}), {"method.constraint = equality", "'method.rho'"})
                    ? testing::AssertionFailure() << "says = equality as if it were wanted"
                    : testing::AssertionSuccess());
    EXPECT_TRUE(contains(message_with({"method.rho=2"}), {"it needs method.constraint = resilient",
                                                          "method.constraint = \"equality\" (default)"}));
    EXPECT_TRUE(contains(message(small_job + "[primal]\nmomentum = 0.9\n"),
                         {"it needs primal.optimizer = sgd", "primal.optimizer = \"adam\" (default)"}));
    EXPECT_TRUE(contains(message_with({"dual.kp=1"}), {"it needs dual.optimizer = nupi"}));
    EXPECT_TRUE(contains(message_with({"primal.decay_at=[0.5]"}), {"it needs primal.schedule = milestones"}));
    EXPECT_TRUE(
        contains(message_with({"model.name=egnn", "model.lmax_attr=1"}), {"it needs model.name = segnn"}));
}

TEST(JobErrors, impossible_combinations) {
    EXPECT_TRUE(contains(message_with({"method.name=ace-resilient", "dual.signed=true"}),
                         {"impossible combination", "method.constraint = \"resilient\"",
                          "--set method.name=ace-resilient", "dual.signed = true (--set dual.signed=true)"}));
    EXPECT_TRUE(contains(message_with({"method.epsilon=0.1", "dual.signed=true"}),
                         {"impossible combination", "method.epsilon = 0.1", "dual.signed"}));
    EXPECT_TRUE(contains(message_with({"dual.signed=false"}), {"impossible combination", "either sign"}));
    EXPECT_TRUE(contains(message_with({"method.name=ace-resilient", "method.constraint=equality"}),
                         {"impossible combination", "ace-resilient", "found \"equality\""}));
    EXPECT_TRUE(contains(
        message_with({"method.name=ace-resilient", "method.variant=released-qm9", "dual.scale=mean"}),
        {"impossible combination", "released-qm9", "dual.scale = \"mean\""}));
    EXPECT_TRUE(contains(message_with({"data.frame_in=40"}),
                         {"impossible combination", "data.frame_out = 40 (default)", "data.frame_in = 40"}));
    EXPECT_TRUE(contains(message_with({"data.train=10", "data.drop_last=true"}),
                         {"impossible combination", "data.batch = 100", "data.train = 10"}));
    EXPECT_TRUE(contains(message_with({"parallel.lanes=2", "parallel.lanes_at_once=4"}),
                         {"impossible combination", "parallel.lanes = 2"}));
    EXPECT_TRUE(contains(message_with({"primal.schedule=milestones", "primal.decay_at=[0.9, 0.8]"}),
                         {"increasing order"}));
}

TEST(JobErrors, malformed_override) {
    for (const char* bad : {"primal.lr", "=1", "primal.lr=", "", "."}) {
        EXPECT_TRUE(contains(message_with({bad}), {"--set", "expected section.key=value"})) << bad;
    }
    EXPECT_TRUE(contains(message_with({"primal.lr=1\nseed=2"}), {"control character"}));
    EXPECT_TRUE(contains(message_with({"primal.lr.x=1"}), {"unknown key 'primal.lr.x'"}));
    EXPECT_TRUE(contains(message_with({"primal=1"}), {"unknown key 'primal'", "section"}));
}

TEST(JobErrors, unreadable_file) {
    const tether::test::TemporaryFolder folder;
    const auto error_of = [](const std::string& path) -> std::string {
        try {
            (void)read_job(path);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::usage);
            return error.what();
        }
        return "";
    };

    EXPECT_TRUE(contains(error_of(folder.file("none.toml")), {folder.file("none.toml"), "does not exist"}));
    EXPECT_TRUE(contains(error_of(folder.path()), {folder.path(), "is a folder"}));
    std::ofstream(folder.file("huge.toml")) << std::string(3U << 20U, '\n');
    EXPECT_TRUE(contains(error_of(folder.file("huge.toml")), {"larger than a job can be"}));
    std::ofstream(folder.file("empty.toml")).flush();
    EXPECT_TRUE(contains(error_of(folder.file("empty.toml")), {folder.file("empty.toml"), "is empty"}));
}

} // namespace tether::run::test
