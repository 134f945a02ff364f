// One clip, large: plays, names, notes, locks, sends, deletes. Its address is /clips/<id>.

import { change, isOver, momentOf, progressOf, retry, titleOf, windowOf } from "../lib/clips.js";
import { announce, button, field, h, icon, iconButton, iconLink, toast } from "../lib/dom.js";
import { openShare } from "../lib/share.js";
import { SECOND, bytes, duration, exact } from "../lib/time.js";
import { Viewer, factList } from "../lib/viewer.js";

const STEP_S = 5;

export class ClipViewer extends Viewer {
  isOver = isOver;
  titleOf = titleOf;
  progressOf = progressOf;

  constructor(options) { super("clip", options); }

  isDeletable(clip) { return !clip.is_locked; }

  hide() {
    super.hide();
    this.noteOf = "";
  }

  // --- the picture

  stageKey(clip) {
    if (clip.state === "ready") return clip.file_url;
    return clip.state === "failed" ? `failed ${clip.sentence}` : clip.id;
  }

  stage(clip) {
    if (clip.state === "ready") return [this.#video(clip)];
    if (clip.state !== "failed") return [this.waiting(h("p", { class: "muted" }, "You may leave this page; the clip is made all the same."))];
    return [h("div", { class: "viewer-message" }, icon("attention"), h("strong", {}, "This clip could not be made"), h("p", {}, clip.sentence || clip.reason),
      this.isOperator && button("Try again", { icon: "restart", onclick: () => this.#tryAgain() }))];
  }

  #video(clip) {
    const video = h("video", { src: clip.file_url, poster: clip.thumbnail_url ?? "", controls: true, playsInline: true, preload: "auto", "aria-label": `Video of ${titleOf(clip)}` });
    if (clip.width) video.style.setProperty("--ratio", String(clip.width / clip.height));
    video.addEventListener("error", () => video.replaceWith(this.#cannotPlay(clip)), { once: true });
    video.play().catch(() => {}); // a page opened by its address has no click yet; the button is there
    return video;
  }

  #cannotPlay(clip) {
    const isHevc = /^(hvc1|hev1|hevc)/.test(clip.codecs ?? "");
    return h("div", { class: "viewer-message" }, icon("attention"), h("strong", {}, isHevc ? "This browser cannot play H.265" : "This clip cannot be played here"),
      h("p", {}, isHevc ? "The clip itself is whole. Safari, Edge with the HEVC extension and VLC play it." : "Download it and try another player; the recording it was taken from is untouched."),
      h("a", { class: "button", href: `${clip.file_url}?download=1`, download: "" }, icon("download"), "Download"));
  }

  async #tryAgain() {
    try { this.onChange((await retry(this.item)) ?? { ...this.item, state: "pending" }); } catch (error) { toast(error.message, "bad"); }
  }

  // --- words and what may be done

  drawTitle() {
    super.drawTitle();
    if (this.isOperator) this.title.append(iconButton("Rename (n)", "edit", { onclick: () => this.rename() }));
  }

  rename() {
    if (!this.isOperator || this.title.querySelector("form")) return;
    const clip = this.item;
    const input = h("input", { class: "input", value: clip.name, maxLength: 120, required: true, "aria-label": "Name of the clip" });
    const form = h("form", { onsubmit: async (event) => {
      event.preventDefault();
      const answer = await this.#save({ name: input.value.trim() });
      if (!answer) { input.setAttribute("aria-invalid", "true"); return; }
      this.drawTitle();
      toast(`Named ${answer.name}`);
      this.title.querySelector("h1").focus();
    } }, input, button("Save", { kind: "is-primary", type: "submit" }), button("Cancel", { onclick: () => this.drawTitle() }));
    form.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); this.drawTitle(); this.title.querySelector("h1").focus(); } });
    this.title.replaceChildren(form);
    input.select();
  }

  async #save(fields) {
    try {
      const answer = await change(this.item, fields);
      this.onChange(answer);
      return answer;
    } catch (error) { toast(error.message, "bad"); return null; }
  }

  async toggleLock() {
    if (!this.isOperator) return;
    const answer = await this.#save({ is_locked: !this.item.is_locked });
    if (answer) toast(answer.is_locked ? "Locked: kept until you unlock it" : "Unlocked");
  }

  side(clip) {
    return [this.#actions(clip), clip.state === "ready" && clip.reason && h("p", { class: "small" }, clip.reason), factList(facts(clip)), this.#note(clip)];
  }

  #actions(clip) {
    const isReady = clip.state === "ready";
    return h("div", { class: "row" },
      isReady && h("a", { class: "button is-primary", href: `${clip.file_url}?download=1`, download: "" }, icon("download"), "Download"),
      isReady && this.isOperator && button("Send", { icon: "share", onclick: () => openShare(clip) }),
      clip.device && iconLink("See it on the timeline", "timeline", `/timeline?camera=${clip.device}&at=${clip.actual_start_ms ?? clip.start_ms}&view=600`),
      this.isOperator && iconButton(clip.is_locked ? "Unlock (l)" : "Lock, so that it is never deleted by itself (l)", clip.is_locked ? "lock" : "unlock",
        { kind: clip.is_locked ? "is-on" : "is-quiet", "aria-pressed": String(clip.is_locked), onclick: () => this.toggleLock() }),
      this.isOperator && iconButton(clip.is_locked ? "Delete: unlock it first" : "Delete", "delete", { disabled: clip.is_locked, onclick: () => this.onDelete(this.item) }));
  }

  /** One field for as long as the clip is shown: what was said about saving stays beside it. */
  #note(clip) {
    if (!this.isOperator) return clip.note && h("p", { class: "viewer-note" }, clip.note);
    if (this.noteOf === clip.id) return this.note;
    this.noteOf = clip.id;
    const status = h("span", { class: "hint", role: "status" });
    const text = h("textarea", { class: "input", rows: 3, maxLength: 4000, value: clip.note ?? "", placeholder: "What happened here" });
    text.addEventListener("change", async () => {
      status.textContent = (await this.#save({ note: text.value.trim() })) ? "Saved" : "Not saved";
    });
    this.note = field("Note", text, { value: status });
    return this.note;
  }

  /** With shift the arrows move within the clip. */
  get keys() {
    return {
      ArrowLeft: (event) => (event.shiftKey ? jump(this.video, -STEP_S) : this.onStep(-1)),
      ArrowRight: (event) => (event.shiftKey ? jump(this.video, STEP_S) : this.onStep(1)),
      l: () => this.toggleLock(),
      n: () => this.rename(),
    };
  }
}

function jump(video, seconds) {
  if (!video) return;
  video.currentTime = Math.min(Math.max(video.currentTime + seconds, 0), video.duration || 0);
  announce(duration(video.currentTime * SECOND));
}

function facts(clip) {
  const seen = [clip.width && `${clip.width} × ${clip.height}`, clip.has_audio && "with sound"].filter(Boolean).join(", ");
  return [
    ["Camera", clip.device ? h("a", { href: `/cameras/${clip.device}` }, clip.device_name) : clip.device_name],
    ["Moment", exact(momentOf(clip))],
    ["Window", windowOf(clip)],
    clip.state === "ready" && clip.actual_start_ms && ["Shows", `${exact(clip.actual_start_ms)}, ${duration(clip.duration_ms)}`],
    clip.size_bytes && ["Size", bytes(clip.size_bytes)],
    seen && ["Picture", seen],
    clip.created_by && ["Kept by", clip.created_by],
  ];
}
