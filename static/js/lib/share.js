// A link to one clip for somebody without an account: how long it works, shown once, and taken back when wanted.

import { get, post, remove } from "./api.js";
import { titleOf } from "./clips.js";
import { announce, button, copyable, field, h, icon, notice, nothing, openDialog, select, toast } from "./dom.js";
import { ago, exact } from "./time.js";

const LENGTHS = [[1, "1 hour"], [24, "1 day"], [7 * 24, "1 week"], [30 * 24, "30 days"]];
const USUAL_HOURS = 24;

const rowsOf = (answer) => answer.results ?? answer;

/** `isAtOnce`: the link is made and copied without another question. */
export function openShare(clip, { isAtOnce = false } = {}) {
  const base = `clips/${clip.id}/shares/`;
  const made = h("div", { class: "fields", role: "status" });
  const list = h("div");
  const length = select(LENGTHS, USUAL_HOURS);
  const create = button("Make a link", { kind: isAtOnce ? "" : "is-primary", icon: "link", onclick: () => make() });
  const box = openDialog(`Send “${titleOf(clip)}”`, [
    h("p", { class: "muted" }, "Whoever has the link can watch and download this one clip without logging in, as long as they can reach this recorder."),
    made, h("div", { class: "share-form" }, field("Works for", length), create), list], { wide: true });

  async function make() {
    create.disabled = true;
    try {
      const { url } = await post(base, { hours: Number(length.querySelector("select").value) });
      await offer(url);
      await showAll();
    } catch (error) { made.replaceChildren(notice(error.message, { kind: "is-bad" })); }
    create.disabled = false;
    if (!box.contains(document.activeElement)) (made.querySelector("button") ?? create).focus(); // a disabled button loses the focus
  }

  async function offer(url) {
    const link = new URL(url, location.origin).href;
    let isCopied = false;
    try { await navigator.clipboard.writeText(link); isCopied = true; } catch { /* no permission: the button beside it copies */ }
    const send = navigator.share && button("Send to…", { icon: "share", onclick: () => navigator.share({ url: link, title: titleOf(clip) }).catch(() => {}) });
    made.replaceChildren(notice(isCopied ? "Copied. It is shown only now; make another one when it is lost." : "Copy it now: it is shown only this once.", { kind: "is-info", icon: isCopied ? "check" : "info" }),
      copyable(link), ...(send ? [h("div", {}, send)] : []));
    if (isCopied) announce("The link is copied");
  }

  async function showAll() {
    const shares = rowsOf(await get(base));
    list.replaceChildren(shares.length ? h("div", {}, h("h3", {}, shares.length === 1 ? "One link works" : `${shares.length} links work`),
      h("ul", { class: "shares" }, shares.map(row))) : nothing("No link to this clip works now."));
  }

  function row(share) {
    return h("li", {}, icon("link"), h("span", { class: "grow" }, `until ${exact(Date.parse(share.expires_at))}`, h("span", { class: "muted" }, ` · made ${ago(Date.parse(share.created_at))}`)),
      button("Take back", { kind: "is-quiet is-danger", onclick: () => takeBack(share) }));
  }

  async function takeBack(share) {
    try {
      await remove(`${base}${share.id}/`);
      made.replaceChildren();
      toast("That link works no longer");
    } catch (error) { toast(error.message, "bad"); }
    await showAll();
  }

  showAll().catch((error) => list.replaceChildren(notice(error.message, { kind: "is-bad" })));
  if (isAtOnce) make();
  else create.focus();
  return box;
}
