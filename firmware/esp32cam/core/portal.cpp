#include "portal.h"

#include <cstdio>
#include <cstring>

#include "portal_dns.h"
#include "portal_page.h"

namespace roost {
namespace {

constexpr int kQuestionsAStep = 8;
constexpr size_t kNetworks = 16;
constexpr size_t kMaxSkippedBytes = 65536;  // of a request that is refused; then the line is cut

const char* reason_for(int status) {
  switch (status) {
    case 200: return "OK";
    case 302: return "Found";
    case 400: return "Bad Request";
    case 405: return "Method Not Allowed";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 422: return "Unprocessable Content";
    case 431: return "Request Header Fields Too Large";
    default: return "Insufficient Storage";
  }
}

}  // namespace

void Portal::open() {
  close();
  const Mac mac = hardware_.board.mac();
  char name[16];
  snprintf(name, sizeof name, "Roost-%02X%02X%02X", mac.bytes[3], mac.bytes[4], mac.bytes[5]);
  is_open_ = hardware_.access_point.begin(name);
  if (!is_open_) return;
  opened_ms_ = hardware_.clock.now_ms();
  say(hardware_.console, "portal: join the Wi-Fi \"%s\", then open %s", name,
      hardware_.access_point.url());
}

void Portal::close() {
  if (!is_open_) return;
  for (int place = 0; place < AccessPoint::kClients; ++place) leave(place);
  hardware_.access_point.end();
  is_open_ = is_saved_ = false;
}

Portal::State Portal::step() {
  if (!is_open_) return State::closed;
  const uint64_t now_ms = hardware_.clock.now_ms();
  if (is_saved_ && now_ms - saved_ms_ >= pace_.linger_ms) {
    close();
    return State::saved;
  }
  if (settings_.is_complete() && !is_saved_ && now_ms - opened_ms_ >= pace_.open_ms) {
    say(hardware_.console, "portal: nobody used it");
    close();
    return State::closed;
  }
  answer_names();
  look_at_doors(now_ms);
  if (active_ >= 0) work();
  return State::open;
}

void Portal::answer_names() {
  uint8_t question[kMaxDnsBytes + 1], answer[kMaxDnsBytes];
  for (int i = 0; i < kQuestionsAStep; ++i) {
    const int size = hardware_.access_point.receive_question(question, sizeof question);
    if (size <= 0) return;
    const size_t answered = answer_dns(question, static_cast<size_t>(size),
                                       hardware_.access_point.address(), answer);
    if (answered > 0) hardware_.access_point.answer(answer, answered);
  }
}

void Portal::look_at_doors(uint64_t now_ms) {
  for (int place = 0; place < AccessPoint::kClients; ++place) {
    if (!is_there_[place] && hardware_.access_point.accept(place)) {
      is_there_[place] = true;
      since_ms_[place] = now_ms;
    }
    if (!is_there_[place] || active_ >= 0) continue;
    const int size = hardware_.access_point.read(place, buffer_, PortalRequest::kMaxBytes);
    if (size > 0) {
      begin_request(place, static_cast<size_t>(size), now_ms);
    } else if (size < 0 || now_ms - since_ms_[place] >= pace_.request_ms) {
      leave(place);  // phones open connections ahead and say nothing on them
    }
  }
}

void Portal::begin_request(int place, size_t size, uint64_t now_ms) {
  active_ = place;
  since_ms_[place] = now_ms;
  size_ = size;
  part_ = Part::reading;
  take_request();
}

void Portal::work() {
  const uint64_t now_ms = hardware_.clock.now_ms();  // the request may be younger than the step
  const uint32_t limit_ms = part_ == Part::writing ? pace_.reply_ms : pace_.request_ms;
  if (now_ms - since_ms_[active_] >= limit_ms) {
    if (part_ == Part::skipping) {
      take_request();
    } else {
      leave(active_);
    }
    return;
  }
  switch (part_) {
    case Part::reading: read_more(); break;
    case Part::skipping: skip_rest(now_ms); break;
    case Part::writing: write_more(); break;
    case Part::none: break;
  }
}

void Portal::leave(int place) {
  if (is_there_[place]) hardware_.access_point.hang_up(place);
  is_there_[place] = false;
  if (place != active_) return;
  active_ = -1;
  part_ = Part::none;
}

void Portal::read_more() {
  const int size =
      hardware_.access_point.read(active_, buffer_ + size_, PortalRequest::kMaxBytes - size_);
  if (size < 0) {
    leave(active_);
  } else if (size > 0) {
    size_ += static_cast<size_t>(size);
    take_request();
  }
}

void Portal::take_request() {
  // What was skipped is over, one way or the other.
  const bool was_skipped = part_ == Part::skipping;
  const PortalRequest::State state =
      was_skipped ? PortalRequest::State::refused : request_.read(buffer_, size_);
  if (state == PortalRequest::State::more) return;
  if (state == PortalRequest::State::refused) {
    if (!was_skipped && request_.status == 413) {
      // Answered at once, it would lose the answer: a browser reads only after it wrote.
      part_ = Part::skipping;
      skipped_ = 0;
      return;
    }
    static const char* const kWords[] = {"The camera does not understand this request."};
    reply_words(request_.status, "That did not work", kWords, 1);
  } else if (request_.method == PortalRequest::Method::post) {
    take_form();
  } else if (request_.is_root) {
    reply_page();
  } else {
    send_away();
  }
}

void Portal::skip_rest(uint64_t now_ms) {
  const int size = hardware_.access_point.read(active_, buffer_, PortalRequest::kMaxBytes);
  if (size < 0) {
    leave(active_);
    return;
  }
  skipped_ += static_cast<size_t>(size);
  const bool is_silent = size == 0 && now_ms - since_ms_[active_] >= pace_.request_ms / 10;
  if (is_silent || skipped_ >= kMaxSkippedBytes) take_request();
}

void Portal::take_form() {
  if (!form_.read(request_.body, request_.body_size)) {
    static const char* const kWords[] = {"The form came damaged."};
    reply_words(400, "That did not work", kWords, 1);
  } else if (!form_.check(settings_, hardware_.crypto)) {
    reply_words(422, "Please look again", form_.complaints, form_.complaint_count);
  } else if (!form_.save(settings_)) {
    static const char* const kWords[] = {"The camera's flash is full or worn out."};
    reply_words(507, "That did not work", kWords, 1);
  } else {
    say(hardware_.console, "portal: saved");
    is_saved_ = true;
    saved_ms_ = hardware_.clock.now_ms();
    static const char* const kWords[] = {
        "The camera leaves this network now and looks for its recorder.",
        "If it cannot join, its own network is back in about a minute: look at the password then."};
    reply_words(200, "Saved", kWords, 2);
  }
}

void Portal::reply(int status, const char* location) {
  PageWriter page(buffer_, sizeof buffer_);
  char head[96];
  snprintf(head, sizeof head, "HTTP/1.0 %d %s\r\n", status, reason_for(status));
  page.put(head);
  if (location != nullptr) {
    page.put("Location: ");
    page.put(location);
    page.put("\r\n");
  }
  // Nothing from elsewhere is loaded, whatever the name of a network tries.
  page.put(
      "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"
      "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'; connect-src 'self'; form-action 'self'\r\n"
      "Connection: close\r\n\r\n");
  size_ = page.size();
  written_ = 0;
  part_ = Part::writing;
  since_ms_[active_] = hardware_.clock.now_ms();
}

void Portal::reply_page() {
  reply(200, nullptr);
  PageWriter page(buffer_ + size_, sizeof buffer_ - size_);
  page.put(kPageHead);
  // So many always fit, whatever they are called; of a hundred the loudest are enough.
  Network heard[kNetworks];
  const size_t count = hardware_.access_point.networks(heard, kNetworks);
  put_networks(page, heard, count);
  page.put(kPageTail);
  size_ += page.size();
}

void Portal::reply_words(int status, const char* title, const char* const* words, size_t count) {
  reply(status, nullptr);
  PageWriter page(buffer_ + size_, sizeof buffer_ - size_);
  page.put("<!doctype html><meta charset=\"utf-8\"><meta name=\"viewport\" "
           "content=\"width=device-width,initial-scale=1\"><style>:root{color-scheme:light dark}"
           "body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:0 auto;padding:1rem}"
           "</style><h1>");
  page.put(title);
  page.put("</h1><ul id=\"words\">");
  for (size_t i = 0; i < count; ++i) {
    page.put("<li>");
    page.put_escaped(words[i]);
    page.put("</li>");
  }
  page.put("</ul>");
  if (status == 422) page.put("<p>Go back with your browser: what you filled in is still there.");
  size_ += page.size();
}

// Every other page is a phone's question whether it has the internet.
void Portal::send_away() { reply(302, hardware_.access_point.url()); }

void Portal::write_more() {
  const int size = hardware_.access_point.write(active_, buffer_ + written_, size_ - written_);
  if (size < 0) {
    leave(active_);
    return;
  }
  written_ += static_cast<size_t>(size);
  if (written_ == size_) leave(active_);
}

}  // namespace roost
