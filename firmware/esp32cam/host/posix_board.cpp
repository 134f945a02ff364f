#include "posix_board.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace roost::host {
namespace {

uint64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void on_motion(int) { g_has_moved = 1; }
void on_end(int) { g_is_over = 1; }

void take(int number, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigaction(number, &action, nullptr);
}

bool write_all(int file, const void* from, size_t size) {
  const auto* bytes = static_cast<const char*>(from);
  while (size > 0) {
    const ssize_t written = write(file, bytes, size);
    if (written < 0) return false;
    bytes += written;
    size -= static_cast<size_t>(written);
  }
  return true;
}

}  // namespace

volatile sig_atomic_t g_has_moved = 0;
volatile sig_atomic_t g_is_over = 0;

void take_signals() {
  take(SIGUSR1, on_motion);
  take(SIGTERM, on_end);
  take(SIGINT, on_end);
  take(SIGPIPE, SIG_IGN);  // a lost connection is an error of write, not the end
}

PosixClock::PosixClock() : began_ns_(monotonic_ns()) {}

uint64_t PosixClock::now_ms() { return (monotonic_ns() - began_ns_) / 1'000'000; }

void PosixClock::pause_ms(uint32_t duration_ms) {
  const timespec wait = {duration_ms / 1000, static_cast<long>(duration_ms % 1000) * 1'000'000};
  nanosleep(&wait, nullptr);  // a signal ends it early, which is welcome
}

uint32_t PosixClock::random() {
  uint32_t word;
  if (getrandom(&word, sizeof word, 0) != sizeof word) abort();  // never a guessable mask
  return word;
}

int64_t PosixClock::wall_clock_s() const { return time(nullptr) + shift_s_; }

void PosixClock::set_wall_s(int64_t unix_s) {
  shift_s_ = unix_s - time(nullptr);
  is_set_ = true;
}

int FileStorage::load(const char* name, void* into, size_t capacity) {
  const int file = open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  struct stat facts;
  int size = -1;
  if (fstat(file, &facts) == 0 && static_cast<size_t>(facts.st_size) <= capacity) {
    size = static_cast<int>(read(file, into, capacity));
  }
  close(file);
  return size;
}

bool FileStorage::save(const char* name, const void* from, size_t size) {
  const std::string path = path_of(name), part = path + ".part";
  const int file = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return false;
  const bool is_written = write_all(file, from, size) && fsync(file) == 0;
  close(file);
  if (is_written && rename(part.c_str(), path.c_str()) == 0) return true;
  unlink(part.c_str());
  return false;
}

void FileStorage::erase(const char* name) { unlink(path_of(name).c_str()); }

bool FileStorage::recall(void* into, size_t size) {
  return load("sleep.bin", into, size) == static_cast<int>(size);
}

void FileStorage::remember(const void* from, size_t size) { save("sleep.bin", from, size); }

void FileStorage::cut_power() { erase("sleep.bin"); }

void HostWifi::begin(const char* ssid, const char*) { is_on_ = ssid[0] != '\0'; }

WifiState HostWifi::state() {
  if (!is_on_) return WifiState::failed;
  return access(down_.c_str(), F_OK) == 0 ? WifiState::connecting : WifiState::connected;
}

bool PosixBoard::has_motion() {
  const bool has_moved = g_has_moved != 0;
  g_has_moved = 0;
  return has_moved;
}

int StandardConsole::read() {
  if (is_over_) return -1;
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  if (poll(&input, 1, 0) <= 0) return -1;
  char character;
  const ssize_t size = ::read(STDIN_FILENO, &character, 1);
  is_over_ = size == 0;
  return size == 1 ? static_cast<unsigned char>(character) : -1;
}

void StandardConsole::write_line(const char* text) {
  printf("%8llu %s\n", static_cast<unsigned long long>(clock_.now_ms()), text);
  fflush(stdout);
}

}  // namespace roost::host
