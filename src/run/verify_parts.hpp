// Private to verify: collecting comparisons, and the two kinds of files.
#pragma once

#include "tether/run/reference_file.hpp"
#include "tether/run/verify.hpp"

#include <map>
#include <string>
#include <vector>

namespace tether::run::verify_parts {

class Comparer {
public:
    // `scale`: what a difference is divided by, instead of the sizes of the numbers (0).
    void add(const std::string& kind, const std::string& name, std::vector<double> found,
             std::vector<double> expected, double scale = 0);
    [[nodiscard]] std::vector<Comparison> finish() const;

private:
    struct Entry {
        std::string kind, name;
        std::vector<double> found, expected;
        double scale = 0;
    };
    std::vector<Entry> entries_;
};

template <class T>
std::vector<Comparison> verify_trajectory(const ReferenceFile& file);

extern template std::vector<Comparison> verify_trajectory<float>(const ReferenceFile&);
extern template std::vector<Comparison> verify_trajectory<double>(const ReferenceFile&);

} // namespace tether::run::verify_parts
