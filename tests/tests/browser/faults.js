(() => {
  // What is wrong with the page that is shown, as sentences: text that is hard to read against its ground or is cut off,
  // fields without a label, charts without words, what sticks out of the window, tables that stay tables on a phone.
  const TEXT = 4.5; // WCAG 2.2, 1.4.3
  const LARGE_TEXT = 3;
  const GRAPHICS = 3; // WCAG 2.2, 1.4.11
  const PHONE = 704; // the stylesheet's 44rem
  const faults = new Set();

  const name = (element) => {
    const mark = element.id ? `#${element.id}` : [...element.classList].map((word) => `.${word}`).join("");
    const words = (element.textContent || element.name || "").trim().replace(/\s+/g, " ").slice(0, 50);
    return `${element.tagName.toLowerCase()}${mark} “${words}”`;
  };
  const say = (what, element) => faults.add(`${what}: ${name(element)}`);

  const channels = (colour) => {
    const numbers = colour.match(/[\d.]+/g).map(Number);
    return numbers.length < 4 ? [...numbers, 1] : numbers;
  };
  const over = (upper, lower) => {
    const [alpha, rest] = [upper[3], 1 - upper[3]];
    return [0, 1, 2].map((index) => upper[index] * alpha + lower[index] * rest).concat(1);
  };
  const groundOf = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const layer = channels(getComputedStyle(at).backgroundColor);
      layers.push(layer);
      if (layer[3] === 1) {
        break;
      }
    }
    return layers.reduceRight((lower, upper) => over(upper, lower), [255, 255, 255, 1]);
  };
  const luminance = (colour) => {
    const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const [red, green, blue] = colour.slice(0, 3).map((value) => linear(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const isShown = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && box.bottom > 0 && element.checkVisibility({ visibilityProperty: true });
  };
  const read = (element, colour, least, what) => {
    const ground = groundOf(element);
    const found = contrast(over(channels(colour), ground), ground);
    if (found < least) {
      say(`${what} has a contrast of ${found.toFixed(2)}, less than ${least}`, element);
    }
  };

  for (const element of document.body.querySelectorAll("*")) {
    if (!isShown(element)) {
      continue;
    }
    const style = getComputedStyle(element);
    const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (hasText && !element.closest("svg") && element.tagName !== "OPTION") {
      const size = parseFloat(style.fontSize);
      const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      read(element, style.color, isLarge ? LARGE_TEXT : TEXT, "text");
    }
    const box = element.getBoundingClientRect();
    // A scroller's content may be wider, and the head of a table of cards is for who does not see the labels.
    const isAside = element.closest("pre, svg") || (innerWidth < PHONE && element.closest("thead"));
    if (!isAside && (box.right > innerWidth + 1 || box.left < -1)) {
      say("sticks out of the window", element);
    }
    // What is typed into a search may be longer than its field; a button's words may not, though they would be drawn.
    const isCutting =
      (style.overflowX !== "visible" && !isAside && element.type !== "search" && element.tagName !== "TEXTAREA") ||
      element.matches("button, .button");
    if (isCutting && element.clientWidth > 1 && element.scrollWidth > element.clientWidth + 1) {
      say("is cut off", element);
    }
  }
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!field.labels.length && !field.getAttribute("aria-label")) {
      say("has no label", field);
    }
    if (field.placeholder && isShown(field)) {
      read(field, getComputedStyle(field, "::placeholder").color, TEXT, "a placeholder");
    }
    const isBox = ["checkbox", "radio"].includes(field.type);
    if (isBox && field.getBoundingClientRect().width > 32) {
      say("is wider than a box to tick", field);
    }
  }
  for (const drawn of document.querySelectorAll("svg[role=img]")) {
    if (!drawn.getAttribute("aria-label")) {
      say("a drawing says nothing to who does not see it", drawn);
    }
    const colours = new Set();
    for (const shape of drawn.querySelectorAll("rect:not(.reach)")) {
      colours.add(getComputedStyle(shape).fill);
    }
    colours.forEach((colour) => read(drawn.parentElement, colour, GRAPHICS, "a bar"));
  }
  for (const chart of document.querySelectorAll("svg.chart")) {
    const figure = chart.closest("figure");
    if (!figure?.querySelector(".scale")?.textContent.trim() || !figure.querySelector(".axis")?.textContent.trim()) {
      say("a chart does not say how much or when", chart.parentElement);
    }
  }
  if (innerWidth < PHONE) {
    for (const table of document.querySelectorAll("table:not(.few)")) {
      if (isShown(table) && getComputedStyle(table).display === "table") {
        say("stays a table on a phone", table);
      }
    }
  }
  return [...faults];
})()
