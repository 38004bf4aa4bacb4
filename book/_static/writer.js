// A network that writes, in the reader's browser: the LSTM over characters of page 7.2, whose step
// is that of rnnbook/scratch/cells.py, and the draws those of rnnbook/generate.py.
//
//   <div class="writer" data-weights="text-lstm.safetensors"> for readers without scripts </div>

const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const READ = 300; // characters before the end of the text that the network reads
const SHOWN = 6; // characters whose probability is shown

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

  /** One step: the state after this character. Characters it does not know are passed over. */
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
    <label>Temperature <output>0.7</output>
      <input type="range" name="temperature" min="0.1" max="1.5" step="0.1" value="0.7"></label>
    <label>Nucleus, top p <output>1</output>
      <input type="range" name="nucleus" min="0.05" max="1" step="0.05" value="1"></label>
    <button type="button" name="write">Write</button>
  </div>
  <p class="writer-title">What it draws the next character from</p>
  <ol class="writer-bars"></ol>`;

function start(box, network) {
  box.innerHTML = PANEL;
  const [text, bars] = [box.querySelector("textarea"), box.querySelector("ol")];
  const button = box.querySelector("button");
  const knob = (name) => Number(box.querySelector(`[name=${name}]`).value);
  const expected = () => network.expects(knob("temperature"), knob("nucleus"));
  let writing = false;

  function show() {
    const distribution = expected();
    bars.replaceChildren(...distribution.slice(0, SHOWN).map(([character, p]) => {
      const row = document.createElement("li");
      const name = { "\n": "line break", " ": "space" }[character] ?? character;
      row.append(Object.assign(document.createElement("code"), { textContent: name }));
      const bar = document.createElement("span");
      bar.style.width = `${60 * p}%`;
      row.append(bar, `${(100 * p).toFixed(p < 0.01 ? 1 : 0)} %`);
      return row;
    }));
    const more = distribution.length - SHOWN;
    const rest = more > 0 ? `and ${more} more` : "";
    bars.append(Object.assign(document.createElement("li"), { textContent: rest }));
  }

  function readAll() {
    network.forget();
    for (const character of ["\n", ...[...text.value].slice(-READ)]) network.read(character);
    show();
  }

  function write() {
    if (!writing) return;
    const character = draw(expected());
    text.value += character;
    text.scrollTop = text.scrollHeight;
    network.read(character);
    show();
    requestAnimationFrame(write);
  }

  text.addEventListener("input", readAll);
  for (const range of box.querySelectorAll("[type=range]")) {
    range.addEventListener("input", () => {
      range.parentElement.querySelector("output").value = range.value;
      show();
    });
  }
  button.addEventListener("click", () => {
    writing = !writing;
    button.textContent = writing ? "Stop" : "Write";
    text.readOnly = writing;
    write();
  });
  readAll();
}

for (const box of document.querySelectorAll(".writer")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Start the network (1.4 MB)";
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const answer = await fetch(box.dataset.weights);
      if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
      start(box, new CharLSTM(await answer.arrayBuffer()));
      box.querySelector("textarea").focus();
    } catch (error) {
      button.disabled = false;
      const said = document.createElement("p");
      said.textContent = `The network could not be loaded (${error.message}). Try again; from a `
        + "copy on a disk it needs a web server, such as make serve starts.";
      box.replaceChildren(said, button);
    }
  });
  box.replaceChildren(button);
}
