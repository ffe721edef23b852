// Reading parity files (kinds `model` and `trajectory`, layout in the reference README): the network
// the file names, its weights, its batch. Everything foreign: errors name file and path.
#pragma once

#include "tether/core/hdf5.hpp"
#include "tether/run/network.hpp"

#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <vector>

namespace tether::run {

class ReferenceFile {
public:
    explicit ReferenceFile(const std::string& path);

    [[nodiscard]] const hdf5::Reader& data() const { return reader_; }
    [[nodiscard]] const std::string& kind() const { return kind_; }
    [[nodiscard]] const nlohmann::json& settings() const { return settings_; }
    // Settings by name with the file in the message when missing or of another type.
    [[nodiscard]] Index integer(const std::string& name) const;
    [[nodiscard]] std::string text(const std::string& name, const std::string& standard) const;

    [[nodiscard]] std::shared_ptr<const models::Model> model() const;
    [[nodiscard]] bool branches() const;
    [[nodiscard]] bool training_mode() const; // batch statistics
    [[nodiscard]] bool given_features() const;

    // Rows of the whole file, or of simulations `samples` of a file that holds several (trajectories).
    template <class T>
    void batch(const Program& program, const std::vector<Index>& samples, BatchPart<T>& part) const;
    // edge number inside -> edge number in the file (edges are sorted by receiver inside).
    [[nodiscard]] const std::vector<Index>& edge_order() const { return edge_order_; }

    // Parameters (by /weight or by formula) and buffers.
    template <class T>
    void load(const Network& network, std::vector<T>& trained, std::vector<T>& state) const;

    // Names listed in a JSON attribute of the file (unreached_parameters, not_compared); empty if absent.
    [[nodiscard]] std::vector<std::string> listed(const std::string& attribute) const;
    // What single precision can reach on this file, as its author measured it: the worst kind; 0 if unsaid.
    [[nodiscard]] double float32_error() const;

private:
    [[nodiscard]] std::vector<double> formula(const std::string& parameter, Index size) const;
    // A field as a program wants it: which of the file's rows, in their order.
    struct FieldRows {
        std::string name;
        Extent extent;
        Index columns = 0, in_file = 0;
        std::vector<Index> of;
    };
    template <class T>
    [[nodiscard]] std::vector<T> field(const FieldRows& rows) const;
    [[nodiscard]] Index rows_of(const std::string& path) const; // product of all dimensions but the last

    hdf5::Reader reader_;
    std::string kind_, model_;
    nlohmann::json settings_;
    mutable std::vector<Index> edge_order_;
};

} // namespace tether::run
