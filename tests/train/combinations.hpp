// Every method of the registry with every model of the registry that it fits, each as a small job: made from
// the registries and jobs/, so that a new method or model is in it by itself.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace tether::test {

struct Combination {
    std::string model, method;
    std::string job; // a file of jobs/, or "" where no job names the model
    std::vector<std::string> keys;
    friend std::ostream& operator<<(std::ostream& out, const Combination& c) {
        return out << c.method << " on " << c.model;
    }
};

// The text of the job, before its keys.
[[nodiscard]] std::string job_text(const Combination& c);
[[nodiscard]] std::vector<Combination> combinations();
[[nodiscard]] std::string name_of(const Combination& c); // for names of tests

} // namespace tether::test
