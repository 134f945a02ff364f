// What a camera has to know, in the three forms in which it can be told: two codes for a phone, a link, lines to type.
// Everything here happens in the browser; the Wi-Fi password is in what is returned and goes nowhere else.

/** Where a camera without a Wi-Fi answers, in a network of its own. */
const PORTAL = "http://192.168.4.1/";
// A SubjectPublicKeyInfo of P-256 with its point uncompressed: 26 bytes that are always the same, then 04 and 64 more.
const P256_HEAD = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
const P256_LETTERS = 124;

const bytesIn = (text) => new TextEncoder().encode(text).length;

/** What stands between the lines of each PEM block called `name`, as base64 without line ends. */
function blocksOf(pem, name) {
  return [...pem.matchAll(new RegExp(`-----BEGIN ${name}-----([A-Za-z0-9+/=\\s]+)-----END ${name}-----`, "g"))].map(([, text]) => text.replace(/\s/g, ""));
}

const urlSafe = (base64) => base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
const linesOf = (base64, name) => [`-----BEGIN ${name}-----`, ...(base64.match(/.{1,64}/g) ?? []), `-----END ${name}-----`];

/** The topmost certificate of what the recorder serves as its authority: it outlives those below it. Base64 of its DER. */
export function authorityOf(pem) {
  const found = blocksOf(pem, "CERTIFICATE").at(-1);
  if (!found) throw new Error("The recorder's certificate could not be read.");
  return found;
}

/** Base64 of the DER of an update key, "" for none. Throws what to say about anything else. */
export function updateKeyOf(text) {
  if (!text.trim()) return "";
  if (text.includes("PRIVATE KEY")) throw new Error("This is the private half, which signs updates. Keep it away from here; the camera needs the public one.");
  const [key] = blocksOf(text, "PUBLIC KEY");
  if (!key?.startsWith(P256_HEAD) || key.length !== P256_LETTERS) throw new Error("This is no public key of the kind that signs updates (ECDSA P-256, as PEM).");
  return key;
}

/** `{field: what is wrong}` of what a person typed; empty when it can be used. */
export function complaints({ ssid, password, isFixed, server, port, ending }) {
  const wrong = {};
  if (bytesIn(ssid) > 32) wrong.ssid = "A Wi-Fi name has at most 32 bytes.";
  if (password && (bytesIn(password) < 8 || bytesIn(password) > 64)) wrong.password = "A Wi-Fi password has 8 to 63 characters. Leave it empty for an open network.";
  if (isFixed && !/^[A-Za-z0-9.-]{1,63}$/.test(server)) wrong.server = "An IPv4 address or a host name, such as 192.168.1.10.";
  if (isFixed && !(/^\d{1,5}$/.test(port) && port >= 1 && port <= 65535)) wrong.port = "A number from 1 to 65535.";
  if (ending && !endingOf(ending)) wrong.ending = "Six of the characters 0–9 and A–F, the end of its hardware address.";
  return wrong;
}

/** The last six hexadecimal digits of whatever was pasted (`Roost-A1B2C3`, a whole hardware address), "" if there are none. */
export function endingOf(text) {
  const digits = text.replace(/^roost-/i, "").replace(/[\s:-]/g, "").toUpperCase();
  return /^(?:[0-9A-F]{6})?[0-9A-F]{6}$/.test(digits) ? digits.slice(-6) : "";
}

/** Scanned, it joins the camera's own network. */
export const joinCode = (ending) => `WIFI:T:nopass;S:Roost-${endingOf(ending)};;`;

/** Opened in that network, it fills the camera's form; what follows # never leaves the phone on its way there. */
export function portalAddress({ ssid, password, isFixed, server, port, authority, updateKey }) {
  const told = { ssid, password, ...(isFixed ? { server, port } : {}), ca: urlSafe(authority), update_key: urlSafe(updateKey) };
  return `${PORTAL}#${Object.entries(told).filter(([, text]) => text).map(([name, text]) => `${name}=${encodeURIComponent(text)}`).join("&")}`;
}

/** A word of the serial line, or null where its quoting has no way to say it. */
function word(text) {
  if (!text.includes('"')) return `"${text}"`;
  return /^"|\s/.test(text) ? null : text;
}

/** The same as lines for the camera's serial console; null when the Wi-Fi's name or password cannot be said there. */
export function serialLines({ ssid, password, isFixed, server, port, authority, updateKey }) {
  const words = [ssid, password].filter(Boolean).map(word);
  if (words.includes(null)) return null;
  return [
    ["wifi", ...words].join(" "),
    isFixed ? `server ${server} ${port}` : "server auto",
    "ca <<PEM", ...linesOf(authority, "CERTIFICATE"), "PEM",
    ...(updateKey ? ["update-key <<PEM", ...linesOf(updateKey, "PUBLIC KEY"), "PEM"] : []),
  ].join("\n");
}
