#include "jax_ffi.hpp"

namespace focal {

std::vector<XlaHandler> xla_handlers() { return {}; }

}  // namespace focal
