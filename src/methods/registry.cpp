// The methods of this library by name: one line each, one file each.
#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/methods/method.hpp"

#include <algorithm>
#include <utility>

#define TETHER_METHODS(METHOD)                                                                               \
    METHOD(strict_entry)                                                                                     \
    METHOD(free_entry)                                                                                       \
    METHOD(augment_entry)                                                                                    \
    METHOD(ace_entry)                                                                                        \
    METHOD(ace_resilient_entry)                                                                              \
    METHOD(remul_entry)                                                                                      \
    METHOD(schedule_entry)                                                                                   \
    METHOD(rpp_entry)                                                                                        \
    METHOD(recm_entry)

namespace tether::methods {

#define TETHER_DECLARE(function) MethodEntry function();
TETHER_METHODS(TETHER_DECLARE)
#undef TETHER_DECLARE

namespace {

std::vector<MethodEntry>& table() {
#define TETHER_ENTRY(function) function(),
    static std::vector<MethodEntry> entries{TETHER_METHODS(TETHER_ENTRY)};
#undef TETHER_ENTRY
    return entries;
}

const MethodEntry* find(const std::string& word) {
    const auto found =
        std::ranges::find_if(table(), [&](const MethodEntry& entry) { return entry.choice.word == word; });
    return found == table().end() ? nullptr : &*found;
}

} // namespace

const std::vector<MethodEntry>& method_table() { return table(); }

std::vector<std::string> method_names() {
    std::vector<std::string> names;
    for (const MethodEntry& entry : table()) {
        names.push_back(entry.choice.word);
    }
    return names;
}

std::unique_ptr<Method> make_method(const MethodSettings& settings) {
    const MethodEntry* found = find(settings.name);
    check(found != nullptr, "unknown method '{}'{}", settings.name, hint(settings.name, method_names()));
    return found->make(settings);
}

void register_method(MethodEntry entry) {
    check(find(entry.choice.word) == nullptr, "a method named '{}' is registered already", entry.choice.word);
    entry.choice.chooser = "method.name";
    table().push_back(std::move(entry));
}

} // namespace tether::methods
