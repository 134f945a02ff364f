// The firmware as a process: `core/` on POSIX. Ends with 5 when the camera sleeps, 6 when it
// reboots, 0 when it was told to end, 2 for a command line that makes no sense.
#include <cstdio>
#include <filesystem>

#include "../core/machine.h"
#include "jpeg_folder.h"
#include "mdns_discovery.h"
#include "openssl_socket.h"
#include "options.h"
#include "posix_board.h"

namespace roost::host {
namespace {

constexpr int kSlept = 5, kRebooted = 6;

void write_report(const Options& options, const Machine& machine, uint32_t place) {
  if (options.report.empty()) return;
  const std::string part = options.report + ".part";
  FILE* file = fopen(part.c_str(), "w");
  if (file == nullptr) return;
  const Tally& tally = machine.tally();
  fprintf(file,
          "{\"state\": \"%s\", \"sent\": %u, \"late\": %u, \"failed\": %u, \"unsent\": %u, "
          "\"unread\": %u, \"enrolments\": %u, \"connections\": %u, \"taken\": %u}\n",
          name_of(machine.state()), tally.sent, tally.late, tally.failed, tally.unsent,
          tally.unread, machine.enrolments(), machine.connections(), place);
  fclose(file);
  rename(part.c_str(), options.report.c_str());
}

void set_up(const Options& options, FileStorage& storage, StandardConsole& console) {
  Settings settings(storage);
  settings.load();
  SetupConsole lines(console, settings);
  for (const std::string& line : options.set_up) lines.take_line(line.c_str());
}

// From a boot to sleep, reboot or the end of the program.
State live(const Options& options, BootReason reason) {
  PosixClock clock;
  if (options.has_no_clock) clock.lose_wall_clock();
  FileStorage storage(options.state);
  if (reason == BootReason::power_on) storage.cut_power();
  StandardConsole console(clock);
  HostWifi wifi(options.state);
  MdnsDiscovery discovery(clock, options.mdns);
  OpensslSocket tls(clock);
  JpegFolder camera(console, storage, options.jpegs);
  PosixBoard board(options.mac, reason);
  const Hardware hardware = {clock, storage, wifi, discovery, tls, camera, board, console};
  Machine machine(hardware, options.timing);
  while (g_is_over == 0 && machine.step()) {
  }
  camera.keep_place();
  write_report(options, machine, camera.place());
  return machine.state();
}

int run(const Options& options) {
  std::error_code error;
  std::filesystem::create_directories(options.state, error);
  {
    PosixClock clock;
    StandardConsole console(clock);
    FileStorage storage(options.state);
    set_up(options, storage, console);
  }
  BootReason reason = options.reason;
  while (true) {
    const State end = live(options, reason);
    if (g_is_over != 0) return 0;
    if (!options.waits_for_motion) return end == State::sleep ? kSlept : kRebooted;
    reason = end == State::sleep ? BootReason::motion : BootReason::software;
    while (end == State::sleep && g_has_moved == 0 && g_is_over == 0) PosixClock().pause_ms(10);
    if (g_is_over != 0) return 0;
  }
}

}  // namespace
}  // namespace roost::host

int main(int count, char** arguments) {
  roost::host::Options options;
  if (!roost::host::parse_options(count, arguments, &options)) return 2;
  roost::host::take_signals();
  return roost::host::run(options);
}
