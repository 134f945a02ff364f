// Keeps one to four players at the same wall time, over gaps that only some of them have.

const TICK_MS = 100;
const DRIFT_MS = 700;
const JUMP_MS = 3000; // a player that moved further than this between ticks has crossed a gap

export class Conductor {
  #players = []; #at = 0; #isPlaying = false; #speed = 1; #onTime; #onEnd; #isHeld = false;

  /** `onTime(ms)` as time passes; `onEnd()` when nothing recorded follows. */
  constructor({ onTime, onEnd }) {
    this.#onTime = onTime;
    this.#onEnd = onEnd;
    setInterval(() => this.#tick(), TICK_MS);
  }

  get at() { return this.#at; }
  get isPlaying() { return this.#isPlaying; }
  get speed() { return this.#speed; }

  setPlayers(players) { this.#players = players; }

  /** `isHeld`: a hand is on the scrubber, so time stands until it lets go. */
  seek(ms, { isHeld = false } = {}) {
    this.#at = ms;
    this.#isHeld = isHeld;
    for (const player of this.#players) {
      if (isHeld) player.video.pause();
      player.seek(ms);
    }
    this.#onTime(ms);
  }

  play() {
    this.#isPlaying = true;
    for (const player of this.#players) player.play(this.#speed);
  }

  pause() {
    this.#isPlaying = false;
    for (const player of this.#players) player.pause();
  }

  set speed(speed) {
    this.#speed = speed;
    if (this.#isPlaying) this.play();
  }

  #tick() {
    if (!this.#isPlaying || this.#isHeld || !this.#players.length) return;
    const leader = this.#players.find((player) => player.covers(this.#at));
    if (!leader) { this.#crossGap(this.#at); return; }
    if (leader.isBusy || leader.wall === null) return;
    const wall = leader.wall;
    const end = leader.endAt(this.#at);
    if (wall > end && wall - this.#at > JUMP_MS && this.#crossGap(end, wall)) return;
    // The end of a span is reached a little before its number; then the next span is what follows.
    if (leader.video.ended || (leader.isStalled && !leader.covers(wall + 500))) { this.#crossGap(end); return; }
    this.#at = Math.max(wall, this.#at);
    this.#onTime(this.#at);
    for (const player of this.#players) if (player !== leader) this.#follow(player);
  }

  #follow(player) {
    if (player.isBusy) return;
    const isShown = !player.element.classList.contains("is-empty");
    const isDue = player.covers(this.#at);
    if (!isDue && !isShown) return;
    if (isDue !== isShown || Math.abs((player.wall ?? 0) - this.#at) > DRIFT_MS * Math.max(1, this.#speed)) player.seek(this.#at);
  }

  /** To the next recorded moment of any camera after `from`; false when nothing comes before `until`. */
  #crossGap(from, until = Infinity) {
    const starts = this.#players.map((player) => player.nextAt(from)).filter((ms) => ms !== null);
    if (!starts.length && until === Infinity) {
      this.pause();
      this.#onEnd();
      return true;
    }
    const next = Math.min(...starts);
    if (next >= until - JUMP_MS) return false;
    this.seek(next);
    return true;
  }
}
