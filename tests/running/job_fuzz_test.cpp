// Damaged job texts and overrides end in a job or in Error(usage), never in anything else. Runs with
// sanitizers in the asan build; the seed is fixed, so a failure repeats.
#include "tests/running/job_fixture.hpp"

#include "tether/run/job_keys.hpp"

#include <random>

namespace tether::run::test {
namespace {

using Random = std::mt19937;

const std::vector<std::string>& pieces() {
    static const std::vector<std::string> list = [] {
        std::vector<std::string> all = {"[",
                                        "]",
                                        "[[",
                                        "{",
                                        "}",
                                        "=",
                                        "\"",
                                        "'",
                                        "\"\"\"",
                                        "\n",
                                        "\r\n",
                                        ".",
                                        ",",
                                        "#",
                                        "\\u",
                                        "\\x",
                                        "\xff",
                                        "\xc3\xa9",
                                        "\xf0\x9f",
                                        "1e999",
                                        "-0",
                                        "0x",
                                        "1_0",
                                        "inf",
                                        "nan",
                                        "true",
                                        "1979-05-27T07:32:00Z",
                                        "99999999999999999999",
                                        "\t",
                                        " "};
        all.emplace_back(1, '\0');
        for (const KeyRow& row : job_key_table()) {
            all.push_back(row.key.name);
            all.push_back(row.full_name());
            all.push_back("[" + row.section + "]");
            all.insert(all.end(), row.key.words.begin(), row.key.words.end());
        }
        return all;
    }();
    return list;
}

std::string mutated(std::string text, Random& random) {
    const int changes = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < changes; ++i) {
        const std::size_t at = text.empty() ? 0 : random() % text.size();
        switch (random() % 6) {
        case 0: text.erase(at, 1 + random() % 8); break;
        case 1: text.insert(at, pieces()[random() % pieces().size()]); break;
        case 2: text.insert(at, 1, static_cast<char>(random() % 256)); break;
        case 3: text = text.substr(0, at); break;
        case 4: text.insert(at, text.substr(random() % (text.size() + 1), random() % 40)); break;
        default:
            if (!text.empty()) {
                text[at] = static_cast<char>(random() % 256);
            }
        }
    }
    return text;
}

// Reads and, where that works, demands that the canonical text reads back.
void read(const std::string& text, const std::vector<std::string>& overrides, int& good) {
    try {
        const Job job = parse(text, overrides);
        const std::string resolved = job.resolved();
        ASSERT_EQ(parse(resolved).resolved(), resolved) << text;
        ++good;
    } catch (const Error& error) {
        ASSERT_EQ(error.code(), ExitCode::usage) << text;
        ASSERT_NE(std::string(error.what()), "") << text;
    }
}

} // namespace

TEST(JobFuzz, damaged_text) {
    Random random(20);
    std::string start = small_job + "[primal]\nlr = 1e-3\nbetas = [0.9, 0.99]\nschedule = \"cosine\"\n"
                                    "[dual]\noptimizer = \"nupi\"\nkp = 2\n[parallel]\nlanes = 4\n";
    int good = 0;
    for (int round = 0; round < 6000; ++round) {
        ASSERT_NO_FATAL_FAILURE(read(mutated(start, random), {}, good));
    }
    EXPECT_GT(good, 50); // the damage leaves some jobs valid, so both ways out were taken
    EXPECT_LT(good, 5000);
}

TEST(JobFuzz, damaged_overrides) {
    Random random(21);
    const std::vector<std::string> start = {"primal.lr=1e-3", "method.name=ace-resilient",
                                            "data.file=\"x.h5\"", "primal.betas=[0.9, 0.99]"};
    int good = 0;
    for (int round = 0; round < 4000; ++round) {
        const std::vector<std::string> overrides = {start[random() % start.size()],
                                                    mutated(start[random() % start.size()], random)};
        ASSERT_NO_FATAL_FAILURE(read(small_job, overrides, good));
    }
    EXPECT_GT(good, 50);
}

TEST(JobFuzz, noise) {
    Random random(22);
    int good = 0;
    for (int round = 0; round < 2000; ++round) {
        std::string text;
        for (std::size_t i = random() % 60; i > 0; --i) {
            text += pieces()[random() % pieces().size()];
        }
        ASSERT_NO_FATAL_FAILURE(read(text, {}, good));
    }
    EXPECT_EQ(good, 0); // noise never names all required keys
}

} // namespace tether::run::test
