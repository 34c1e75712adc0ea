// The kernels, compiled once for each instruction set: FOCAL_ISA is its name as an identifier, FOCAL_ISA_NAME as users
// write it.
#include "binary.hpp"
#include "softmax.hpp"

namespace focal::FOCAL_ISA {

extern const Kernels kernels = {FOCAL_ISA_NAME, binary, softmax};

}  // namespace focal::FOCAL_ISA
