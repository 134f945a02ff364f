#include "options.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "../core/settings.h"

namespace roost::host {
namespace {

constexpr char kUsage[] =
    "roostcam-host --state DIR --jpegs DIR [...]\n"
    "  --set LINE            a line of the set-up console: 'wifi SSID PASSWORD', 'mode always' "
    "...\n"
    "  --server HOST:PORT    as `server HOST PORT`\n"
    "  --ca FILE, --ca2 FILE a certificate for the first or second slot\n"
    "  --mdns off|ADDRESS|ADDRESS:PORT  the interface to ask through, or the one responder to ask\n"
    "  --mac AA:BB:CC:DD:EE:FF\n"
    "  --wake power_on|motion|timer|software|panic|watchdog|brownout\n"
    "  --portal-http PORT, --portal-dns PORT  the set-up portal, on 127.0.0.1; 0 for any port\n"
    "  --slot-bytes N        room for a program\n"
    "  --sleep exit|wait     end with code 5 (6 for a reboot), or wait for SIGUSR1\n"
    "  --clock-unset         as a board that nobody told the time\n"
    "  --time NAME=MS        stream, heartbeat, quiet, pong, blind, goodbye, tls, reply, send, "
    "wifi,\n"
    "                        browse, backoff, longest, refused, settled, awake, weary, stuck,\n"
    "                        download, stall, trial, portal, request, linger\n"
    "  --report FILE         the figures, as JSON, when a life ends\n"
    "  --taken FILE          gets the number and the epoch ms of every picture that is taken\n";

bool set_time(const char* text, Timing* timing) {
  const struct {
    const char* name;
    uint32_t* value;
  } known[] = {
      {"stream", &timing->pace.stream_ms}, {"heartbeat", &timing->pace.heartbeat_ms},
      {"quiet", &timing->pace.quiet_ms},   {"pong", &timing->pace.pong_ms},
      {"blind", &timing->pace.blind_ms},   {"goodbye", &timing->pace.goodbye_ms},
      {"tls", &timing->patience.tls_ms},   {"reply", &timing->patience.reply_ms},
      {"send", &timing->patience.send_ms}, {"wifi", &timing->wifi_ms},
      {"browse", &timing->browse_ms},      {"backoff", &timing->backoff_ms},
      {"longest", &timing->longest_ms},    {"refused", &timing->refused_ms},
      {"settled", &timing->settled_ms},    {"awake", &timing->awake_ms},
      {"weary", &timing->weary_ms},        {"stuck", &timing->stuck_ms},
      {"stall", &timing->update.stall_ms}, {"download", &timing->update.download_ms},
      {"trial", &timing->trial_ms},        {"portal", &timing->portal.open_ms},
      {"linger", &timing->portal.linger_ms}, {"request", &timing->portal.request_ms},
  };
  const char* equals = strchr(text, '=');
  if (equals == nullptr) return false;
  const std::string name(text, static_cast<size_t>(equals - text));
  for (const auto& entry : known) {
    if (name != entry.name) continue;
    *entry.value = static_cast<uint32_t>(strtoul(equals + 1, nullptr, 10));
    return true;
  }
  return false;
}

bool set_reason(const char* text, BootReason* reason) {
  for (int i = 0; i <= static_cast<int>(BootReason::other); ++i) {
    *reason = static_cast<BootReason>(i);
    if (strcmp(name_of(*reason), text) == 0) return true;
  }
  return false;
}

bool set_mac(const char* text, Mac* mac) {
  uint8_t* b = mac->bytes;
  int used = 0;
  const int fields = sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &b[0], &b[1], &b[2],
                            &b[3], &b[4], &b[5], &used);
  return fields == 6 && text[used] == '\0';
}

bool add_certificate(const char* slot, const char* path, std::vector<std::string>* lines) {
  std::ifstream file(path);
  if (!file) return false;
  lines->push_back(std::string("ca ") + slot + " <<PEM");
  for (std::string line; std::getline(file, line);) lines->push_back(line);
  lines->push_back("PEM");
  return true;
}

bool add_server(const char* text, std::vector<std::string>* lines) {
  Endpoint endpoint;
  if (!parse_endpoint(text, ':', &endpoint)) return false;
  lines->push_back(std::string("server ") + endpoint.host + " " + std::to_string(endpoint.port));
  return true;
}

bool take_option(const std::string& name, const char* value, Options* into) {
  if (name == "--state") return into->state = value, true;
  if (name == "--jpegs") return into->jpegs = value, true;
  if (name == "--mdns") return into->mdns = value, true;
  if (name == "--portal-http") return into->portal_http = atoi(value), true;
  if (name == "--portal-dns") return into->portal_dns = atoi(value), true;
  if (name == "--slot") return into->slot = atoi(value), true;
  if (name == "--factory") return into->factory = value, true;
  if (name == "--slot-bytes") return into->slot_bytes = strtoul(value, nullptr, 10), true;
  if (name == "--taken") return into->taken = value, true;
  if (name == "--report") return into->report = value, true;
  if (name == "--set") return into->set_up.emplace_back(value), true;
  if (name == "--server") return add_server(value, &into->set_up);
  if (name == "--ca") return add_certificate("1", value, &into->set_up);
  if (name == "--ca2") return add_certificate("2", value, &into->set_up);
  if (name == "--mac") return set_mac(value, &into->mac);
  if (name == "--wake") return set_reason(value, &into->reason);
  if (name == "--time") return set_time(value, &into->timing);
  if (name == "--sleep") {
    into->waits_for_motion = strcmp(value, "wait") == 0;
    return into->waits_for_motion || strcmp(value, "exit") == 0;
  }
  return false;
}

}  // namespace

bool parse_options(int count, char** arguments, Options* into) {
  for (int i = 1; i < count; ++i) {
    const std::string name = arguments[i];
    if (name == "--clock-unset") {
      into->has_no_clock = true;
      continue;
    }
    if (i + 1 == count || !take_option(name, arguments[i + 1], into)) {
      fprintf(stderr, "%s: not understood\n%s", name.c_str(), kUsage);
      return false;
    }
    ++i;
  }
  if (into->state.empty() || into->jpegs.empty()) {
    fputs(kUsage, stderr);
    return false;
  }
  return true;
}

}  // namespace roost::host
