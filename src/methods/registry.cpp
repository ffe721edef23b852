// The methods of this library by name: one line each, one file each.
#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/methods/method.hpp"

#include <algorithm>
#include <utility>

#define TETHER_METHODS(METHOD)                                                                               \
    METHOD("strict", make_strict)                                                                            \
    METHOD("free", make_free)                                                                                \
    METHOD("augment", make_augment)                                                                          \
    METHOD("ace", make_ace)                                                                                  \
    METHOD("ace-resilient", make_ace)                                                                        \
    METHOD("remul", make_remul)

namespace tether::methods {

#define TETHER_DECLARE(word, function) std::unique_ptr<Method> function(const MethodSettings& settings);
TETHER_METHODS(TETHER_DECLARE)
#undef TETHER_DECLARE

namespace {

std::vector<MethodEntry>& table() {
#define TETHER_ENTRY(word, function) {word, function},
    static std::vector<MethodEntry> entries{TETHER_METHODS(TETHER_ENTRY)};
#undef TETHER_ENTRY
    return entries;
}

} // namespace

std::vector<std::string> method_names() {
    std::vector<std::string> names;
    for (const MethodEntry& entry : table()) {
        names.push_back(entry.name);
    }
    return names;
}

std::unique_ptr<Method> make_method(const MethodSettings& settings) {
    const auto found = std::ranges::find(table(), settings.name, &MethodEntry::name);
    check(found != table().end(), "unknown method '{}'{}", settings.name,
          hint(settings.name, method_names()));
    return found->make(settings);
}

void register_method(MethodEntry entry) {
    check(std::ranges::find(table(), entry.name, &MethodEntry::name) == table().end(),
          "a method named '{}' is registered already", entry.name);
    table().push_back(std::move(entry));
}

} // namespace tether::methods
