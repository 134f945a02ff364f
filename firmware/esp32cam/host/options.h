// The command line of the host build.
#pragma once

#include <string>
#include <vector>

#include "../core/machine.h"

namespace roost::host {

struct Options {
  std::string state;  // a folder: the flash
  std::string jpegs;  // a folder: what the camera sees
  std::string taken;  // a file for the time of every picture; none when empty
  std::string mdns = "off";
  int portal_http = -1;  // ports on loopback, 0 for any; -1: there is no access point
  int portal_dns = -1;
  int slot = -1;         // of the program that runs; -1: nobody started it from one
  std::string factory;   // the program of a slot without a file
  size_t slot_bytes = 64U << 20;
  std::string report;               // a file for the figures of the last life; none when empty
  std::vector<std::string> set_up;  // lines for the set-up console, taken before the first boot
  Mac mac = {{0x02, 0x52, 0x4F, 0x4F, 0x53, 0x54}};
  BootReason reason = BootReason::power_on;
  bool waits_for_motion = false;  // instead of ending when it sleeps
  bool has_no_clock = false;
  Timing timing;
};

// False, with the complaint on standard error, for what makes no sense.
bool parse_options(int count, char** arguments, Options* into);

}  // namespace roost::host
