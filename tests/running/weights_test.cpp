// Weight files: bits survive, reference readers accept them, foreign ones are refused with the reason.
#include "tests/running/trained_run.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/run/reference_file.hpp"
#include "tether/run/setup.hpp"
#include "tether/run/weights.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>

namespace tether::test {
namespace {
using namespace tether::run;

struct Made {
    Job job;
    std::unique_ptr<methods::Method> method;
    std::unique_ptr<Network> network;
    NetworkNumbers numbers;

    explicit Made(const std::vector<std::string>& overrides = {})
        : job(trained_job(overrides)), method(methods::make_method(job.method_settings())),
          network(std::make_unique<Network>(make_model(job), method->sites())) {
        if (is_single(job.train.precision)) {
            fill<float>();
        } else {
            fill<double>();
        }
        for (Index s = 0; s < network->sites(); ++s) {
            const Index at = network->gate_offset(s);
            if (at >= 0) { // gates that differ
                numbers.trained[static_cast<std::size_t>(at)] =
                    static_cast<double>(0.125F * static_cast<float>(s + 1));
            }
            numbers.gates.push_back(at >= 0 ? numbers.trained[static_cast<std::size_t>(at)]
                                            : method->sites().initial_gamma);
        }
    }

    template <class T>
    void fill() {
        std::vector<T> trained, state;
        network->initialise<T>(3, trained, state);
        numbers.trained.assign(trained.begin(), trained.end());
        numbers.state.assign(state.begin(), state.end());
    }
    void write(const std::string& path) const { write_weights(path, job, 5, *network, *network, numbers); }
};

std::string refusal(const std::string& path, const Made& made) {
    try {
        (void)read_weights(path, made.job, *made.network);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::data) << error.what();
        return error.what();
    }
    ADD_FAILURE() << path << " was read without an error";
    return {};
}

bool holds(const std::string& text, const std::vector<std::string>& parts) {
    return std::ranges::all_of(parts,
                               [&](const std::string& part) { return text.find(part) != std::string::npos; });
}

// A copy of a weight file in which `change` may leave out, rename or alter datasets.
struct Dataset {
    std::string name;
    std::vector<double> values;
    std::vector<Index> shape;
};
void copy_changed(const std::string& from, const std::string& to, const std::function<bool(Dataset&)>& change,
                  const std::map<std::string, std::string>& attributes = {}) {
    const hdf5::Reader file(from);
    hdf5::Writer out(to);
    for (const std::string& name : file.datasets("/")) {
        if (name == "site") {
            continue;
        }
        Dataset d{"/" + name, file.doubles("/" + name), file.shape("/" + name)};
        if (change(d)) {
            out.write(d.name, d.values, d.shape);
        }
    }
    for (const char* name : {"kind", "model", "settings"}) {
        const auto given = attributes.find(name);
        out.attribute("/", name, given == attributes.end() ? file.text_attribute("/", name) : given->second);
    }
    out.close();
}

TEST(Weights, come_back_bit_for_bit) {
    std::vector<std::vector<std::string>> cases{{},
                                                {"method.name=strict"},
                                                {"train.precision=float64"},
                                                {"method.name=free"},
                                                {"method.name=ace-resilient"},
                                                small_egnn()};
    for (const auto& overrides : cases) {
        const TemporaryFolder folder;
        const Made made(overrides);
        made.write(folder.file("a.h5"));
        const NetworkNumbers back = read_weights(folder.file("a.h5"), made.job, *made.network);
        EXPECT_EQ(back.trained, made.numbers.trained);
        EXPECT_EQ(back.state, made.numbers.state);
        EXPECT_EQ(back.gates, made.numbers.gates);
        const hdf5::Reader file(folder.file("a.h5"));
        EXPECT_EQ(file.has("/gamma"), made.network->sites() > 0);
        EXPECT_EQ(file.text_attribute("/", "kind"), "weights");
        EXPECT_EQ(file.number_attribute("/", "step"), 5);
        EXPECT_EQ(file.text_attribute("/", "job"), made.job.resolved());
    }
}

TEST(Weights, are_in_the_layout_of_reference_files) {
    for (const auto& overrides : {std::vector<std::string>{}, {"method.name=strict"}, small_egnn()}) {
        const TemporaryFolder folder;
        const Made made(overrides);
        made.write(folder.file("a.h5"));
        const ReferenceFile file(folder.file("a.h5"));
        EXPECT_EQ(file.branches(), made.network->sites() > 0);
        const Network network(file.model(),
                              {.gate = file.branches() ? methods::Gate::trained : methods::Gate::absent});
        std::vector<double> trained, state;
        file.load(network, trained, state);
        EXPECT_EQ(trained, made.numbers.trained);
        EXPECT_EQ(state, made.numbers.state);
    }
}

TEST(Weights, equivariant_part_alone_fits_the_strict_network) {
    for (const auto& overrides : {std::vector<std::string>{}, small_egnn()}) {
        const TemporaryFolder folder;
        const Made made(overrides);
        const Network projected(make_model(made.job), methods::SitePolicy{});
        write_weights(folder.file("p.h5"), made.job, 1, projected, *made.network, made.numbers);
        const ReferenceFile file(folder.file("p.h5"));
        EXPECT_FALSE(file.branches());
        std::vector<double> trained, state;
        file.load(projected, trained, state);
        ASSERT_FALSE(trained.empty());
        for (const Parameter& p : projected.parameters().all()) {
            const Parameter& q = made.network->parameters().at(made.network->parameters().find(p.name));
            for (Index k = 0; k < p.size; ++k) {
                ASSERT_EQ(trained[static_cast<std::size_t>(p.offset + k)],
                          made.numbers.trained[static_cast<std::size_t>(q.offset + k)])
                    << p.name;
            }
        }
        std::vector<std::string> strict = overrides;
        strict.emplace_back("method.name=strict");
        const Made target(strict);
        EXPECT_EQ(read_weights(folder.file("p.h5"), target.job, *target.network).trained, trained);
        // ... and lacks what a network with branches needs.
        EXPECT_TRUE(holds(refusal(folder.file("p.h5"), made), {"missing: /weight/", "/weight/"}));
    }
}

TEST(Weights, refuses_what_does_not_fit) {
    const TemporaryFolder folder;
    const Made made;
    const std::string good = folder.file("good.h5");
    made.write(good);
    const std::string bad = folder.file("bad.h5");
    const std::string name = "/weight/layers.0.lin_noneq1.2.weight";
    const auto all = [](Dataset&) { return true; };

    copy_changed(good, bad, [&](Dataset& d) {
        d.name = d.name == name ? "/weight/layers.0.lin_noneq1.2.weigth" : d.name;
        return true;
    });
    EXPECT_TRUE(
        holds(refusal(bad, made), {bad, "1 missing: " + name + " (nearest: layers.0.lin_noneq1.2.weigth)",
                                   "1 unknown: /weight/layers.0.lin_noneq1.2.weigth"}));
    copy_changed(good, bad, [&](Dataset& d) { return d.name != name; });
    EXPECT_TRUE(holds(refusal(bad, made), {"1 missing: " + name}));
    copy_changed(good, bad, [&](Dataset& d) {
        if (d.name == name) {
            d.shape = {d.shape.at(0) * d.shape.at(1)};
        }
        return true;
    });
    EXPECT_TRUE(holds(refusal(bad, made), {bad + ":" + name, "has shape [512], expected [16, 32]"}))
        << refusal(bad, made);
    copy_changed(good, bad, [&](Dataset& d) {
        if (d.name == name) {
            d.values[3] = std::numeric_limits<double>::quiet_NaN();
        }
        return true;
    });
    EXPECT_TRUE(holds(refusal(bad, made), {name, "number 3 is nan"}));
    copy_changed(good, bad, [&](Dataset& d) {
        if (d.name == "/gamma") {
            d = {"/gamma", {1, 1}, {2}};
        }
        return true;
    });
    EXPECT_TRUE(holds(refusal(bad, made), {"/gamma: 2 gates, expected 4"}));
    copy_changed(good, bad, all, {{"model", "egnn"}});
    EXPECT_TRUE(holds(refusal(bad, made), {"model is \"egnn\", expected \"segnn\""}));
    copy_changed(good, bad, all, {{"kind", "trajectory"}});
    EXPECT_TRUE(holds(refusal(bad, made), {"kind is trajectory", "weights"}));
    copy_changed(good, bad, all, {{"settings", R"({"harmonics": "component"})"}});
    EXPECT_TRUE(holds(refusal(bad, made), {"harmonics is \"component\", expected \"integral\""}))
        << refusal(bad, made);
    copy_changed(good, bad, all, {{"settings", "{"}});
    EXPECT_TRUE(holds(refusal(bad, made), {"settings is no JSON"}));
    EXPECT_TRUE(holds(refusal(folder.file("absent.h5"), made), {"absent.h5"}));
    std::filesystem::resize_file(good, std::filesystem::file_size(good) / 2);
    EXPECT_TRUE(holds(refusal(good, made), {"good.h5"}));
    const Made strict({"method.name=strict"});
    made.write(bad);
    EXPECT_TRUE(holds(refusal(bad, strict), {"unknown", "--projected"}));
}

// Files of other implementations, whatever their sizes.
TEST(Weights, parity_reference) {
    int read = 0;
    for (const char* model : {"segnn", "egnn"}) {
        for (const std::string& path : reference_files(model)) {
            const hdf5::Reader file(path);
            if (!file.has("/weight") || file.text_attribute("/", "kind") != "model") {
                continue;
            }
            const ReferenceFile reference(path);
            std::vector<std::string> overrides{std::string("method.name=") +
                                               (reference.branches() ? "ace" : "strict")};
            overrides.push_back(std::string("model.name=") + model);
            if (model == std::string("segnn")) {
                if (reference.text("pool", "none") != "none") {
                    continue; // needs a data set of molecules
                }
                overrides.push_back("model.hidden=\"" + reference.text("hidden_irreps", "") + "\"");
            } else {
                overrides.push_back(fmt::format("model.hidden={}", reference.integer("hidden")));
            }
            overrides.push_back(fmt::format("model.layers={}", reference.integer("layers")));
            const Made made(overrides);
            std::vector<double> trained, state;
            reference.load(*made.network, trained, state);
            const NetworkNumbers found = read_weights(path, made.job, *made.network);
            EXPECT_EQ(found.trained, trained) << path;
            EXPECT_EQ(found.state, state) << path;
            ++read;
        }
    }
    if (read == 0) {
        GTEST_SKIP() << "no reference files of segnn or egnn with weights";
    }
}

} // namespace
} // namespace tether::test
