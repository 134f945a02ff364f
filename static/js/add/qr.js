// A QR code as SVG, dark on white in both themes: many readers take no other.

import { s } from "../lib/dom.js";

const QUIET = 4; // modules of white around it, as ISO/IEC 18004 asks
/** The most that the largest code holds at the lowest error correction. */
export const MOST_BYTES = 2953;

let qrModule;
const loadQr = () => (qrModule ??= import(document.body.dataset.qr));

/**
 * The code of `text` (ASCII, at most MOST_BYTES). The lowest error correction: nothing covers a screen, and the fewer and
 * larger the modules are, the better a phone reads them.
 */
export async function qrCode(text, label) {
  const { default: makeCode } = await loadQr();
  const code = makeCode(0, "L");
  code.addData(text, "Byte");
  code.make();
  const count = code.getModuleCount();
  const side = count + 2 * QUIET;
  let path = "";
  for (let y = 0; y < count; y += 1) {
    for (let x = 0; x < count; x += 1) {
      if (!code.isDark(y, x)) continue;
      const start = x;
      while (x + 1 < count && code.isDark(y, x + 1)) x += 1;
      path += `M${start + QUIET} ${y + QUIET}h${x - start + 1}v1h${start - x - 1}z`;
    }
  }
  return s("svg", { class: "qr", viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    s("rect", { width: side, height: side, fill: "#fff" }), s("path", { d: path, fill: "#000" }));
}
