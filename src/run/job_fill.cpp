// From values by name to the typed sections, and the combinations that no single key shows to be wrong.
#include "job_reader.hpp"

#include "tether/core/error.hpp"

#include <stdexcept>
#include <utility>

namespace tether::run {
namespace {

template <class E>
E word(const Settings& section, const std::string& name,
       std::initializer_list<std::pair<const char*, E>> words) {
    const std::string& text = section.text(name);
    for (const auto& [candidate, value] : words) {
        if (text == candidate) {
            return value;
        }
    }
    throw std::logic_error("word '" + text + "' of key '" + name + "' has no meaning in the program");
}

optimise::ScheduleSettings schedule_of(const Settings& section) {
    using K = optimise::ScheduleKind;
    optimise::ScheduleSettings schedule;
    schedule.kind = word<K>(
        section, "schedule",
        {{"constant", K::constant}, {"cosine", K::cosine}, {"step", K::step}, {"milestones", K::milestones}});
    if (schedule.kind == K::cosine) {
        schedule.minimum = section.real("lr_final");
    }
    if (schedule.kind == K::step || schedule.kind == K::milestones) {
        schedule.factor = section.real("decay_factor");
    }
    if (schedule.kind == K::step) {
        schedule.every = section.integer("decay_every");
    }
    if (schedule.kind == K::milestones) {
        schedule.milestones = section.reals("decay_at");
    }
    if (schedule.kind != K::constant) {
        schedule.ahead = section.boolean("schedule_ahead");
    }
    return schedule;
}

void fill(PrimalSection& primal) {
    using K = optimise::OptimiserKind;
    primal.lr = primal.real("lr");
    primal.schedule = schedule_of(primal);
    optimise::OptimiserSettings& optimiser = primal.optimiser;
    optimiser.kind = word<K>(primal, "optimizer", {{"adam", K::adam}, {"sgd", K::sgd}});
    if (optimiser.kind == K::adam) {
        optimiser.beta1 = primal.reals("betas")[0];
        optimiser.beta2 = primal.reals("betas")[1];
        optimiser.eps = primal.real("eps");
    } else {
        optimiser.momentum = primal.real("momentum");
    }
    optimiser.weight_decay = primal.real("weight_decay");
    optimiser.clip_norm = primal.real("clip_norm");
}

void fill(DataSection& data) {
    data.set = data.text("set");
    data.file = data.text("file");
    data.train = data.integer("train");
    data.validation = data.integer("validation");
    data.test = data.integer("test");
    data.batch = data.integer("batch");
    data.drop_last = data.boolean("drop_last");
}

void fill(DualSection& dual) {
    using K = methods::DualKind;
    dual.used = dual.has("optimizer");
    if (!dual.used) {
        return;
    }
    dual.lr = dual.real("lr");
    dual.schedule = schedule_of(dual);
    methods::DualSettings& optimiser = dual.optimiser;
    optimiser.kind = word<K>(dual, "optimizer", {{"adam", K::adam}, {"sgd", K::sgd}, {"nupi", K::nupi}});
    if (optimiser.kind == K::adam) {
        optimiser.beta1 = dual.reals("betas")[0];
        optimiser.beta2 = dual.reals("betas")[1];
        optimiser.eps = dual.real("eps");
    }
    if (optimiser.kind == K::nupi) {
        optimiser.integral = dual.real("ki");
        optimiser.proportional = dual.real("kp");
        optimiser.nu = dual.real("nu");
    } else {
        optimiser.weight_decay = dual.real("weight_decay");
    }
    optimiser.mean = word<bool>(dual, "scale", {{"sum", false}, {"mean", true}});
    optimiser.is_signed = dual.boolean("signed");
}

void fill(TrainSection& train) {
    train.epochs = train.integer("epochs");
    train.steps = train.integer("steps");
    train.evaluate_every = train.integer("evaluate_every");
    train.precision = word<Precision>(train, "precision",
                                      {{"float32", Precision::float32},
                                       {"float64", Precision::float64},
                                       {"tf32", Precision::tf32},
                                       {"bf16", Precision::bf16}});
    train.equivariance_samples = train.integer("equivariance_samples");
    train.final_equivariance_samples = train.integer("final_equivariance_samples");
    train.replicas = train.integer("replicas");
    train.replica_key = train.text("replica_key");
    train.replica_values = train.reals("replica_values");
}

void fill(ParallelSection& parallel) {
    parallel.lanes = parallel.integer("lanes");
    parallel.order = word<SumOrder>(parallel, "order", {{"tree", SumOrder::tree}, {"fast", SumOrder::fast}});
    parallel.coordinator = word<CoordinatorPlace>(
        parallel, "coordinator",
        {{"shared", CoordinatorPlace::shared}, {"dedicated", CoordinatorPlace::dedicated}});
    parallel.lanes_at_once = parallel.integer("lanes_at_once");
}

void fill(LogSection& log) {
    log.every = log.integer("every");
    log.checkpoint_every_s = log.real("checkpoint_every_s");
    log.checkpoint_every_steps = log.integer("checkpoint_every_steps");
    log.keep = log.integer("keep");
}

std::string said(const Job& job, const std::string& key, const std::string& value) {
    return fmt::format("{} = {} ({})", key, value, job.origin(key));
}

void check_multipliers(const Job& job) {
    const std::string variant = job.method.has("variant") ? job.method.text("variant") : "specified";
    check(variant == "specified" || !job.dual.optimiser.mean,
          "impossible combination: {} is a sum over sites, but {}",
          said(job, "method.variant", "\"" + variant + "\""), said(job, "dual.scale", "\"mean\""));
    const std::string constraint = job.method.text("constraint");
    const double epsilon = job.method.has("epsilon") ? job.method.real("epsilon") : 0.0;
    if (constraint == "resilient") {
        check(!*job.dual.optimiser.is_signed, "impossible combination: {} keeps its multipliers >= 0, but {}",
              said(job, "method.constraint", "\"resilient\""), said(job, "dual.signed", "true"));
    } else if (epsilon > 0) {
        check(!*job.dual.optimiser.is_signed, "impossible combination: {} keeps its multipliers >= 0, but {}",
              said(job, "method.epsilon", fmt::format("{}", epsilon)), said(job, "dual.signed", "true"));
    } else {
        check(*job.dual.optimiser.is_signed,
              "impossible combination: {} with epsilon = 0 needs multipliers of either sign, but {}",
              said(job, "method.constraint", "\"equality\""), said(job, "dual.signed", "false"));
    }
}

} // namespace

void fill_job(Job& job, const std::map<std::string, Settings>& sections) {
    const auto take = [&](Settings& section, const char* name) {
        if (const auto found = sections.find(name); found != sections.end()) {
            section = found->second;
        }
    };
    Settings top;
    take(top, "");
    job.name = top.text("name");
    job.seed = top.integer("seed");
    take(job.data, "data");
    take(job.model, "model");
    take(job.method, "method");
    take(job.primal, "primal");
    take(job.dual, "dual");
    take(job.train, "train");
    take(job.parallel, "parallel");
    take(job.log, "log");
    fill(job.data);
    job.model.name = job.model.text("name");
    job.method.name = job.method.text("name");
    fill(job.primal);
    fill(job.dual);
    fill(job.train);
    fill(job.parallel);
    fill(job.log);
}

void check_combinations(const Job& job) {
    if (job.data.has("frame_in") && job.data.has("frame_out")) {
        const Index from = job.data.integer("frame_in");
        const Index to = job.data.integer("frame_out");
        check(to > from, "impossible combination: {} is not after {}",
              said(job, "data.frame_out", fmt::format("{}", to)),
              said(job, "data.frame_in", fmt::format("{}", from)));
    }
    check(!(job.data.drop_last && job.data.train > 0 && job.data.batch > job.data.train),
          "impossible combination: {} is more than {}, and {} leaves no batch to train on",
          said(job, "data.batch", fmt::format("{}", job.data.batch)),
          said(job, "data.train", fmt::format("{}", job.data.train)), said(job, "data.drop_last", "true"));
    check(job.parallel.lanes_at_once <= job.parallel.lanes, "impossible combination: {} is more than {}",
          said(job, "parallel.lanes_at_once", fmt::format("{}", job.parallel.lanes_at_once)),
          said(job, "parallel.lanes", fmt::format("{}", job.parallel.lanes)));
    if (job.method.has("constraint") && job.dual.used) {
        check_multipliers(job);
    }
}

} // namespace tether::run
