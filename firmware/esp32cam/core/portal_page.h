// The portal's HTML. `kPageHead`, an <option> a network, `kPageTail`.
#pragma once

#include <cstddef>

#include "hardware.h"

namespace roost {

extern const char kPageHead[];
extern const char kPageTail[];

// Text into a buffer of fixed size; what does not fit is dropped, and `is_whole` says so.
class PageWriter {
 public:
  PageWriter(char* into, size_t capacity) : into_(into), capacity_(capacity) {}
  void put(const char* text);
  void put_escaped(const char* text);  // for HTML, in text and in quoted values
  size_t size() const { return size_; }
  bool is_whole() const { return !has_overflowed_; }

 private:
  void put(char c);

  char* into_;
  size_t capacity_;
  size_t size_ = 0;
  bool has_overflowed_ = false;
};

// Those whose names are text; no page can show the others, nor a person type them.
void put_networks(PageWriter& page, const Network* networks, size_t count);

}  // namespace roost
