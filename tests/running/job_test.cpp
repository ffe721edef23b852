// What a valid job becomes: typed values, defaults, overrides, canonical text, hash, paths.
#include "tests/running/job_fixture.hpp"
#include "tests/support/reference.hpp"

#include "tether/methods/method.hpp"
#include "tether/run/job_keys.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

namespace tether::run::test {
namespace fs = std::filesystem;

TEST(Job, typed_values_and_defaults) {
    const Job job = parse(small_job + "[primal]\nlr = 1\nbetas = [0.5, 0]\n[log]\ncheckpoint_every_s = 60\n");

    EXPECT_EQ(job.name, "small");
    EXPECT_EQ(job.seed, 7);
    EXPECT_EQ(job.data.set, "nbody");
    EXPECT_EQ(job.data.batch, 100);
    EXPECT_EQ(job.data.integer("frame_in"), 30);
    EXPECT_EQ(job.data.integer("frame_out"), 40);
    EXPECT_EQ(job.model.name, "segnn");
    EXPECT_EQ(job.model.text("hidden"), "32x0e+32x1o");
    EXPECT_EQ(job.model.integer("layers"), 4);
    EXPECT_EQ(job.method.name, "ace");
    EXPECT_EQ(job.method.text("constraint"), "equality");
    EXPECT_EQ(job.primal.lr, 1.0); // an integer where a real is meant
    EXPECT_EQ(job.primal.optimiser.beta1, 0.5);
    EXPECT_EQ(job.primal.optimiser.beta2, 0.0);
    EXPECT_EQ(job.primal.optimiser.eps, 1e-8);
    EXPECT_TRUE(job.dual.used);
    EXPECT_TRUE(job.dual.optimiser.is_signed.value());
    EXPECT_EQ(job.dual.lr, 8e-4);
    EXPECT_EQ(job.train.epochs, 3);
    EXPECT_EQ(job.train.precision, Precision::float32);
    EXPECT_EQ(job.parallel.lanes, 8);
    EXPECT_EQ(job.parallel.order, SumOrder::tree);
    EXPECT_EQ(job.log.checkpoint_every_s, 60.0);
    EXPECT_EQ(job.origin("train.epochs"), "a.toml:11");
    EXPECT_EQ(job.origin("data.batch"), "default");
}

TEST(Job, every_word_reaches_its_typed_value) {
    EXPECT_EQ(with({"primal.optimizer=sgd", "primal.momentum=0.9"}).primal.optimiser.momentum, 0.9);
    EXPECT_EQ(with({"primal.clip_norm=1"}).primal.optimiser.clip_norm, 1.0);
    EXPECT_EQ(with({"primal.weight_decay=1e-10"}).primal.optimiser.weight_decay, 1e-10);
    const Job nupi = with({"dual.optimizer=nupi", "dual.kp=3", "dual.ki=2", "dual.nu=0.5"});
    EXPECT_EQ(nupi.dual.optimiser.kind, methods::DualKind::nupi);
    EXPECT_EQ(nupi.dual.optimiser.proportional, 3.0);
    EXPECT_EQ(nupi.dual.optimiser.integral, 2.0);
    EXPECT_EQ(nupi.dual.optimiser.nu, 0.5);
    EXPECT_EQ(with({"dual.optimizer=sgd"}).dual.optimiser.kind, methods::DualKind::sgd);
    EXPECT_EQ(with({"dual.weight_decay=0.5"}).dual.optimiser.weight_decay, 0.5);
    EXPECT_EQ(with({"dual.eps=1e-4"}).dual.optimiser.eps, 1e-4);
    EXPECT_TRUE(with({"dual.scale=mean"}).dual.optimiser.mean);
    EXPECT_FALSE(with({}).dual.optimiser.mean);
    EXPECT_EQ(with({"train.precision=float64"}).train.precision, Precision::float64);
    EXPECT_EQ(with({"parallel.order=fast"}).parallel.order, SumOrder::fast);
    EXPECT_EQ(with({"parallel.coordinator=dedicated"}).parallel.coordinator, CoordinatorPlace::dedicated);
    const Job cosine = with({"primal.schedule=cosine", "primal.lr_final=1e-3", "primal.schedule_ahead=true"});
    EXPECT_EQ(cosine.primal.schedule.kind, optimise::ScheduleKind::cosine);
    EXPECT_EQ(cosine.primal.schedule.minimum, 1e-3);
    EXPECT_TRUE(cosine.primal.schedule.ahead);
    const Job step = with({"dual.schedule=step", "dual.decay_every=7", "dual.decay_factor=0.7"});
    EXPECT_EQ(step.dual.schedule.every, 7);
    EXPECT_EQ(step.dual.schedule.factor, 0.7);
    const Job milestones = with({"primal.schedule=milestones", "primal.decay_at=[0.5, 1]"});
    EXPECT_EQ(milestones.primal.schedule.milestones, (std::vector<double>{0.5, 1.0}));
}

TEST(Job, a_setting_that_was_never_declared_is_a_program_error) {
    const Job job = with({});

    EXPECT_THROW((void)job.model.integer("widht"), std::logic_error);
    EXPECT_THROW((void)job.model.integer("hidden"), std::logic_error); // a text
}

TEST(Job, multipliers_are_signed_only_for_the_plain_equality) {
    EXPECT_TRUE(with({"method.constraint=equality"}).dual.optimiser.is_signed.value());
    EXPECT_FALSE(with({"method.epsilon=0.1"}).dual.optimiser.is_signed.value());
    EXPECT_FALSE(with({"method.name=ace-resilient"}).dual.optimiser.is_signed.value());
    EXPECT_FALSE(with({"method.constraint=resilient", "method.variant=released-mocap"})
                     .dual.optimiser.is_signed.value());
    EXPECT_FALSE(with({"method.name=strict"}).dual.used);
}

TEST(Job, overrides_take_toml_values_and_bare_words_and_the_last_one_wins) {
    const Job job =
        with({"primal.lr=1e-3", "primal.lr=2e-3", "name=42", "data.file=other file.h5",
              "primal.betas=[0.8, 0.9]", "data.drop_last=true", "model.hidden = \"8x0e + 4x1o\""});

    EXPECT_EQ(job.primal.lr, 2e-3);
    EXPECT_EQ(job.name, "42");
    EXPECT_EQ(job.data.file, "other file.h5");
    EXPECT_EQ(job.primal.optimiser.beta1, 0.8);
    EXPECT_TRUE(job.data.drop_last);
    EXPECT_EQ(job.model.text("hidden"), "8x0e+4x1o");
    EXPECT_EQ(job.origin("primal.lr"), "--set primal.lr=2e-3");
}

TEST(Job, choosing_a_method_on_the_command_line_gives_it_its_defaults) {
    const std::string ace = small_job + "[dual]\nlr = 0.5\n";
    const Job strict = parse(ace, {"method.name=strict"});
    EXPECT_FALSE(strict.dual.used); // the file's [dual] lost its ground, which is no error
    EXPECT_EQ(strict.method.label(), "strict");

    std::string resilient = small_job;
    resilient.replace(resilient.find("\"ace\""), 5, "\"ace\"\nconstraint = \"resilient\"\nrho = 3");
    EXPECT_EQ(parse(resilient).method.real("rho"), 3.0);
    EXPECT_EQ(parse(resilient, {"method.name=ace-resilient"}).method.real("rho"), 3.0); // no change
    EXPECT_EQ(parse(resilient, {"method.name=ace"}).method.label(), "ace");
    EXPECT_FALSE(parse(resilient, {"method.name=ace"}).method.has("rho"));
    EXPECT_EQ(parse(resilient, {"method.constraint=equality"}).method.label(), "ace");
    EXPECT_EQ(parse(resilient, {"method.name=free"}).method.boolean("gate_trained"), false);
    EXPECT_EQ(parse(resilient, {"model.name=egnn"}).model.integer("hidden"), 64);
    EXPECT_EQ(parse(small_job + "[primal]\neps = 1e-4\n", {"primal.optimizer=sgd"}).primal.optimiser.kind,
              optimise::OptimiserKind::sgd);
}

TEST(Job, two_spellings_of_the_resilient_method_are_one_job) {
    const Job a = with({"method.name=ace-resilient"});
    const Job b = with({"method.constraint=resilient"});
    std::string text = small_job;
    text.replace(text.find("\"ace\""), 5, "\"ace-resilient\"");

    EXPECT_EQ(a.method.label(), "ace-resilient");
    EXPECT_EQ(a.hash(), b.hash());
    EXPECT_EQ(a.resolved(), b.resolved());
    EXPECT_EQ(a.hash(), parse(text).hash());
    EXPECT_NE(a.hash(), with({}).hash());
}

TEST(Job, hash_covers_what_changes_the_numbers_and_nothing_else) {
    const std::string hash = with({}).hash();
    EXPECT_EQ(hash.size(), 64U);

    for (const char* same : {"name=other", "data.file=elsewhere/data.h5", "log.every=1", "log.keep=9",
                             "log.checkpoint_every_s=1", "log.checkpoint_every_steps=5",
                             "parallel.lanes_at_once=2", "parallel.coordinator=dedicated", "primal.lr=0.0009",
                             "primal.weight_decay=-0.0", "model.hidden=32x0e + 32x1o", "dual.signed=true"}) {
        EXPECT_EQ(with({same}).hash(), hash) << same;
    }
    for (const char* other :
         {"seed=8", "data.file=other.h5", "data.train=10", "data.batch=99", "data.frame_in=31",
          "model.layers=3", "method.name=strict", "method.gate_initial=0.5", "method.augmented=1",
          "primal.lr=1e-3", "dual.lr=1e-3", "dual.scale=mean", "train.epochs=4", "train.precision=float64",
          "parallel.lanes=4", "parallel.order=fast"}) {
        EXPECT_NE(with({other}).hash(), hash) << other;
    }
    EXPECT_EQ(with({}).folder_name(), "small-" + hash.substr(0, 12));
}

TEST(Job, order_and_layout_of_the_file_do_not_matter) {
    const std::string shuffled = "\xef\xbb\xbf"
                                 "method.name = \"ace\" # a comment\r\n"
                                 "train = { epochs = 3 }\r\n"
                                 "seed = 0x7\r\n"
                                 "name = 'small'\r\n"
                                 "[model]\r\n"
                                 "\"name\" = \"segnn\"\r\n"
                                 "[data]\r\n"
                                 "file = \"data.h5\"\r\n"
                                 "set = \"nbody\"";

    EXPECT_EQ(parse(shuffled).resolved(), parse(small_job).resolved());
    EXPECT_EQ(parse(shuffled).origin("data.set"), "a.toml:9");
}

TEST(Job, default_name_is_that_of_the_file) {
    const std::string text = small_job.substr(small_job.find('\n') + 1);

    EXPECT_EQ(parse_job_text(text, "jobs/some_job.toml").name, "some_job");
}

// A random valid value of a key.
std::string random_value(const Key& key, std::mt19937& random) {
    const auto uniform = [&](double low, double high) {
        return std::uniform_real_distribution<double>(std::max(low, -1e6), std::min(high, 1e6))(random);
    };
    switch (key.kind) {
    case Kind::boolean: return random() % 2 == 0 ? "true" : "false";
    case Kind::integer: {
        if (key.demand) {
            return std::to_string(1U << random() % 8);
        }
        return std::to_string(static_cast<Index>(uniform(key.low, key.high)));
    }
    case Kind::real: return toml_text(uniform(key.low, key.high));
    case Kind::text:
        return key.words.empty() ? "word" + std::to_string(random() % 100)
                                 : toml_text(key.words[random() % key.words.size()]);
    case Kind::reals: return key.name == "decay_at" ? "[0.25, 0.75]" : "[0.1, 0.2]";
    case Kind::integers: break;
    }
    return "[1]";
}

TEST(Job, resolved_text_reads_back_to_the_same_job) {
    std::mt19937 random(5);
    const std::vector<KeyRow>& table = job_key_table();
    int read = 0;
    for (int round = 0; round < 600; ++round) {
        std::vector<std::string> overrides;
        for (int i = 0; i < 3; ++i) {
            const KeyRow& row = table[random() % table.size()];
            overrides.push_back(row.full_name() + "=" + random_value(row.key, random));
        }
        Job job;
        try {
            job = with(overrides);
        } catch (const Error&) {
            continue; // keys that do not go together
        }
        ++read;
        const Job again = parse_job_text(job.resolved(), "resolved.toml");
        ASSERT_EQ(again.resolved(), job.resolved());
        ASSERT_EQ(again.hash(), job.hash());
        EXPECT_NO_THROW((void)parse_job_text(job.resolved(), "resolved.toml",
                                             std::vector<std::string>{"method.name=ace-resilient"}));
    }
    EXPECT_GT(read, 60);
}

TEST(Job, resolved_text_names_its_schema_and_all_defaults) {
    const std::string text = with({}).resolved();

    EXPECT_TRUE(contains(text, {"schema_version = 1", "[parallel]", "lanes = 8", "betas = [0.9, 0.999]",
                                "lr = 0.0009", "eps = 1e-08", "constraint = \"equality\""}));
}

TEST(Job, data_file_is_found_here_or_in_the_project_of_the_job) {
    const tether::test::TemporaryFolder folder;
    const std::string project = fs::canonical(folder.path()).string() + "/jobs/project";
    fs::create_directories(project + "/jobs/deep");
    fs::create_directories(project + "/data");
    std::ofstream(project + "/jobs/deep/a.toml") << small_job;
    const Job job =
        read_job(project + "/jobs/deep/a.toml", std::vector<std::string>{"data.file=data/some.h5"});

    // The outermost folder named jobs decides.
    const std::string place = fs::canonical(folder.path()).string() + "/data/some.h5";
    EXPECT_EQ(job.candidates("data/some.h5"), (std::vector<std::string>{"data/some.h5", place}));
    try {
        (void)job.data_file();
        FAIL() << "found a file that is not there";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::data);
        EXPECT_TRUE(contains(error.what(), {"data/some.h5", place, "tether data nbody"}));
    }
    fs::create_directories(fs::path(place).parent_path());
    std::ofstream(place) << "x";
    EXPECT_EQ(job.data_file(), place);
    EXPECT_EQ(job.candidates("/absolute.h5"), std::vector<std::string>{"/absolute.h5"});
}

TEST(JobKeys, every_key_is_explained_and_its_default_is_valid) {
    for (const KeyRow& row : job_key_table()) {
        EXPECT_FALSE(row.key.meaning.empty()) << row.full_name();
        EXPECT_LT(row.key.meaning.size(), 100U) << row.full_name();
        if (row.key.standard && row.key.kind == Kind::text && !row.key.words.empty()) {
            const auto& words = row.key.words;
            EXPECT_NE(std::find(words.begin(), words.end(), std::get<std::string>(*row.key.standard)),
                      words.end())
                << row.full_name();
        }
        EXPECT_TRUE(contains(print_keys(), {row.key.name, row.key.meaning}));
        EXPECT_TRUE(contains(print_keys_json(), {"\"" + row.full_name() + "\""}));
    }
}

TEST(JobKeys, methods_are_those_of_the_library) {
    std::vector<std::string> words;
    for (const Choice& choice : choices_of("method.name")) {
        words.push_back(choice.word);
        EXPECT_NO_THROW((void)methods::make_method(with({"method.name=" + choice.word}).method_settings()))
            << choice.word;
    }
    std::vector<std::string> names = methods::method_names();
    std::ranges::sort(words);
    std::ranges::sort(names);
    EXPECT_EQ(words, names);
}

TEST(JobKeys, a_new_method_is_one_registration) {
    class Toy : public methods::Method {
    public:
        Toy() : Method("toy") {}
        [[nodiscard]] methods::SitePolicy sites() const override { return {}; }
        [[nodiscard]] methods::Evaluation primary() const override { return methods::Evaluation::projected; }
    };
    methods::register_method(
        {methods::method_choice("toy", "a method of this test",
                                {{.name = "strength", .standard = 2.0, .meaning = "of the toy", .low = 0}},
                                {"dual"}),
         [](const methods::MethodSettings&) { return std::make_unique<Toy>(); }});

    const Job job = with({"method.name=toy", "method.strength=3", "dual.lr=1"});
    EXPECT_EQ(job.method.label(), "toy");
    EXPECT_EQ(job.method.real("strength"), 3.0);
    EXPECT_EQ(job.dual.lr, 1.0);
    EXPECT_TRUE(contains(message_with({"method.strength=3"}), {"method.name = toy"}));
    EXPECT_THROW(register_choice({.chooser = "model.name", .word = "egnn", .meaning = ""}), std::logic_error);
    EXPECT_THROW(register_choice({.chooser = "primal.lr", .word = "toy", .meaning = ""}), std::logic_error);
}

} // namespace tether::run::test
