// The firmware as a process: `core/` on POSIX. Ends with 5 when the camera sleeps, 6 when it
// reboots, 0 when it was told to end, 2 for a command line that makes no sense.
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "../core/machine.h"
#include "file_slots.h"
#include "jpeg_folder.h"
#include "loopback_portal.h"
#include "mdns_discovery.h"
#include "openssl_crypto.h"
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
  OpensslCrypto crypto;
  SetupConsole lines(console, crypto, settings);
  for (const std::string& line : options.set_up) lines.take_line(line.c_str());
}

// From a boot to sleep, reboot or the end of the program.
State live(const Options& options, int slot, BootReason reason) {
  PosixClock clock;
  if (options.has_no_clock) clock.lose_wall_clock();
  FileStorage storage(options.state);
  if (reason == BootReason::power_on) storage.cut_power();
  StandardConsole console(clock);
  HostWifi wifi(options.state);
  MdnsDiscovery discovery(clock, options.mdns);
  OpensslSocket tls(clock);
  JpegFolder camera(console, storage, options.jpegs, options.taken);
  PosixBoard board(options.mac, reason);
  FileSlots slots(storage, options.state, options.factory, slot, options.slot_bytes);
  OpensslCrypto crypto;
  LoopbackPortal portal(console, options.state, options.portal_http, options.portal_dns);
  const Hardware hardware = {clock, storage, wifi,    discovery, tls,   camera,
                             board, console, slots, crypto,    portal};
  Machine machine(hardware, options.timing);
  while (g_is_over == 0 && machine.step()) {
  }
  camera.keep_place();
  write_report(options, machine, camera.place());
  return machine.state();
}

// The program of the slot that the loader chose becomes this process, unless it is that already.
// Comes back with the slot of the program that runs.
int load_program(const Options& options, int running, char** arguments, BootReason reason) {
  FileStorage storage(options.state);
  FileSlots slots(storage, options.state, options.factory, running, options.slot_bytes);
  const std::string own = running < 0 ? options.factory : slots.path_of(running);
  // Twice: a file that is no program at all is left for the other, as a board's loader does it.
  for (int attempt = 0; attempt < 2; ++attempt) {
    const int slot = slots.choose();
    const std::string path = slots.path_of(slot);
    if (path == own) return slot;
    std::vector<std::string> words;
    for (char** word = arguments; *word != nullptr; ++word) {
      if (strcmp(*word, "--factory") == 0) break;  // from here on it is what we put there last time
      words.emplace_back(*word);
    }
    for (const std::string& word : {std::string("--factory"), options.factory,
                                    std::string("--slot"), std::to_string(slot),
                                    std::string("--wake"), std::string(name_of(reason))}) {
      words.push_back(word);
    }
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    execv(path.c_str(), pointers.data());
  }
  return running < 0 ? 0 : running;
}

int run(const Options& options, char** arguments) {
  std::error_code error;
  std::filesystem::create_directories(options.state, error);
  int slot = options.slot;
  if (slot < 0) slot = load_program(options, -1, arguments, options.reason);
  if (options.slot < 0) {
    PosixClock clock;
    StandardConsole console(clock);
    FileStorage storage(options.state);
    set_up(options, storage, console);
  }
  BootReason reason = options.reason;
  while (true) {
    const State end = live(options, slot, reason);
    if (g_is_over != 0) return 0;
    if (!options.waits_for_motion) return end == State::sleep ? kSlept : kRebooted;
    reason = end == State::sleep ? BootReason::motion : BootReason::software;
    while (end == State::sleep && g_has_moved == 0 && g_is_over == 0) PosixClock().pause_ms(10);
    if (g_is_over != 0) return 0;
    slot = load_program(options, slot, arguments, reason);
  }
}

}  // namespace
}  // namespace roost::host

int main(int count, char** arguments) {
  roost::host::Options options;
  if (!roost::host::parse_options(count, arguments, &options)) return 2;
  if (options.factory.empty()) options.factory = std::filesystem::read_symlink("/proc/self/exe");
  roost::host::take_signals();
  return roost::host::run(options, arguments);
}
