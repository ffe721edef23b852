// Where the parity files lie, and the measure of agreement (spec: reference/README): max|d| <=
// tol * max(max|expected|, 1e-2 * largest entry of its kind in the file).
#pragma once

#include <span>
#include <string>
#include <vector>

namespace tether::test {

// Files of tests/reference (the project's own copies), or of TETHER_REFERENCE where that is set,
// or of ../shared/reference; folder such as "symmetry". Sorted; empty when absent everywhere.
std::vector<std::string> reference_files(const std::string& folder);
// One file, or "" when absent.
std::string reference_file(const std::string& folder, const std::string& name);

// max|a - b| divided by max(max|expected|, 1e-2 * largest). Sizes must agree (else infinity).
double disagreement(std::span<const double> found, std::span<const double> expected, double largest = 0);

// A fresh empty folder, removed with everything in it at the end of its life.
class TemporaryFolder {
public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

} // namespace tether::test
