#include "control/version.h"

namespace gannet::control {

const char* version() noexcept {
  return GANNET_VERSION;
}

}  // namespace gannet::control
