// See the header. The file is opened in memory (core driver, file image), changed, flushed and taken back.
#include "tests/fuzz/hdf5_mutator.hpp"

#include "tether/core/hdf5.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace tether::fuzz {
namespace {

using hdf5::Handle;
using Random = std::minstd_rand;

template <class List>
auto pick(const List& list, Random& random) {
    return list[random() % std::size(list)];
}

struct Objects {
    std::vector<std::string> all, datasets, groups{"/"};
};

Objects objects_of(hid_t file) {
    Objects out;
    const auto add = [](hid_t, const char* name, const H5O_info_t* info, void* to) -> herr_t {
        auto& found = *static_cast<Objects*>(to);
        if (name[0] != '.' && found.all.size() < 200) {
            found.all.emplace_back(name);
            (info->type == H5O_TYPE_DATASET ? found.datasets : found.groups).emplace_back(name);
        }
        return 0;
    };
    H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, add, &out, H5O_INFO_BASIC);
    return out;
}

Handle some_type(Random& random) {
    static const std::array<hid_t, 8> plain{H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE, H5T_NATIVE_INT32,
                                            H5T_NATIVE_INT64, H5T_NATIVE_UINT64, H5T_NATIVE_INT8,
                                            H5T_IEEE_F32BE,   H5T_STD_REF_OBJ};
    switch (random() % 8) {
    case 0: { // text
        Handle text(H5Tcopy(H5T_C_S1), H5Tclose);
        H5Tset_size(text.id(), random() % 2 == 0 ? H5T_VARIABLE : 1 + random() % 9);
        H5Tset_strpad(text.id(), random() % 2 == 0 ? H5T_STR_NULLPAD : H5T_STR_SPACEPAD);
        return text;
    }
    case 1: return Handle(H5Tvlen_create(H5T_NATIVE_DOUBLE), H5Tclose);
    case 2: {
        const hsize_t extent = 3;
        return Handle(H5Tarray_create2(H5T_NATIVE_FLOAT, 1, &extent), H5Tclose);
    }
    case 3: {
        Handle pair(H5Tcreate(H5T_COMPOUND, 16), H5Tclose);
        H5Tinsert(pair.id(), "step", 0, H5T_NATIVE_INT64);
        H5Tinsert(pair.id(), "x", 8, H5T_NATIVE_DOUBLE);
        return pair;
    }
    default: return Handle(H5Tcopy(pick(plain, random)), H5Tclose);
    }
}

// Mostly one dimension of the given shape changed.
std::vector<hsize_t> some_shape(std::vector<hsize_t> shape, Random& random) {
    static constexpr std::array<hsize_t, 13> sizes{
        0, 1, 2, 3, 4, 5, 7, 31, 1000, 1U << 20U, hsize_t{1} << 31U, hsize_t{1} << 40U, hsize_t{1} << 61U};
    switch (random() % 4) {
    case 0: shape.push_back(pick(sizes, random)); break;
    case 1:
        if (!shape.empty()) {
            shape.pop_back();
        }
        break;
    default:
        if (!shape.empty()) {
            shape[random() % shape.size()] = pick(sizes, random);
        }
    }
    if (shape.size() > 6) {
        shape.resize(6);
    }
    return shape;
}

std::uint64_t elements(const std::vector<hsize_t>& shape) {
    std::uint64_t count = 1;
    for (const hsize_t n : shape) {
        count = n > 0 && count > std::numeric_limits<std::uint64_t>::max() / n
                    ? std::numeric_limits<std::uint64_t>::max()
                    : count * n;
    }
    return count;
}

std::vector<hsize_t> shape_of(hid_t space) {
    const int rank = H5Sget_simple_extent_ndims(space);
    std::vector<hsize_t> shape(static_cast<std::size_t>(std::max(rank, 0)));
    if (!shape.empty()) {
        H5Sget_simple_extent_dims(space, shape.data(), nullptr);
    }
    return shape;
}

Handle space_of(const std::vector<hsize_t>& shape) {
    return {shape.empty() ? H5Screate(H5S_SCALAR)
                          : H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
            H5Sclose};
}

constexpr std::array<double, 14> numbers{0,
                                         -1,
                                         1,
                                         2,
                                         3,
                                         5,
                                         1e6,
                                         -1e300,
                                         1e300,
                                         0.5,
                                         9e15,
                                         1e19,
                                         std::numeric_limits<double>::infinity(),
                                         std::numeric_limits<double>::quiet_NaN()};

// A dataset of the same name with another type, shape or storage.
void replace_dataset(hid_t file, const std::string& name, Random& random) {
    Handle type, space;
    {
        const Handle old(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
        if (!old.valid()) {
            return;
        }
        type = random() % 2 == 0 ? some_type(random) : Handle(H5Dget_type(old.id()), H5Tclose);
        space = Handle(H5Dget_space(old.id()), H5Sclose);
    }
    std::vector<hsize_t> shape = shape_of(space.id());
    if (random() % 3 != 0) {
        shape = some_shape(shape, random);
    }
    H5Ldelete(file, name.c_str(), H5P_DEFAULT);
    const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    const unsigned storage = random() % 6;
    if (storage == 0 && !shape.empty()) {
        std::vector<hsize_t> chunk;
        for (const hsize_t n : shape) {
            chunk.push_back(std::clamp<hsize_t>(n, 1, 8));
        }
        H5Pset_chunk(creation.id(), static_cast<int>(chunk.size()), chunk.data());
        if (random() % 2 == 0) {
            H5Pset_deflate(creation.id(), 1);
        }
    } else if (storage == 1) {
        H5Pset_external(creation.id(), "/dev/zero", 0, H5F_UNLIMITED);
    } else if (storage == 2) {
        H5Pset_layout(creation.id(), H5D_COMPACT);
    } else {
        H5Pset_alloc_time(creation.id(), H5D_ALLOC_TIME_LATE); // nothing is stored
    }
    const Handle made(H5Dcreate2(file, name.c_str(), type.id(), space_of(shape).id(), H5P_DEFAULT,
                                 creation.id(), H5P_DEFAULT),
                      H5Dclose);
    const H5T_class_t kind = H5Tget_class(type.id());
    if (made.valid() && (kind == H5T_INTEGER || kind == H5T_FLOAT) && elements(shape) <= 4096 &&
        random() % 4 != 0) {
        std::vector<double> values(elements(shape));
        const double base = pick(numbers, random);
        for (double& value : values) {
            value = random() % 8 == 0 ? pick(numbers, random) : base;
        }
        H5Dwrite(made.id(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    }
}

// One number becomes another.
void change_number(hid_t file, const std::string& name, Random& random) {
    const Handle set(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
    if (!set.valid()) {
        return;
    }
    const Handle type(H5Dget_type(set.id()), H5Tclose);
    const Handle space(H5Dget_space(set.id()), H5Sclose);
    const std::uint64_t count = elements(shape_of(space.id()));
    const H5T_class_t kind = H5Tget_class(type.id());
    if ((kind != H5T_INTEGER && kind != H5T_FLOAT) || count == 0 || count > 4096) {
        return;
    }
    std::vector<double> values(count);
    if (H5Dread(set.id(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0) {
        double& value = values[random() % count];
        value = random() % 2 == 0 ? pick(numbers, random) : value + pick(numbers, random);
        H5Dwrite(set.id(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    }
}

void change_attribute(hid_t file, const std::string& object, Random& random) {
    const Handle owner(H5Oopen(file, object.c_str(), H5P_DEFAULT), H5Oclose);
    const int count = owner.valid() ? H5Aget_num_attrs(owner.id()) : 0;
    if (count <= 0) {
        return;
    }
    std::string name(64, '\0');
    const ssize_t length =
        H5Aget_name_by_idx(owner.id(), ".", H5_INDEX_NAME, H5_ITER_INC,
                           random() % static_cast<unsigned>(count), name.data(), name.size(), H5P_DEFAULT);
    if (length <= 0) {
        return;
    }
    name.resize(std::min<std::size_t>(static_cast<std::size_t>(length), 63));
    if (name == "sha256" || random() % 3 == 0) { // without it changes of numbers get further
        H5Adelete(owner.id(), name.c_str());
        return;
    }
    H5Adelete(owner.id(), name.c_str());
    const std::vector<hsize_t> shape = random() % 2 == 0 ? std::vector<hsize_t>{} : some_shape({1}, random);
    if (elements(shape) > 64) {
        return;
    }
    if (random() % 2 == 0) { // text
        static constexpr std::array<const char*, 8> texts{
            "", "weights", "model", "{\"layers\": 1}", "[]", "\xff\xfe", "egnn with sites", "/train"};
        const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
        H5Tset_size(type.id(), H5T_VARIABLE);
        const Handle made(
            H5Acreate2(owner.id(), name.c_str(), type.id(), space_of(shape).id(), H5P_DEFAULT, H5P_DEFAULT),
            H5Aclose);
        const std::vector<const char*> values(elements(shape) + 1, pick(texts, random));
        if (made.valid()) {
            H5Awrite(made.id(), type.id(), values.data());
        }
        return;
    }
    const Handle type = some_type(random);
    const Handle made(
        H5Acreate2(owner.id(), name.c_str(), type.id(), space_of(shape).id(), H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose);
    const H5T_class_t kind = H5Tget_class(type.id());
    if (made.valid() && (kind == H5T_INTEGER || kind == H5T_FLOAT)) {
        const std::vector<double> values(elements(shape) + 1, pick(numbers, random));
        H5Awrite(made.id(), H5T_NATIVE_DOUBLE, values.data());
    }
}

void change_link(hid_t file, const Objects& objects, Random& random) {
    const std::string name = pick(objects.all, random);
    const std::string other = pick(objects.all, random);
    switch (random() % 6) {
    case 0: H5Ldelete(file, name.c_str(), H5P_DEFAULT); break;
    case 1: H5Lmove(file, name.c_str(), file, (name + "2").c_str(), H5P_DEFAULT, H5P_DEFAULT); break;
    case 2:
        H5Ldelete(file, name.c_str(), H5P_DEFAULT);
        H5Lcreate_soft(random() % 2 == 0 ? name.c_str() : other.c_str(), file, name.c_str(), H5P_DEFAULT,
                       H5P_DEFAULT);
        break;
    case 3:
        if (name != other) {
            H5Ldelete(file, name.c_str(), H5P_DEFAULT);
            H5Lcreate_hard(file, other.c_str(), file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
        }
        break;
    case 4:
        H5Ldelete(file, name.c_str(), H5P_DEFAULT);
        H5Lcreate_external("/dev/null", "/x", file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
        break;
    default:
        H5Ldelete(file, name.c_str(), H5P_DEFAULT);
        const Handle group(H5Gcreate2(file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
    }
}

void change_something(hid_t file, Random& random) {
    const Objects objects = objects_of(file);
    if (objects.all.empty()) {
        return;
    }
    switch (random() % 8) {
    case 0: change_link(file, objects, random); break;
    case 1:
    case 2:
        change_attribute(file, random() % 2 == 0 ? pick(objects.groups, random) : pick(objects.all, random),
                         random);
        break;
    case 3:
    case 4:
        if (!objects.datasets.empty()) {
            replace_dataset(file, pick(objects.datasets, random), random);
        }
        break;
    default:
        if (!objects.datasets.empty()) {
            change_number(file, pick(objects.datasets, random), random);
        }
    }
}

} // namespace

std::size_t mutate_hdf5(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    Random random(seed);
    std::size_t length = 0;
    {
        const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
        H5Pset_fapl_core(access.id(), std::size_t{1} << 16U, 0);
        H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
        H5Pset_file_image(access.id(), data, size);
        const Handle file(H5Fopen("image", H5F_ACC_RDWR, access.id()), H5Fclose);
        if (file.valid()) {
            change_something(file.id(), random);
            H5Fflush(file.id(), H5F_SCOPE_LOCAL);
            const ssize_t image = H5Fget_file_image(file.id(), nullptr, 0);
            if (image > 0 && static_cast<std::size_t>(image) <= most &&
                H5Fget_file_image(file.id(), data, most) == image) {
                length = static_cast<std::size_t>(image);
            }
        }
    }
    H5Eclear2(H5E_DEFAULT);
    return length;
}

} // namespace tether::fuzz
