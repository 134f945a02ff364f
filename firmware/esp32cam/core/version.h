// The version of this firmware, MAJOR.MINOR.PATCH; the one place where it is written.
#pragma once

#ifndef ROOST_VERSION
#define ROOST_VERSION "1.0.0"
#endif

namespace roost {

// Compiled alone, so that the tests build another version by compiling one file.
const char* own_version();

}  // namespace roost
