// A network that writes, in the reader's browser: the LSTM over characters of page 7.2, whose step
// is that of rnnbook/scratch/cells.py, and the draws those of rnnbook/generate.py.
//
//   <div class="writer" data-weights="text-lstm.safetensors"> for readers without scripts </div>

const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const READ = 300; // characters at the end of a new text that the network reads
const SHOWN = 6; // characters whose probability is shown
const LENGTH = 500; // characters that it writes before it stops by itself
const PACE = 40; // milliseconds for each
const NAMES = {
  "\n": "line break", " ": "space", ",": "comma", ".": "period", ":": "colon", ";": "semicolon",
  "'": "apostrophe", "-": "hyphen",
};

/** The arrays of a safetensors file by name, and what the file says about itself. */
function tensors(buffer) {
  const start = 8 + Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, start - 8)));
  const { __metadata__: about, ...entries } = header;
  const arrays = {};
  for (const [name, { data_offsets: [from, to] }] of Object.entries(entries)) {
    arrays[name] = new Float32Array(buffer.slice(start + from, start + to));
  }
  return [arrays, about];
}

class CharLSTM {
  constructor(buffer) {
    const [weights, about] = tensors(buffer);
    this.weights = weights;
    this.vocab = [...about.vocab]; // V characters
    this.D = weights["embedding.weight"].length / this.vocab.length;
    this.H = weights["linear.weight"].length / this.vocab.length;
    this.forget();
  }

  forget() {
    this.h = new Float64Array(this.H);
    this.c = new Float64Array(this.H);
  }

  /** One step: the state after this character. One that it does not know is passed over. */
  read(character) {
    const id = this.vocab.indexOf(character);
    if (id < 0) return;
    const { H, D, h, c, weights } = this;
    const x = weights["embedding.weight"].subarray(id * D, (id + 1) * D);
    const a = new Float64Array(4 * H); // by gate: i f g o
    for (let row = 0; row < 4 * H; row++) {
      let sum = weights["rnn.bias_ih_l0"][row] + weights["rnn.bias_hh_l0"][row];
      const w = weights["rnn.weight_ih_l0"].subarray(row * D, (row + 1) * D);
      const u = weights["rnn.weight_hh_l0"].subarray(row * H, (row + 1) * H);
      for (let k = 0; k < D; k++) sum += w[k] * x[k];
      for (let k = 0; k < H; k++) sum += u[k] * h[k];
      a[row] = sum;
    }
    for (let j = 0; j < H; j++) {
      const [i, f, o] = [0, 1, 3].map((gate) => sigmoid(a[gate * H + j]));
      c[j] = f * c[j] + i * Math.tanh(a[2 * H + j]);
      h[j] = o * Math.tanh(c[j]);
    }
  }

  /** What comes next, most probable first: [[character, probability], ...], the nucleus alone. */
  expects(temperature, nucleus) {
    const { H, h, weights } = this;
    const logits = this.vocab.map((_, id) => {
      const w = weights["linear.weight"].subarray(id * H, (id + 1) * H);
      return h.reduce((sum, value, k) => sum + w[k] * value, weights["linear.bias"][id]);
    });
    const top = Math.max(...logits);
    const powers = logits.map((logit) => Math.exp((logit - top) / temperature));
    const total = powers.reduce((sum, power) => sum + power);
    const sorted = this.vocab.map((character, id) => [character, powers[id] / total]);
    sorted.sort((one, other) => other[1] - one[1]);
    const kept = [];
    let share = 0; // of what is kept
    for (const [character, p] of sorted) {
      if (share >= nucleus) break;
      kept.push([character, p]);
      share += p;
    }
    return kept.map(([character, p]) => [character, p / share]);
  }
}

function draw(distribution) {
  let left = Math.random();
  for (const [character, p] of distribution) if ((left -= p) < 0) return character;
  return distribution[0][0];
}

const PANEL = `
  <label>Text <textarea rows="9" spellcheck="false">ROMEO:\n</textarea></label>
  <div class="writer-knobs">
    <label>Temperature <span aria-hidden="true">0.7</span>
      <input type="range" name="temperature" min="0.1" max="1.5" step="0.1" value="0.7"></label>
    <label>Nucleus, top p <span aria-hidden="true">1</span>
      <input type="range" name="nucleus" min="0.05" max="1" step="0.05" value="1"></label>
    <button type="button">Write</button>
  </div>
  <p role="status"></p>
  <p id="writer-title">What it expects after the last character of the text</p>
  <ol class="writer-bars" role="list" aria-labelledby="writer-title"></ol>`;

function element(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}

/** A row of the list: a character, its bar, its probability. */
function row([character, p]) {
  const item = document.createElement("li");
  const bar = document.createElement("span");
  bar.style.width = `${60 * p}%`;
  item.append(element("code", NAMES[character] ?? character), bar);
  item.append(`${(100 * p).toFixed(p < 0.01 ? 1 : 0)} %`);
  return item;
}

function start(box, network) {
  box.innerHTML = PANEL;
  const [text, bars, button] = ["textarea", "ol", "button"].map((tag) => box.querySelector(tag));
  const status = box.querySelector("[role=status]");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const knob = (name) => Number(box.querySelector(`[name=${name}]`).value);
  const expected = () => network.expects(knob("temperature"), knob("nucleus"));
  let seen = null; // the text whose state the network has
  let written = 0;
  let timer = null; // while it writes

  function show() {
    const distribution = expected();
    bars.replaceChildren(...distribution.slice(0, SHOWN).map(row));
    const more = distribution.length - SHOWN;
    if (more > 0) bars.append(element("li", `and ${more} more`));
  }

  /** What is added costs one step for each character. After any other change it begins again. */
  function readText() {
    const now = text.value;
    let unread = [...now];
    if (seen !== null && now.startsWith(seen)) {
      unread = [...now.slice(seen.length)];
    } else {
      network.forget();
      network.read("\n");
      unread = unread.slice(-READ);
    }
    unread.forEach((character) => network.read(character));
    seen = now;
    const unknown = new Set([...now].filter((character) => !network.vocab.includes(character)));
    status.textContent = unknown.size ? `Not known, and passed over: ${[...unknown].join(" ")}` : "";
    show();
  }

  function writeOne() {
    const character = draw(expected());
    const follows = text.scrollTop + text.clientHeight > text.scrollHeight - 50;
    text.value += character;
    if (follows) text.scrollTop = text.scrollHeight;
    seen = text.value;
    network.read(character);
    written++;
  }

  function write() {
    writeOne();
    if (written === LENGTH) return stop();
    show();
    timer = setTimeout(write, PACE);
  }

  function stop() {
    clearTimeout(timer);
    timer = null;
    text.readOnly = false;
    button.textContent = "Write";
    status.textContent = `${written} characters written.`;
    show();
  }

  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    written = 0;
    if (calm) {
      while (written < LENGTH) writeOne();
      return stop();
    }
    text.readOnly = true;
    button.textContent = "Stop";
    status.textContent = "Writing.";
    write();
  });
  text.addEventListener("input", readText);
  for (const range of box.querySelectorAll("[type=range]")) {
    range.addEventListener("input", () => {
      range.parentElement.querySelector("span").textContent = range.value;
      show();
    });
  }
  readText();
  button.focus();
}

for (const box of document.querySelectorAll(".writer")) {
  const button = element("button", "Start the network (1.4 MB)");
  const alert = element("p", "");
  alert.setAttribute("role", "alert");
  let loading = false;
  button.addEventListener("click", async () => {
    if (loading) return;
    loading = true;
    alert.textContent = "";
    button.textContent = "Loading ...";
    try {
      const answer = await fetch(box.dataset.weights);
      if (!answer.ok) throw new Error(answer.statusText);
      start(box, new CharLSTM(await answer.arrayBuffer()));
    } catch {
      const disk = location.protocol === "file:";
      alert.textContent = "The network could not be loaded. "
        + (disk ? "From a disk it needs a web server, such as make serve starts." : "Try again?");
      button.textContent = "Start the network (1.4 MB)";
      loading = false;
    }
  });
  box.replaceChildren(alert, button);
}
