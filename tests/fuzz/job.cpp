// A job file, resolved. Lines "#set key=value" act as --set arguments. What is accepted prints as a job
// that reads back with the same hash.
#include "tether/run/job.hpp"
#include "tests/fuzz/target.hpp"

namespace tether::fuzz {

void read_job(Bytes input);

void read_job(Bytes input) {
    const std::string text(text_of(input));
    std::vector<std::string> overrides;
    for (std::size_t at = 0; (at = text.find("#set ", at)) != std::string::npos && overrides.size() < 8;) {
        at += 5;
        overrides.push_back(text.substr(at, text.find('\n', at) - at));
    }
    const run::Job job = run::parse_job_text(text, "input.toml", overrides);
    const std::string resolved = job.resolved();
    const run::Job again = run::parse_job_text(resolved, "resolved.toml");
    promised(again.resolved() == resolved, "the resolved job reads back");
    promised(again.hash() == job.hash(), "the resolved job has the same hash");
}

} // namespace tether::fuzz
