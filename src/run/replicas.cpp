// See replicas.hpp.
#include "tether/run/replicas.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/device/replica_group.hpp"
#include "tether/run/device_choice.hpp"

#include <hdf5.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <functional>
#include <thread>

namespace tether::run {
namespace {

// Whole numbers without a point, so that they fit keys of integers.
std::string text_of(double value) {
    return value == std::floor(value) && std::abs(value) < 1e15 ? fmt::format("{}", static_cast<Index>(value))
                                                                : fmt::format("{}", value);
}

// Run files are written by a thread per replica.
void check_storage_has_threads() {
    hbool_t safe = 0;
    H5is_library_threadsafe(&safe);
    check(safe > 0, ExitCode::storage,
          "train.replicas: this HDF5 library is not built for threads (H5is_library_threadsafe); train the "
          "seeds "
          "one after the other or in processes of their own");
}

} // namespace

std::vector<Job> replica_jobs(const std::string& job_file, const std::vector<std::string>& overrides) {
    Job whole = read_job(job_file, overrides);
    const Index count = whole.train.replicas;
    if (count == 1) {
        check(whole.train.replica_values.size() <= 1, "train.replica_values holds {} values for one replica",
              whole.train.replica_values.size());
        std::vector<Job> one;
        one.push_back(std::move(whole));
        return one;
    }
    std::vector<double> values = whole.train.replica_values;
    const std::string& key = whole.train.replica_key;
    if (values.empty() && key == "seed") {
        for (Index r = 0; r < count; ++r) {
            values.push_back(static_cast<double>(whole.seed + r));
        }
    }
    check(static_cast<Index>(values.size()) == count,
          "train.replicas = {}, but train.replica_values holds {} values of {}", count, values.size(), key);
    std::vector<Job> jobs;
    for (const double value : values) {
        std::vector<std::string> keys = overrides;
        keys.push_back(key + "=" + text_of(value));
        keys.emplace_back("train.replicas=1");
        keys.emplace_back("train.replica_key=\"seed\"");
        keys.emplace_back("train.replica_values=[]");
        try {
            jobs.push_back(read_job(job_file, keys));
        } catch (const Error& e) {
            fail(e.code(), "train.replica_key = \"{}\", value {}: {}", key, text_of(value), e.what());
        }
    }
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            check(jobs[i].hash() != jobs[k].hash(), "train.replica_values: {} = {} and {} make the same run",
                  key, text_of(values[k]), text_of(values[i]));
        }
    }
    return jobs;
}

std::vector<TrainResult> train_replicas(const std::vector<Job>& jobs, const TrainOptions& options,
                                        parallel::Communicator& world) {
    if (jobs.size() == 1) {
        return {train(jobs.front(), options, world)};
    }
    check_storage_has_threads();
    std::vector<std::size_t> mine;
    for (std::size_t j = static_cast<std::size_t>(world.rank()); j < jobs.size();
         j += static_cast<std::size_t>(world.size())) {
        mine.push_back(j);
    }
    const std::unique_ptr<device::Backend> real = open_device(options.device, world);
    std::vector<std::unique_ptr<device::Backend>> members(mine.size());
    std::unique_ptr<device::ReplicaGroup> group;
    if (real != nullptr) {
        group = std::make_unique<device::ReplicaGroup>(*real);
        std::ranges::generate(members, [&] { return group->member(); });
    }
    const int cores = options.threads > 0 ? options.threads : default_threads(world);
    // On a device all of them meet at every launch; on cores as many train at once as there are threads.
    const std::size_t at_once =
        real != nullptr ? mine.size() : std::min(mine.size(), static_cast<std::size_t>(cores));
    std::vector<TrainResult> results(mine.size());
    std::vector<std::exception_ptr> errors(mine.size());
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
        for (std::size_t i = next++; i < mine.size(); i = next++) {
            const Job& job = jobs[mine[i]];
            log::Context context(fmt::format("{} {}", job.name, job.short_hash()));
            log::adopt(&context);
            try {
                const auto alone = parallel::make_self_communicator();
                TrainOptions own = options;
                own.threads = 1;
                if (real != nullptr) {
                    own.backend = [&, i] { return std::move(members[i]); };
                }
                results[i] = train(job, own, *alone);
            } catch (const std::exception& e) {
                log::error("{}", e.what());
                errors[i] = std::current_exception();
            }
            members[i].reset(); // a run that was complete or failed early must not be waited for
            log::adopt(nullptr);
        }
    };
    {
        std::vector<std::jthread> threads;
        for (std::size_t t = 0; t < at_once; ++t) {
            threads.emplace_back(work);
        }
    }
    for (const std::exception_ptr& error : errors) {
        if (error) {
            std::rethrow_exception(error);
        }
    }
    return results;
}

} // namespace tether::run
