// Two places for a program as files of the state folder, and what a board's loader does with them.
#pragma once

#include <cstdio>
#include <string>

#include "../core/hardware.h"

namespace roost::host {

class FileSlots final : public Slots {
 public:
  // `running` is the slot of this program; `factory` the program of a slot without a file.
  FileSlots(Storage& state, std::string folder, std::string factory, int running, size_t capacity)
      : state_(state),
        folder_(std::move(folder)),
        factory_(std::move(factory)),
        running_(running),
        capacity_(capacity) {}
  ~FileSlots() { abort(); }
  FileSlots(const FileSlots&) = delete;
  FileSlots& operator=(const FileSlots&) = delete;

  // What an ESP32's boot loader does, at every start: a new program is tried once, and one that
  // was tried and not kept is left for the other. Returns the slot.
  int choose();
  std::string path_of(int slot) const;

  const char* board() override { return "host"; }
  size_t capacity() override { return capacity_; }
  bool begin(size_t image_bytes) override;
  bool write(const void* from, size_t size) override;
  void abort() override;
  bool activate() override;
  void keep() override;
  bool roll_back() override;

 private:
  enum class Mark : uint8_t { kept, fresh, tried };
  struct Choice {
    uint8_t slot;
    Mark mark;
  };

  Choice load();
  bool save(int slot, Mark mark);
  std::string file_of(int slot) const { return folder_ + "/slot" + std::to_string(slot); }

  Storage& state_;
  std::string folder_;
  std::string factory_;
  int running_;
  size_t capacity_;
  FILE* open_ = nullptr;
};

}  // namespace roost::host
