// How a camera gets into the recorder: three steps for an ESP32-CAM, one click for a simulated one.

import { all, get, mayOperate, put } from "./api.js";
import { refreshCameras, watchCameras } from "./cameras.js";
import { button, copyable, h, icon, notice } from "./dom.js";

const TOO_LONG_MS = 30_000;

/** The address a camera reaches, not the name this browser happens to use. */
async function recorderAddress() {
  try {
    const { addresses } = await get("system/");
    return addresses[0] ?? location.origin;
  } catch { return location.origin; } // viewers may not ask; what they typed works as well
}

function steps(address) {
  const { hostname, port } = new URL(address);
  const finds = h("p", { class: "hint" }, "With mDNS on the same network the camera finds the recorder by itself (", h("code", {}, "_mycam-server._tcp"), "). Else put in: ");
  return h("ol", { class: "steps" },
    h("li", {}, h("div", {},
      h("p", {}, "Put this recorder's certificate into the camera's sketch, so that it talks to no one else."),
      h("p", { class: "row" }, h("a", { class: "button", href: "/ca.pem", download: "roost-ca.pem" }, icon("download"), "Certificate")))),
    h("li", {}, h("div", {}, h("p", {}, "Flash the sketch with the name and password of your Wi-Fi."), finds, copyable(`${hostname}:${port || 443}`))),
    h("li", {}, h("p", {}, "Switch it on. It registers itself and appears here, usually within ten seconds.")));
}

/** Of the older sketch, which is told everything before it is flashed. */
export const sketchSteps = async () => steps(await recorderAddress());

export async function esp32Card() {
  return h("section", { class: "card" }, h("h2", {}, "Add an ESP32-CAM"), await sketchSteps(),
    h("p", { class: "row" }, h("a", { class: "button", href: "/cameras/add?kind=esp32" }, icon("chip"), "With Roost's firmware: by phone")));
}

/** Follows a simulated camera from the click to its first frame; `onReady` when it streams. */
class Progress {
  #steps = [
    ["Asked the recorder to start it", () => true],
    ["The camera has registered", (camera) => Boolean(camera)],
    ["It is connected", (camera) => camera?.is_connected || camera?.presence === "streaming"],
    ["The picture is there", (camera) => camera?.presence === "streaming"],
  ];

  /** `before`: the simulated cameras there were; one that streamed already is not the one that starts. */
  constructor(before, onReady) {
    this.element = h("ul", { class: "progress", role: "status" });
    this.startedAt = Date.now();
    this.show(null);
    const knownIds = new Set(before.map((one) => one.id));
    const busyIds = new Set(before.filter((one) => one.presence === "streaming").map((one) => one.id));
    const timer = setInterval(refreshCameras, 1000);
    const stop = watchCameras((cameras) => {
      const candidates = (cameras ?? []).filter((one) => one.kind === "simulated" && !busyIds.has(one.id));
      const camera = candidates.find((one) => one.presence === "streaming") ?? candidates.find((one) => one.is_connected) ?? candidates.find((one) => !knownIds.has(one.id));
      this.show(camera);
      if (camera?.presence !== "streaming" || this.isOver) return;
      this.isOver = true;
      clearInterval(timer);
      queueMicrotask(() => { stop(); onReady(camera); }); // `watchCameras` may call before it has returned
    });
  }

  show(camera) {
    const reached = this.#steps.findLastIndex(([, isDone]) => isDone(camera));
    const items = this.#steps.map(([text], index) => {
      const mark = index <= reached ? icon("check") : index === reached + 1 ? h("span", { class: "spinner" }) : h("span", { class: "dot" });
      return h("li", { class: index <= reached ? "is-done" : "" }, mark, text);
    });
    this.element.replaceChildren(...items);
    if (Date.now() - this.startedAt > TOO_LONG_MS) {
      this.element.append(h("li", {}, notice(["This takes longer than it should. The ", h("a", { href: "/system" }, "system page"), " says what its process is doing."])));
    }
  }
}

export async function simulatedCard({ onReady = () => {} } = {}) {
  const card = h("section", { class: "card" },
    h("h2", {}, "No camera at hand?"),
    h("p", { class: "muted" }, "A simulated camera speaks the same language as a real one, from registration to recording. Remove it whenever you like."));
  if (!(await mayOperate())) {
    card.append(notice("Your account may watch, not start one.", { kind: "is-info", icon: "info" }));
    return card;
  }
  const start = button("Start a simulated camera", { kind: "is-primary", icon: "plus", onclick: async () => {
    start.disabled = true;
    card.querySelector(".notice")?.remove();
    try {
      const [{ count }, before] = await Promise.all([get("simulated-cameras/"), all("devices/", { kind: "simulated" })]);
      await put("simulated-cameras/", { count: count + 1 });
      const progress = new Progress(before, onReady);
      start.closest("p").replaceWith(progress.element);
    } catch (error) {
      start.disabled = false;
      card.append(notice(error.message, { kind: "is-bad" }));
    }
  } });
  card.append(h("p", {}, start));
  return card;
}
