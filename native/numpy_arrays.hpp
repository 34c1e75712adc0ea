#pragma once

#include <nanobind/nanobind.h>

namespace focal {

// Adds the functions that take arrays of NumPy.
void bind_numpy(nanobind::module_& m);

}  // namespace focal
