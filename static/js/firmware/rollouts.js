// Roll-outs: how far each is, stage by stage, and what a person may do about it.

import { post } from "../lib/api.js";
import { button, confirmed, h, nothing, openDialog } from "../lib/dom.js";
import { ago, duration, exact, MINUTE, sinceWhen } from "../lib/time.js";

const BROKEN = ["failed", "rolled_back", "lost"];
const RETRIED = ["failed", "lost"]; // one that went back would only do that again
const STATES = { running: ["good", "Under way"], paused: ["attention", "Paused"], finished: ["good", "Finished"], stopped: ["off", "Stopped"] };
const WITHOUT_TIME = ["waiting", "other_key"];

export const isUnderWay = (rollout) => ["running", "paused"].includes(rollout.state);
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const stateMark = ({ state }) => h("span", { class: `state is-${STATES[state][0]}` }, STATES[state][1]);
const kindOf = ({ state }) => (state === "updated" ? "is-good" : BROKEN.includes(state) ? "is-attention" : state === "other_key" ? "is-off" : "");

function stageWords(rollout, index) {
  if (rollout.state === "finished" || index < rollout.stage) return "Done";
  if (index > rollout.stage) return rollout.state === "stopped" ? "Not reached" : "Later";
  if (rollout.state !== "running") return STATES[rollout.state][1];
  return rollout.next_stage_at && index < rollout.stages.length - 1 ? `All well; the next stage begins ${sinceWhen(Date.parse(rollout.next_stage_at))}` : "Under way";
}

function stageItem(rollout, index) {
  const rows = rollout.devices.filter((row) => row.stage === index);
  const updated = rows.filter((row) => row.state === "updated").length;
  const soak = rollout.stages[index].soak_minutes;
  const isDone = rollout.state === "finished" || index < rollout.stage;
  return h("li", { class: isDone ? "is-done" : isUnderWay(rollout) && index === rollout.stage ? "is-now" : "" },
    h("div", {},
      h("h3", {}, capital(rollout.stage_words[index]), soak ? `, then watched for ${duration(soak * MINUTE)}` : ""),
      h("p", { class: "hint" }, [stageWords(rollout, index), rows.length ? `${updated} of ${rows.length} updated` : "no camera of its own"].join(" · ")),
      rows.length > 0 && h("ul", { class: "stage-cameras" }, rows.map((row) => h("li", {},
        h("a", { href: `/cameras/${row.device}` }, row.name),
        h("span", { class: `state ${kindOf(row)}` }, row.sentence),
        !WITHOUT_TIME.includes(row.state) && h("time", { dateTime: row.at, title: exact(Date.parse(row.at)) }, sinceWhen(Date.parse(row.at))))))));
}

const stageList = (rollout) => h("ol", { class: "steps stages" }, rollout.stages.map((_, index) => stageItem(rollout, index)));
const titleOf = (rollout) => `${rollout.version} for ${rollout.board}`;

export function rolloutCard(rollout, { act }) {
  const call = (what, done, body = {}) => act(() => post(`firmware/rollouts/${rollout.id}/${what}/`, body), done);
  const stop = async () => {
    const text = "No other camera is told of it. Cameras that have it keep it; a camera that downloads it now may still finish.";
    if (await confirmed(`Stop rolling out ${rollout.version}?`, text, "Stop it", { danger: true })) call("stop", "The roll-out is stopped");
  };
  const has = (states) => rollout.devices.some((row) => states.includes(row.state));
  const goOn = has(BROKEN) ? ["Go on without them", "The roll-out goes on without them"] : ["Resume", "The roll-out goes on"];
  const resume = [
    has(RETRIED) && button("Try those again", { icon: "restart", onclick: () => call("resume", "The cameras that failed or were lost are tried again", { retry: true }) }),
    button(goOn[0], { kind: "is-primary", icon: "play", onclick: () => call("resume", goOn[1]) })];
  return h("section", { class: "card", "aria-label": `Roll-out of ${titleOf(rollout)}` },
    h("div", { class: "spread" }, h("h2", {}, titleOf(rollout)), stateMark(rollout)),
    h("p", { class: "state-line" }, rollout.sentence),
    stageList(rollout),
    h("div", { class: "row" },
      rollout.state === "paused" ? resume : button("Pause", { icon: "pause", onclick: () => call("pause", "The roll-out is paused; no other camera is told") }),
      button("Stop", { kind: "is-danger", icon: "close", onclick: stop })),
    h("p", { class: "hint", title: exact(Date.parse(rollout.started_at)) }, `Started ${ago(Date.parse(rollout.started_at))}${rollout.started_by ? ` by ${rollout.started_by}` : ""}.`));
}

export function pastCard(rollouts) {
  const rows = rollouts.map((rollout) => h("tr", {},
    h("td", { class: "name" }, titleOf(rollout)),
    h("td", {}, stateMark(rollout)),
    h("td", { class: "wide" }, rollout.sentence),
    h("td", { class: "actions" }, button("Details", { kind: "is-quiet", "aria-label": `Details of ${titleOf(rollout)}`, onclick: () => openDialog(titleOf(rollout), stageList(rollout), { wide: true }) }))));
  return h("section", { class: "card is-flush", "aria-label": "Earlier roll-outs" }, h("div", { class: "card-head" }, h("h2", {}, "Earlier roll-outs")),
    rows.length ? h("table", { class: "table is-cards" }, h("tbody", {}, rows)) : nothing("Nothing was rolled out yet."));
}
