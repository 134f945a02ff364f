#include "version.h"

namespace roost {

const char* own_version() { return ROOST_VERSION; }

}  // namespace roost
