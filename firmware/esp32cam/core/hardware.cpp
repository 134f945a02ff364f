#include "hardware.h"

#include <cstdarg>
#include <cstdio>

namespace roost {

const char* name_of(BootReason reason) {
  switch (reason) {
    case BootReason::power_on: return "power_on";
    case BootReason::motion: return "motion";
    case BootReason::timer: return "timer";
    case BootReason::software: return "software";
    case BootReason::panic: return "panic";
    case BootReason::watchdog: return "watchdog";
    case BootReason::brownout: return "brownout";
    case BootReason::other: break;
  }
  return "other";
}

void say(Console& console, const char* format, ...) {
  char line[201];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  console.write_line(line);
}

}  // namespace roost
