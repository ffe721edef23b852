// Parity with an independent implementation (spec: interfaces, `verify`): builds the network a file
// names, loads its weights and compares everything the file holds, in float64 and float32.
// Measure: max|d| <= tol · max(largest entry of the tensor, 1e-2 · largest entry of its kind).
#pragma once

#include <string>
#include <vector>

namespace tether::run {

struct Comparison {
    std::string name;
    double disagreement = 0; // the measure above, to be compared with the tolerance
};

struct PrecisionResult {
    bool compared = false;
    std::vector<Comparison> comparisons;
    double tolerance = 0;
    [[nodiscard]] const Comparison* worst() const; // null if nothing was compared
    [[nodiscard]] bool agrees() const {
        return !compared || (worst() != nullptr && worst()->disagreement <= tolerance);
    }
};

struct VerifyResult {
    std::string path, kind, model;
    PrecisionResult float64, float32;
    std::string note; // why float32 was not compared, if so
    [[nodiscard]] bool agrees() const { return float64.compared && float64.agrees() && float32.agrees(); }
};

// Throws Error(data) for a file that cannot be used (other kind, missing or misshapen data).
[[nodiscard]] VerifyResult verify_file(const std::string& path);

} // namespace tether::run
