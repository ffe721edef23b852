#include "tether/core/settings.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace tether {
namespace {

template <class T>
const T& get(const std::map<std::string, SettingValue>& values, const std::string& name, const char* kind) {
    const auto found = values.find(name);
    if (found == values.end()) {
        throw std::logic_error(fmt::format("setting '{}' was never declared, or does not apply", name));
    }
    const T* value = std::get_if<T>(&found->second);
    if (value == nullptr) {
        throw std::logic_error(fmt::format("setting '{}' is not {}", name, kind));
    }
    return *value;
}

} // namespace

bool Settings::boolean(const std::string& name) const { return get<bool>(values_, name, "a boolean"); }
Index Settings::integer(const std::string& name) const { return get<Index>(values_, name, "an integer"); }
double Settings::real(const std::string& name) const { return get<double>(values_, name, "a real"); }
const std::string& Settings::text(const std::string& name) const {
    return get<std::string>(values_, name, "a text");
}
const std::vector<Index>& Settings::integers(const std::string& name) const {
    return get<std::vector<Index>>(values_, name, "a list of integers");
}
const std::vector<double>& Settings::reals(const std::string& name) const {
    return get<std::vector<double>>(values_, name, "a list of reals");
}

} // namespace tether
