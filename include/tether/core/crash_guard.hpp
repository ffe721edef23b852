// libhdf5 (1.10 at least) does not survive every file whose metadata are damaged: it reads and frees
// memory that is not its own. While a guard lives, a crash of this thread ends the process with the exit
// code of bad data and a message that names the file, instead of a signal that says nothing and that a
// batch script would take for a reason to start again. Crashes elsewhere stay what they are.
#pragma once

#include <string>

namespace tether {

class CrashGuard {
public:
    explicit CrashGuard(const std::string& path); // which must live as long
    ~CrashGuard();
    CrashGuard(const CrashGuard&) = delete;
    CrashGuard& operator=(const CrashGuard&) = delete;

private:
    const char* outer_; // file of the guard around this one
};

} // namespace tether
