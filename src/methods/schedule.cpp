// `schedule`: linear free branches behind one common gate that rises to 1 at half of the epochs and falls
// again, with a penalty on how far the branches are from equivariant maps and on their size (methods.md 2,
// bracket.hpp). The penalty sees the layers' inputs as constants; it changes gradients of W and b alone.
// Keys: bracket (exact; released: as in published code, for comparison only), kappa (0.01), kappa_times_gate
// (false), initial (normal: N(0, 1e-4²); zeros; default), bias (false), rotation of the training samples
// (none; batch: one for the whole batch; sample: one each).
#include "tether/methods/schedule.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/methods/bracket.hpp"
#include "tether/methods/method.hpp"

#include <cmath>

namespace tether::methods {

double schedule_gate(Index epoch, Index epochs) {
    const auto e = static_cast<double>(epoch);
    const auto all = static_cast<double>(epochs);
    return e <= all / 2 ? 2 * e / all : 1 - 2 * (e - all / 2) / all;
}

namespace {

class ScheduleState : public MethodState {
public:
    explicit ScheduleState(const Start& start)
        : MethodState(start), steps_per_epoch_(start.steps_per_epoch), epochs_(start.epochs) {
        set(0);
    }
    void advance(const StepInput& input) override { set(input.step + 1); }

private:
    void set(Index step) {
        for (double& gamma : control_.gamma()) {
            gamma = schedule_gate(step / steps_per_epoch_, epochs_);
        }
    }
    Index steps_per_epoch_, epochs_;
};

// Inputs per site W, moments[, b]; then the gate where kappa follows it. Outputs: the gradients of W and b in
// this order, then the penalty.
class Penalty : public OpOf<Penalty> {
public:
    Penalty(std::vector<BracketSite> sites, std::vector<bool> bias, double kappa, bool times_gate)
        : sites_(std::move(sites)), bias_(std::move(bias)), kappa_(kappa), times_gate_(times_gate) {}
    [[nodiscard]] std::string_view name() const override { return "bracket_penalty"; }
    template <class T>
    void execute(Run<T>& r) const {
        thread_local std::vector<BracketTerm<T>> terms;
        const auto [in, out] = find_terms(r, terms);
        const double kappa = kappa_ * (times_gate_ ? static_cast<double>(r.in(in)[0]) : 1.0);
        const double penalty =
            add_bracket_penalty<T>(kappa, std::span<const BracketTerm<T>>(terms), r.parallel);
        if (r.has_out(out)) {
            r.out(out)[0] = static_cast<T>(penalty);
        }
    }

    template <class T>
    void record(DeviceRun<T>& r) const {
        std::vector<BracketTerm<T>> terms;
        const auto [in, out] = find_terms(r, terms);
        record_bracket_penalty<T>(r, kappa_, times_gate_ ? r.in(in) : nullptr,
                                  std::span<const BracketTerm<T>>(terms),
                                  r.has_out(out) ? r.out(out) : nullptr);
    }

private:
    // Returns the numbers of the gate and of the penalty. R: of the host or of a device.
    template <class R, class T>
    std::pair<int, int> find_terms(const R& r, std::vector<BracketTerm<T>>& terms) const {
        terms.clear();
        int in = 0;
        int out = 0;
        for (std::size_t s = 0; s < sites_.size(); ++s) {
            const bool bias = bias_[s];
            if (r.has_out(out)) { // a site that the loss does not reach has no part
                terms.push_back({&sites_[s], r.in(in), bias ? r.in(in + 2) : nullptr, r.in(in + 1),
                                 r.out(out), bias ? r.out(out + 1) : nullptr});
            }
            in += bias ? 3 : 2;
            out += bias ? 2 : 1;
        }
        return {in, out};
    }
    std::vector<BracketSite> sites_;
    std::vector<bool> bias_;
    double kappa_;
    bool times_gate_;
};

class Schedule : public Method {
public:
    struct Keys {
        Bracket bracket = Bracket::exact;
        double kappa = 0.01;
        bool times_gate = false;
        layers::FreeBranch branch;
        Tasks tasks;
    };
    Schedule(const std::string& name, Keys keys) : Method(name), keys_(std::move(keys)) {
        check(std::isfinite(keys_.kappa) && keys_.kappa >= 0, "method.kappa is {}, expected 0 or more",
              keys_.kappa);
    }
    [[nodiscard]] SitePolicy sites() const override {
        return {.gate = Gate::controlled, .initial_gamma = 0, .branch = keys_.branch};
    }
    [[nodiscard]] Needs needs() const override { return Needs::sites; }
    [[nodiscard]] Tasks tasks() const override { return keys_.tasks; }
    [[nodiscard]] Evaluation primary() const override { return Evaluation::projected; }
    [[nodiscard]] std::unique_ptr<MethodState> start(const Start& start) const override {
        return std::make_unique<ScheduleState>(start);
    }

    void record(const TrainingProgram& program) const override {
        if (keys_.kappa == 0 || program.sites.empty()) {
            return;
        }
        Builder& b = program.b;
        std::vector<BracketSite> sites;
        std::vector<bool> bias;
        std::vector<Value> in;
        std::vector<Value> parameters;
        for (const layers::RecordedSite& site : program.sites) {
            std::vector<Value> rows;
            std::vector<symmetry::Representation> columns;
            for (const layers::Carried& part : site.entering) {
                rows.push_back(part.value);
                columns.push_back(part.columns);
            }
            sites.emplace_back(columns, site.equivariant.columns, keys_.bracket);
            bias.push_back(site.bias.has_value());
            in.insert(in.end(), {site.weight, b.total(ops::gram(b, rows))});
            parameters.push_back(site.weight);
            if (site.bias) {
                in.push_back(*site.bias);
                parameters.push_back(*site.bias);
            }
        }
        if (keys_.times_gate) {
            in.push_back(program.sites.front().gate);
        }
        const Value penalty = b.later(1);
        b.output(std::string(added_loss) + "bracket", penalty);
        b.append_last(
            std::make_shared<Penalty>(std::move(sites), std::move(bias), keys_.kappa, keys_.times_gate),
            std::move(in), std::move(parameters), {penalty});
    }

private:
    Keys keys_;
};

template <class Word>
Word word_of(const Settings& values, const char* key,
             const std::vector<std::pair<std::string, Word>>& words) {
    if (!values.has(key)) {
        return words.front().second;
    }
    const std::string text = values.text(key);
    std::vector<std::string> known;
    for (const auto& [name, word] : words) {
        if (name == text) {
            return word;
        }
        known.push_back(name);
    }
    fail(ExitCode::usage, "method.{} is '{}'{}", key, text, hint(text, known));
}

std::unique_ptr<Method> make_schedule(const MethodSettings& settings) {
    const Settings& values = settings.values;
    Schedule::Keys keys;
    keys.bracket =
        word_of<Bracket>(values, "bracket", {{"exact", Bracket::exact}, {"released", Bracket::released}});
    keys.kappa = values.has("kappa") ? values.real("kappa") : 0.01;
    keys.times_gate = values.has("kappa_times_gate") && values.boolean("kappa_times_gate");
    keys.branch = {
        .linear = true,
        .bias = values.has("bias") && values.boolean("bias"),
        .initial = word_of<std::optional<Initial>>(
            values, "initial",
            {{"normal", Initial::normal(1e-4)}, {"zeros", Initial::constant(0)}, {"default", std::nullopt}})};
    keys.tasks = word_of<Tasks>(values, "rotation",
                                {{"none", {}},
                                 {"batch", {.plain = false, .turned = true, .together = true}},
                                 {"sample", {.plain = false, .turned = true}}});
    return std::make_unique<Schedule>(settings.name, std::move(keys));
}

} // namespace

MethodEntry schedule_entry();
MethodEntry schedule_entry() {
    return {
        method_choice(
            "schedule", "linear free branches opened and closed by epoch, held equivariant by a penalty",
            {{.name = "bracket",
              .kind = Kind::text,
              .standard = std::string("exact"),
              .meaning = "penalty of the Lie bracket; released: as in published code, for comparison only",
              .words = {"exact", "released"}},
             {.name = "kappa",
              .kind = Kind::real,
              .standard = 0.01,
              .meaning = "weight of the penalty",
              .low = 0,
              .high = 1e6},
             {.name = "kappa_times_gate",
              .kind = Kind::boolean,
              .standard = false,
              .meaning = "multiply kappa with the gate of the epoch"},
             {.name = "initial",
              .kind = Kind::text,
              .standard = std::string("normal"),
              .meaning = "first W of the branches; normal: deviation 1e-4; default: +-1/sqrt(in)",
              .words = {"normal", "zeros", "default"}},
             {.name = "bias",
              .kind = Kind::boolean,
              .standard = false,
              .meaning = "branches W x + b instead of W x"},
             {.name = "rotation",
              .kind = Kind::text,
              .standard = std::string("none"),
              .meaning = "training samples are turned at random: all of a batch alike, or each by itself",
              .words = {"none", "batch", "sample"}}}),
        make_schedule};
}

} // namespace tether::methods
