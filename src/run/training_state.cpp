#include "tether/run/training_state.hpp"

#include "tether/core/error.hpp"
#include "tether/core/sha256.hpp"

namespace tether::run {

CheckpointHeader checkpoint_header(const Job& job, Index step) {
    return {job.hash(), job.model.name, is_single(job.train.precision) ? "float32" : "float64", step};
}

template <class T>
std::string state_sha256(Engine<T>& engine) {
    Sha256 sum;
    const auto add = [&](const auto& values) { sum.add(values.data(), values.size() * sizeof(values[0])); };
    add(engine.trained());
    add(engine.optimiser().first_moment());
    add(engine.optimiser().second_moment());
    add(engine.optimiser().counts());
    add(engine.state());
    return sum.hex();
}

template <class T>
Checkpoint save_state(const Job& job, Index step, Engine<T>& engine) {
    Checkpoint c;
    c.header = checkpoint_header(job, step);
    c.add<T>("trained", engine.trained());
    c.add<T>("first_moment", engine.optimiser().first_moment());
    c.add<T>("second_moment", engine.optimiser().second_moment());
    c.add<Index>("counts", engine.optimiser().counts());
    c.add<T>("state", engine.state());
    c.add_text("state_sha256", state_sha256(engine));
    c.add_text("job", job.resolved());
    return c;
}

template <class T>
void load_state(const Checkpoint& c, Engine<T>& engine) {
    std::vector<T> trained(engine.trained().size());
    c.read<T>("trained", trained);
    c.read<T>("first_moment", engine.optimiser().first_moment());
    c.read<T>("second_moment", engine.optimiser().second_moment());
    c.read<Index>("counts", engine.optimiser().counts());
    c.read<T>("state", engine.state());
    engine.set_trained(trained);
    check(state_sha256(engine) == c.text("state_sha256"), ExitCode::storage,
          "checkpoint of step {}: checksum of the state differs", c.header.step);
}

#define TETHER_INSTANTIATE(T)                                                                                \
    template std::string state_sha256<T>(Engine<T>&);                                                        \
    template Checkpoint save_state<T>(const Job&, Index, Engine<T>&);                                        \
    template void load_state<T>(const Checkpoint&, Engine<T>&);
TETHER_INSTANTIATE(float)
TETHER_INSTANTIATE(double)

} // namespace tether::run
