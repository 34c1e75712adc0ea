// The handlers that XLA calls, by name.
#pragma once

#include <vector>

namespace focal {

struct XlaHandler {
  const char* name;
  void (*function)();
};

std::vector<XlaHandler> xla_handlers();

}  // namespace focal
