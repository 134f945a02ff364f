// One capture, large: shown, downloaded, deleted, used as its camera's picture, analysed.

import { get, post, remove } from "../lib/api.js";
import { SELF_TEST, cameraOf, canBeRetaken, hasAdvice, isOver, isReady, isVideo, kindOf, momentOf, progressOf, sizeOf, titleOf } from "../lib/captures.js";
import { button, h, icon, iconButton, iconLink, toast } from "../lib/dom.js";
import { bytes, duration, exact } from "../lib/time.js";
import { Viewer, factList } from "../lib/viewer.js";
import { Analyses } from "./analysis.js";

const CLIENTS = { stills: "a client of the camera-capture server", node: "a client of the camera node" };
const ORIGINS = { camera: "Taken by the camera", stream: "From what the camera streams" };

export class CaptureViewer extends Viewer {
  isOver = isOver;
  titleOf = titleOf;
  progressOf = progressOf;
  isDeletable = () => true;

  /** Besides `Viewer`'s: `onCancel(capture)`, `onRetry(capture)`. */
  constructor(options) {
    super("capture", options);
    Object.assign(this, { onCancel: options.onCancel, onRetry: options.onRetry });
    this.analyses = new Analyses(options);
  }

  hide() {
    super.hide();
    this.analyses.stop();
    this.analysed = "";
  }

  // --- the picture

  stageKey(capture) { return isReady(capture) ? capture.file_url : `${capture.id} ${isOver(capture) ? capture.sentence : ""}`; }

  stage(capture) {
    if (isReady(capture)) return [this.#shown(capture)];
    if (!isOver(capture)) {
      return [this.waiting(h("p", {}, "You may leave this page; it is taken all the same."), this.isOperator && button("Cancel", { onclick: () => this.onCancel(this.item) }))];
    }
    const isFailed = capture.state === "failed";
    return [message(isFailed ? "attention" : "close", isFailed ? "It could not be taken" : "Cancelled", capture.sentence,
      hasAdvice(capture) && h("a", { href: SELF_TEST }, "What to do"),
      this.isOperator && canBeRetaken(capture) && button(isFailed ? "Try again" : "Take it after all", { icon: "restart", onclick: () => this.onRetry(this.item) }))];
  }

  #shown(capture) {
    if (capture.kind === "jpg") return this.#picture(capture, capture.file_url);
    if (capture.kind === "mp4") return this.#video(capture);
    const words = capture.kind === "dng" ? `Raw picture, ${bytes(capture.size_bytes)}: this is the small picture of it. Download it to develop it.`
      : `Video without a container, ${bytes(capture.size_bytes)}: browsers cannot play it. Download it for VLC or a program.`;
    const caption = h("p", { class: "capture-caption" }, icon("info"), words);
    if (!capture.preview_url) return message(isVideo(capture) ? "clips" : "captures", "There is no small picture of it", words);
    return h("figure", { class: "capture-figure" }, this.#picture(capture, capture.preview_url), caption);
  }

  #picture(capture, src) {
    const picture = h("img", { class: "viewer-picture", src, alt: `${kindOf(capture)} of ${cameraOf(capture)}, ${exact(momentOf(capture))}` });
    ratio(picture, capture);
    picture.addEventListener("error", () => picture.replaceWith(message("attention", "This picture cannot be shown", "Its file is missing or damaged; downloading it says more.")), { once: true });
    return picture;
  }

  #video(capture) {
    const video = h("video", { src: capture.file_url, poster: capture.preview_url, controls: true, playsInline: true, preload: "auto", "aria-label": `Video of ${titleOf(capture)}` });
    ratio(video, capture);
    video.addEventListener("error", () => video.replaceWith(message("attention", "This video cannot be played here", "Download it and try another player.")), { once: true });
    video.play().catch(() => {}); // a page opened by its address has no click yet; the button is there
    return video;
  }

  // --- words and what may be done

  side(capture) {
    const analysis = isReady(capture) && this.analyses.element;
    if (analysis && this.analysed !== capture.id) {
      this.analysed = capture.id;
      this.analyses.show(capture);
    }
    return [this.#actions(capture), factList(facts(capture)), analysis];
  }

  #actions(capture) {
    const canStand = this.isOperator && isReady(capture) && capture.device && capture.preview_url;
    const actions = [
      isReady(capture) && h("a", { class: "button is-primary", href: `${capture.file_url}?download=1`, download: "" }, icon("download"), "Download"),
      capture.device && iconLink("See it on the timeline", "timeline", `/timeline?camera=${capture.device}&at=${Date.parse(capture.started_at ?? capture.created_at)}&view=600`),
      this.isOperator && iconButton("Delete", "delete", { onclick: () => this.onDelete(this.item) }),
      canStand && button(capture.is_camera_picture ? "Is the camera's picture" : "Use as the camera's picture", { icon: capture.is_camera_picture ? "check" : "camera",
        kind: capture.is_camera_picture ? "is-on" : "", "aria-pressed": String(capture.is_camera_picture),
        title: `Shown while ${cameraOf(capture)} sends nothing`, onclick: () => this.#stand() }),
    ].filter(Boolean);
    return actions.length ? h("div", { class: "row" }, actions) : null;
  }

  /** Whether it stands for its camera; of the one that did before the gallery hears at its next look. */
  async #stand() {
    const capture = this.item;
    const path = `captures/${capture.id}/use-as-picture/`;
    try {
      await (capture.is_camera_picture ? remove(path) : post(path));
      this.onChange(await get(`captures/${capture.id}/`));
      toast(capture.is_camera_picture ? `${cameraOf(capture)} has no picture of its own any more` : `Shown from now on while ${cameraOf(capture)} sends nothing`);
    } catch (error) { toast(error.message, "bad"); }
  }
}

function ratio(element, capture) {
  if (capture.width && capture.height) element.style.setProperty("--ratio", String(capture.width / capture.height));
}

function message(iconName, headline, text, ...more) {
  return h("div", { class: "viewer-message" }, icon(iconName), h("strong", {}, headline), h("p", {}, text), ...more);
}

function facts(capture) {
  const ready = isReady(capture);
  const who = [capture.created_by, CLIENTS[capture.system]].filter(Boolean).join(", ");
  return [
    ["Kind", kindOf(capture)],
    ["Camera", capture.device ? h("a", { href: `/cameras/${capture.device}` }, cameraOf(capture)) : cameraOf(capture)],
    [ready ? "Taken" : "Asked for", exact(Date.parse((isVideo(capture) ? capture.started_at : capture.finished_at) ?? capture.created_at))],
    ready && sizeOf(capture) && ["Picture", sizeOf(capture)],
    isVideo(capture) && ["Length", duration(capture.duration_ms)],
    ready && ["Size", bytes(capture.size_bytes)],
    capture.origin && ["How", ORIGINS[capture.origin]],
    who && ["Asked by", who],
    capture.filename && ["File", h("span", { class: "mono" }, capture.filename)],
  ];
}
