#include "file_slots.h"

#include <sys/stat.h>
#include <unistd.h>

namespace roost::host {
namespace {

constexpr char kEntry[] = "slots.bin";

}  // namespace

FileSlots::Choice FileSlots::load() {
  Choice choice = {0, Mark::kept};
  if (state_.load(kEntry, &choice, sizeof choice) != sizeof choice) return {0, Mark::kept};
  return choice;
}

bool FileSlots::save(int slot, Mark mark) {
  const Choice choice = {static_cast<uint8_t>(slot), mark};
  return state_.save(kEntry, &choice, sizeof choice);
}

int FileSlots::choose() {
  Choice choice = load();
  if (choice.mark == Mark::fresh) {
    choice.mark = Mark::tried;
  } else if (choice.mark == Mark::tried) {
    choice = {static_cast<uint8_t>(1 - choice.slot), Mark::kept};
  } else {
    return choice.slot;
  }
  save(choice.slot, choice.mark);
  return choice.slot;
}

std::string FileSlots::path_of(int slot) const {
  return access(file_of(slot).c_str(), F_OK) == 0 ? file_of(slot) : factory_;
}

bool FileSlots::begin(size_t image_bytes) {
  abort();
  if (image_bytes > capacity_) return false;
  // A new file: the old one may be a program that runs.
  unlink(file_of(1 - running_).c_str());
  open_ = fopen(file_of(1 - running_).c_str(), "wbe");
  return open_ != nullptr;
}

bool FileSlots::write(const void* from, size_t size) {
  return open_ != nullptr && fwrite(from, 1, size, open_) == size;
}

void FileSlots::abort() {
  if (open_ == nullptr) return;
  fclose(open_);
  open_ = nullptr;
}

bool FileSlots::activate() {
  if (open_ == nullptr) return false;
  const bool is_written = fflush(open_) == 0 && fsync(fileno(open_)) == 0;
  abort();
  const std::string path = file_of(1 - running_);
  return is_written && chmod(path.c_str(), 0700) == 0 && save(1 - running_, Mark::fresh);
}

void FileSlots::keep() {
  const Choice choice = load();
  if (choice.slot != running_ || choice.mark != Mark::kept) save(running_, Mark::kept);
}

bool FileSlots::roll_back() { return save(1 - running_, Mark::kept); }

}  // namespace roost::host
