// Identifiers of HDF5, and what reading and writing share. HDF5 prints nothing itself: the deepest entry of
// its error stack becomes part of our message.
#include "src/core/hdf5_support.hpp"

#include <algorithm>
#include <utility>

namespace tether::hdf5 {

Handle& Handle::operator=(Handle&& other) noexcept {
    if (this != &other) {
        reset();
        id_ = std::exchange(other.id_, -1);
        close_ = other.close_;
    }
    return *this;
}

void Handle::reset() noexcept {
    if (id_ >= 0 && close_ != nullptr) {
        close_(id_);
    }
    id_ = -1;
}

void silence() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

std::string reason() {
    std::string text;
    const auto take = [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
        if (entry->desc != nullptr) {
            *static_cast<std::string*>(out) = entry->desc;
        }
        return 1; // the deepest entry is enough
    };
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take, &text);
    H5Eclear2(H5E_DEFAULT);
    return text.empty() ? text : " (HDF5: " + text + ")";
}

std::string where(const std::string& path, const std::string& name) {
    return path + ":" + (name.starts_with('/') ? name : "/" + name);
}

bool exists(hid_t file, const std::string& name) {
    std::size_t end = 0;
    while (end < name.size()) {
        end = name.find('/', end + 1);
        const std::string part = name.substr(0, end);
        end = std::min(end, name.size());
        if (part.empty() || part == "/" || part.back() == '/') {
            continue;
        }
        if (H5Lexists(file, part.c_str(), H5P_DEFAULT) <= 0 ||
            H5Oexists_by_name(file, part.c_str(), H5P_DEFAULT) <= 0) {
            H5Eclear2(H5E_DEFAULT);
            return false;
        }
    }
    return true;
}

H5O_type_t object_type(hid_t file, const std::string& name) {
    H5O_info_t info;
    return H5Oget_info_by_name2(file, name.c_str(), &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0 ? H5O_TYPE_UNKNOWN
                                                                                            : info.type;
}

} // namespace tether::hdf5
