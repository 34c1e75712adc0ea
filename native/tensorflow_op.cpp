#include "dispatch.hpp"

namespace {
const focal::EntryPoints* kernels = nullptr;
}

extern "C" __attribute__((visibility("default"))) void focal_loss_connect(const focal::EntryPoints* entry_points) {
  kernels = entry_points;
}
