// Elements without markup in strings: nothing from a cluster is ever parsed as HTML.

// h makes an element. A property that starts with "on" is a listener, true is a bare attribute, null and false are none;
// svg asks for an element of SVG.
export function h(tag, props, ...children) {
  const el = props?.svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value == null || value === false || name === "svg") continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children.flat().filter((c) => c != null && c !== false));
  return el;
}

// fill puts children in place of what el holds.
export function fill(el, ...children) {
  el.replaceChildren(...children.flat().filter((c) => c != null && c !== false));
  return el;
}

// refill is fill for what is drawn again and again: the focus stays on the element with the same data-key.
export function refill(el, ...children) {
  const key = el.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  fill(el, ...children);
  if (key !== undefined) [...el.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key)?.focus({ preventScroll: true });
  return el;
}

// path is a text that may break where the parts of a field or an object end, rather than anywhere.
export const path = (text) => text.split(/(?<=[./[])/).flatMap((part, i) => (i ? [h("wbr"), part] : [part]));

// soon returns a function that calls f once per ms, however often it is called itself.
export function soon(f, ms) {
  let timer = 0;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      f();
    }, ms);
  };
}
