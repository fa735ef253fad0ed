// What the checks of the pages find in a browser. Each function returns a list of problems, in words.

/** Returns the visible elements that a selector names. The parts of a picture are not elements for a person. */
const visible = (selector) =>
  [...document.querySelectorAll(selector)].filter((element) => {
    const { width, height } = element.getBoundingClientRect();
    const isShown = element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    return isShown && width > 0 && height > 0 && !element.parentElement?.closest("svg");
  });

const CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex='0']";

const named = (element) => {
  const text = (element.getAttribute("aria-label") ?? element.textContent).trim().replace(/\s+/g, " ").slice(0, 30);
  return `${element.localName}${element.id && `#${element.id}`} “${text}”`;
};

/** Returns the lines of text, each with its node and its box. The box has no leading, so that close lines do not touch. */
const lines = () => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest("svg, script, style")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const { left, right, top, bottom, width, height } of range.getClientRects()) {
      if (width < 1) continue;
      const leading = height * 0.15;
      found.push({ node, element, left, right, top: top + leading, bottom: bottom - leading });
    }
  }
  return found;
};

const overlap = (one, other, tolerance = 1) =>
  Math.min(one.right, other.right) - Math.max(one.left, other.left) > tolerance &&
  Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > tolerance;

const isWithin = (inner, outer) =>
  inner.left >= outer.left - 1 && inner.right <= outer.right + 1 &&
  inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;

/** Returns the part of a control that another control must not cover: for an input, only the part with its text. */
const core = (element) => {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  if (element.localName !== "input") return { left, right, top, bottom };
  const style = getComputedStyle(element), padding = (side) => parseFloat(style[`padding${side}`]);
  return {
    left: left + padding("Left"), right: right - padding("Right"), top: top + padding("Top"), bottom: bottom - padding("Bottom"),
  };
};

/**
 * Finds what does not fit: horizontal scrolling, text that is cut or that covers other text, and covered controls. Also
 * finds hidden elements that are visible.
 */
function layout() {
  const problems = [], root = document.documentElement, width = root.clientWidth;
  if (document.scrollingElement.scrollWidth > width) {
    problems.push(`the page is ${document.scrollingElement.scrollWidth} pixels wide`);
  }
  for (const element of visible("body, body *")) {
    const { left, right } = element.getBoundingClientRect();
    if (left < -1 || right > width + 1) problems.push(`${named(element)} is outside of the screen`);
    const hides = getComputedStyle(element).overflowX !== "visible" && element.localName !== "input";
    if (hides && element.scrollWidth > element.clientWidth + 1) problems.push(`${named(element)} is cut`);
  }
  for (const element of document.querySelectorAll("[hidden]")) {
    if (element.checkVisibility()) problems.push(`${named(element)} is hidden, but it is visible`);
  }
  const texts = lines();
  texts.forEach((one, index) => {
    const box = one.element.closest("button, a, dd, dt, li, p, label, h1, h2, summary, .badge");
    if (getComputedStyle(box ?? root).display !== "inline" && !isWithin(one, (box ?? root).getBoundingClientRect())) {
      problems.push(`the text of ${named(box ?? root)} is outside of its box`);
    }
    for (const other of texts.slice(index + 1)) {
      if (one.node !== other.node && overlap(one, other)) {
        problems.push(`the text of ${named(one.element)} covers the text of ${named(other.element)}`);
      }
    }
  });
  const controls = visible(CONTROLS);
  controls.forEach((one, index) => {
    for (const other of controls.slice(index + 1)) {
      if (!one.contains(other) && overlap(core(one), core(other))) problems.push(`${named(one)} covers ${named(other)}`);
    }
  });
  return problems;
}

/** Finds controls that are too small for a finger or an unsteady hand (WCAG 2.2, success criterion 2.5.8). */
function targets() {
  const size = (element) => {
    const boxes = [element, ...(element.labels ?? [])].map((part) => part.getBoundingClientRect());
    const extent = (start, end) => Math.max(...boxes.map((box) => box[end])) - Math.min(...boxes.map((box) => box[start]));
    return [extent("left", "right"), extent("top", "bottom")];
  };
  return visible(CONTROLS).filter((element) => Math.min(...size(element)) < 24).map((element) =>
    `${named(element)} is only ${size(element).map(Math.round).join(" × ")} pixels`);
}

/** Finds motion that a person has turned off. */
function motion() {
  const isMoving = (element) => {
    const { transitionDuration, animationName } = getComputedStyle(element);
    return animationName !== "none" || transitionDuration.split(", ").some((duration) => parseFloat(duration) > 0.001);
  };
  return visible("body, body *").filter(isMoving).map((element) => `${named(element)} moves`);
}

/** Returns red, green, blue and opacity of a colour, each from 0 to 255. */
const rgba = (color) => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data;
};

/** Returns the contrast of two colours (WCAG 2.2, “contrast ratio”). */
const contrast = (one, other) => {
  const luminance = (color) => {
    const [red, green, blue] = [...rgba(color)].map((channel) => channel / 255).map((share) =>
      share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [darker, lighter] = [luminance(one), luminance(other)].sort((one, other) => one - other);
  return (lighter + 0.05) / (darker + 0.05);
};

/** Returns the colour behind an element. */
const behind = (element) => {
  for (let around = element.parentElement; around; around = around.parentElement) {
    const color = getComputedStyle(around).backgroundColor;
    if (rgba(color)[3] > 0) return color;
  }
  return "canvas";
};

/** Returns the controls that the Tab key must reach. */
const reachable = () => visible(CONTROLS).filter((element) => !element.disabled && element.tabIndex >= 0);

/** Returns the place of the focused control among the reachable ones, and what is wrong with how its focus looks. */
function focused() {
  const element = document.activeElement, place = reachable().indexOf(element), problems = [];
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element);
  if (outlineStyle === "none" || parseFloat(outlineWidth) < 2) {
    problems.push(`the focus of ${named(element)} is not visible`);
  } else if (contrast(outlineColor, behind(element)) < 3) {
    problems.push(`the focus of ${named(element)} has too little contrast`);
  }
  return { place, problems: place < 0 ? [] : problems };
}

/** Shows the passwords, and opens the details. */
function reveal() {
  for (const button of document.querySelectorAll("[data-show]")) button.click();
  for (const details of document.querySelectorAll("details")) details.open = true;
}

/** Makes the text twice as large (WCAG 2.2, success criterion 1.4.4). */
function enlarge() {
  document.documentElement.style.fontSize = "200%";
}

/** Makes the text normal again, with the spacing that a person may need (WCAG 2.2, success criterion 1.4.12). */
function space() {
  document.documentElement.style.fontSize = "";
  for (const { style } of document.querySelectorAll("body *")) {
    style.setProperty("line-height", "1.5", "important");
    style.setProperty("letter-spacing", "0.12em", "important");
    style.setProperty("word-spacing", "0.16em", "important");
  }
  for (const { style } of document.querySelectorAll("p")) style.setProperty("margin-bottom", "2em", "important");
}
