// A request to the portal: HTTP/1.0 and 1.1, in the buffer it was read into.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

struct PortalRequest {
  static constexpr size_t kMaxHeadBytes = 2048;
  static constexpr size_t kMaxBodyBytes = 6000;
  static constexpr size_t kMaxBytes = kMaxHeadBytes + kMaxBodyBytes;

  // `refused`: answer with `status`.
  enum class State : uint8_t { more, whole, refused };
  enum class Method : uint8_t { get, post };

  // From the first byte on, each time that more came. Keeps pointers into the bytes.
  State read(char* bytes, size_t size);

  Method method = Method::get;
  bool is_root = false;  // the path is "/", with or without a query
  char* body = nullptr;
  size_t body_size = 0;
  int status = 0;

 private:
  State refuse(int with_status);
  bool read_line(const char* at, const char* end);
  int read_header(const char* at, const char* end);

  bool has_length_ = false;
};

}  // namespace roost
