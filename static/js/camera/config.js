// The sensor's six settings. Each change is sent at once; what became of it is said next to the heading.

import { patch } from "../lib/api.js";
import { field, h, select } from "../lib/dom.js";
import { rateControls } from "./framerates.js";

const RESOLUTIONS = [
  ["QQVGA", "160 × 120"], ["QCIF", "176 × 144"], ["HQVGA", "240 × 176"], ["QVGA", "320 × 240"], ["CIF", "400 × 296"],
  ["VGA", "640 × 480"], ["SVGA", "800 × 600"], ["XGA", "1024 × 768"], ["SXGA", "1280 × 1024"], ["UXGA", "1600 × 1200"],
];
const SETTLED_MS = 300; // a slider moved by the keyboard fires once a step

export function configForm(camera) {
  const status = h("span", { class: "hint", role: "status" });
  const controls = h("div", { class: "config" });
  let config = camera.config;
  let rates = camera.frame_rates;
  let timer = 0;

  /** `change` of the six values, or whatever else of the camera is set here. */
  async function send(change, other = { config: change }) {
    status.className = "hint";
    status.textContent = "Sending…";
    try {
      const answer = await patch(`devices/${camera.id}/`, other);
      ({ config, frame_rates: rates } = answer);
      status.textContent = answer.is_connected ? "Applied: the camera was told." : "Kept: the camera gets it when it connects next.";
    } catch (error) {
      status.className = "error";
      status.textContent = `Not changed. ${error.message}`;
      draw();
    }
  }

  const slider = (key, label, { min, max, hint, say = String }) => {
    const value = h("output", { class: "muted" }, say(config[key]));
    const input = h("input", { class: "slider", type: "range", min, max, step: 1, value: config[key],
      oninput: () => { value.textContent = say(Number(input.value)); },
      onchange: () => { clearTimeout(timer); timer = setTimeout(() => send({ [key]: Number(input.value) }), SETTLED_MS); } });
    return field(label, input, { hint, value });
  };
  const signed = (number) => (number > 0 ? `+${number}` : String(number).replace("-", "−"));

  function draw() {
    controls.replaceChildren(...[
      field("Picture size", select(RESOLUTIONS.map(([key, size]) => [key, `${size} (${key})`]), config.resolution,
        { onchange: (event) => send({ resolution: event.target.value }) })),
      rates ? null : slider("framerate", "Pictures a second", { min: 1, max: 30, hint: "Older firmware sends ten whatever this says." }),
      slider("quality", "JPEG compression", { min: 4, max: 63, hint: "Low numbers are sharper and larger." }),
      slider("brightness", "Brightness", { min: -2, max: 2, say: signed }),
      slider("contrast", "Contrast", { min: -2, max: 2, say: signed }),
      slider("saturation", "Saturation", { min: -2, max: 2, say: signed }),
      rateControls(rates, config.framerate, async (wanted) => {
        const isOther = Boolean(wanted) !== Boolean(rates);
        await send(null, { frame_rates: wanted });
        if (isOther) draw();
      }),
    ].filter(Boolean));
  }

  draw();
  return h("section", { class: "card", "aria-label": "Camera settings" }, h("div", { class: "spread" }, h("h2", {}, "Camera settings"), status), controls);
}
