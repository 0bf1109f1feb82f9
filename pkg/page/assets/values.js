// Values of a field are hashes; a person needs names for them. The most frequent ones that come back are A, B, C, …,
// in order of appearance, each with a colour. A value seen only once among many has no name.

const named = 8;
const letters = "ABCDEFGH";

// nameValues returns a map from value to {label, colour, text, count}; colour is 0 to 7, or -1 for none of its own.
// text is the value itself where the policy opted in.
export function nameValues(changes) {
  const found = new Map();
  for (const c of changes) {
    note(found, c.from, c.fromValue, 0);
    note(found, c.to, c.toValue, 1);
  }
  const candidates = [...found.values()].filter((v) => v.label === "");
  const few = candidates.length <= named;
  const chosen = new Set(
    candidates
      .filter((v) => few || v.count > 1)
      .sort((a, b) => b.count - a.count)
      .slice(0, named),
  );
  let next = 0;
  for (const v of candidates) { // a Map keeps the order of appearance
    if (!chosen.has(v)) {
      v.label = "·";
      continue;
    }
    v.label = letters[next];
    v.colour = next++;
  }
  return found;
}

function note(found, value = "", text, times) {
  let v = found.get(value);
  if (!v) found.set(value, (v = { value, label: special(value), colour: value === "present" ? 0 : -1, text: undefined, count: 0 }));
  v.count += times;
  v.text ??= text;
}

function special(value) {
  if (value === "absent") return "∅";
  if (value === "present") return "+";
  return value === "" ? "?" : "";
}

// describe says what a value is, for people.
export function describe(v) {
  if (!v?.value) return "unknown";
  if (v.value === "absent" || v.value === "present") return v.value;
  const name = v.label === "·" ? "" : `${v.label} `;
  return v.text === undefined ? `${name}${v.value.slice(0, 8)}` : `${name}${v.text}`;
}
