#include "portal_page.h"

#include <cstring>

#include "utf8.h"

namespace roost {

// The page reads what a QR code put behind the # and forgets it: a phone keeps addresses.
const char kPageHead[] = R"(<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>Roost camera</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;
margin:0 auto;padding:1rem}label{display:block;margin:.9rem 0 .2rem}small{opacity:.75}
input,select,textarea,button{font:inherit;width:100%;box-sizing:border-box;padding:.6rem;
border:1px solid #8888;border-radius:.4rem}textarea{font:12px monospace;height:6rem}
h1{font-size:1.4rem}#answer:not(:empty){border-left:4px solid #2563eb;padding-left:.8rem}
button{margin-top:1.2rem;background:#2563eb;color:#fff;border:0}</style>
<h1>Set up this camera</h1><div id="answer" role="alert"></div>
<form id="form" method="post" action="/">
<label for="ssid">Wi-Fi network</label>
<input id="ssid" name="ssid" list="heard" maxlength="32" required autocomplete="off">
<datalist id="heard">)";

const char kPageTail[] = R"(</datalist>
<label for="password">Wi-Fi password</label>
<input id="password" name="password" type="password" maxlength="64" autocomplete="off">
<label for="server">Recorder <small>empty: it is looked for</small></label>
<input id="server" name="server" maxlength="63" autocapitalize="none" autocomplete="off">
<label for="port">Port</label><input id="port" name="port" inputmode="numeric" value="3443">
<label for="ca">Recorder's certificate <small>PEM, or from the QR code</small></label>
<textarea id="ca" name="ca" spellcheck="false"></textarea>
<label for="update_key">Update key <small>if there is one</small></label>
<textarea id="update_key" name="update_key" spellcheck="false"></textarea>
<label for="mode">When it records</label><select id="mode" name="mode">
<option value="motion">When something moves</option><option value="always">Always</option></select>
<button>Save and connect</button></form>
<script>
function fill(){const given=new URLSearchParams(location.hash.slice(1));
for(const [name,value] of given){const field=document.getElementById(name);
if(field&&field.name===name&&value)field.value=value;}
if(location.hash)history.replaceState(null,"",location.pathname);}
fill();addEventListener("hashchange",fill);
const form=document.getElementById("form"),answer=document.getElementById("answer");
form.addEventListener("submit",async event=>{event.preventDefault();
try{const reply=await fetch("/",{method:"POST",body:new URLSearchParams(new FormData(form))});
const page=new DOMParser().parseFromString(await reply.text(),"text/html");
answer.replaceChildren(page.querySelector("h1"),page.querySelector("ul"));
if(reply.ok){form.remove();document.querySelector("body>h1").remove();}}catch{answer.textContent="The camera did not answer. Try again.";}
scrollTo(0,0);});
</script></html>)";

void PageWriter::put(char c) {
  if (size_ + 1 >= capacity_) {
    has_overflowed_ = true;
    return;
  }
  into_[size_++] = c;
  into_[size_] = '\0';
}

void PageWriter::put(const char* text) {
  for (; *text != '\0'; ++text) put(*text);
}

void PageWriter::put_escaped(const char* text) {
  for (; *text != '\0'; ++text) {
    switch (*text) {
      case '&': put("&amp;"); break;
      case '<': put("&lt;"); break;
      case '>': put("&gt;"); break;
      case '"': put("&quot;"); break;
      case '\'': put("&#39;"); break;
      default: put(*text);
    }
  }
}

void put_networks(PageWriter& page, const Network* networks, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const char* at = networks[i].ssid;
    const char* end = at + strlen(at);
    bool is_text = at < end;
    while (is_text && at < end) {
      uint32_t character = 0;
      at = decode_utf8(at, end, &character);
      is_text = at != nullptr && character >= 0x20 && character != 0x7F;
    }
    if (!is_text) continue;
    page.put("<option value=\"");
    page.put_escaped(networks[i].ssid);
    page.put("\">");
  }
}

}  // namespace roost
