// Set-up over the camera's own Wi-Fi: an open network whose every name leads to one page with a
// form. Whoever is near may fill it in, as whoever holds the serial line may.
#pragma once

#include <cstdint>

#include "hardware.h"
#include "portal_form.h"
#include "portal_request.h"
#include "settings.h"

namespace roost {

struct PortalPace {
  uint32_t open_ms = 600'000;   // of a camera that is set up and was asked for it
  uint32_t request_ms = 5'000;  // for a whole request, and for a connection without one
  uint32_t reply_ms = 10'000;
  uint32_t linger_ms = 1'000;  // after the answer that it was saved
};

class Portal {
 public:
  enum class State : uint8_t { closed, open, saved };

  Portal(const Hardware& hardware, Settings& settings, const PortalPace& pace)
      : hardware_(hardware), settings_(settings), pace_(pace) {}

  void open();
  void close();
  // A part of the work. `saved`, once: the camera should start again.
  State step();

 private:
  enum class Part : uint8_t { none, reading, skipping, writing };

  void answer_names();
  void look_at_doors(uint64_t now_ms);
  void begin_request(int place, size_t size, uint64_t now_ms);
  void work();
  void read_more();
  void take_request();
  void skip_rest(uint64_t now_ms);
  void take_form();
  void write_more();
  void reply(int status, const char* location);
  void reply_page();
  void reply_words(int status, const char* title, const char* const* words, size_t count);
  void send_away();
  void leave(int place);

  const Hardware& hardware_;
  Settings& settings_;
  PortalPace pace_;
  bool is_open_ = false;
  bool is_saved_ = false;
  uint64_t opened_ms_ = 0;
  uint64_t saved_ms_ = 0;
  bool is_there_[AccessPoint::kClients] = {};
  uint64_t since_ms_[AccessPoint::kClients] = {};  // of those connections, and of the work on one
  // One is worked on at a time; those that say nothing yet hold nobody up.
  int active_ = -1;
  Part part_ = Part::none;
  PortalRequest request_;
  size_t skipped_ = 0;
  size_t size_ = 0;     // of what is in the buffer
  size_t written_ = 0;  // of that
  PortalForm form_;
  char buffer_[PortalRequest::kMaxBytes + 1];  // the request, and then its answer
};

}  // namespace roost
