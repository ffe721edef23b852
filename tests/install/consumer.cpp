// Uses an installed tether from outside: the library's version, its methods, one strict method made.
#include <tether/methods/method.hpp>
#include <tether/run/provenance.hpp>

#include <cstdio>

int main() {
    const auto method = tether::methods::make_method({.name = "ace"});
    std::printf("tether %s, %zu methods, ace %s multipliers\n",
                tether::run::provenance().tether_version.c_str(), tether::methods::method_names().size(),
                method->has_multipliers() ? "has" : "lacks");
    return method->has_multipliers() ? 0 : 1;
}
