// Input and result of one image in one view, with a line between them; OpenSeadragon moves and zooms both.
"use strict";

if (document.querySelector("#stage")) {
  const stage = $("#stage"), slider = $("#cut"), line = $("#line");
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const viewer = OpenSeadragon({
    element: $("#canvas"), drawer: "canvas", showNavigationControl: false, crossOriginPolicy: false,
    animationTime: isStill ? 0 : 0.35, springStiffness: 9, zoomPerScroll: 1.25, zoomPerClick: 2, visibilityRatio: 0.4,
    minZoomImageRatio: 0.7, maxZoomPixelRatio: 64, defaultZoomLevel: 0, gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    gestureSettingsTouch: { dblClickToZoom: true, flickEnabled: false }, immediateRender: true,
  });
  let picture = null, left = "input", right = "result", items = [], names = [];

  viewer.canvas.setAttribute("role", "application");
  viewer.addHandler("canvas-key", (event) => {  // it would also turn and mirror the picture, which the line does not follow
    event.preventDefaultAction = !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "=", "-", "0"].includes(event.originalEvent.key);
  });
  viewer.addHandler("canvas-press", () => viewer.canvas.focus({ preventScroll: true }));
  viewer.addHandler("canvas-scroll", (event) => {  // the wheel is the page's, until the picture is what somebody works with
    if (document.activeElement === viewer.canvas || event.originalEvent.ctrlKey) return;
    event.preventDefaultAction = true;
    event.preventDefault = false;
  });

  /** Screen pixels that one pixel of the result takes. */
  const nearness = () => viewer.viewport.getZoom(false) * viewer.viewport.getContainerSize().x / picture.width;

  function cut() {
    const at = Number(slider.value) / 100, x = at * stage.clientWidth;
    line.style.left = `${at * 100}%`;
    slider.setAttribute("aria-valuetext", `input on the left ${slider.value} %, ${right} on the right`);
    const place = viewer.viewport.pointFromPixel(new OpenSeadragon.Point(x, 0), true).x * (picture?.width ?? 1);
    for (const { item, side, box } of items) {
      const size = item.getContentSize(), isLeft = side === "input" || side === "bicubic";
      const visible = isLeft ? side === "input" || side === left : side === right || (side === "result" && right === "disagreement" && !has("disagreement"));
      const share = Math.min(Math.max((place - box[0]) / box[2], 0), 1) * size.x;  // of the layer, left of the line
      const [from, to] = isLeft ? [0, share] : [share, size.x];
      item.setOpacity(visible && to - from > 0.001 ? 1 : 0);
      if (visible && to - from > 0.001) item.setClip(new OpenSeadragon.Rect(from, 0, to - from, size.y));
    }
  }

  function tell() {
    if (!picture) return;
    const pixels = nearness();
    viewer.drawer.setImageSmoothingEnabled(pixels < 0.99);  // from there on pixels are seen as they are
    $("#zoom").textContent = pixels >= 1 ? `One pixel of the result: ${Number(pixels.toFixed(1))} on the screen`
      : `${Number((1 / pixels).toFixed(1))} pixels of the result: one on the screen`;
  }

  const has = (side) => Boolean(picture?.layers[side]?.length);

  function press(group, value) {
    for (const button of $$(`[data-${group}]`)) button.setAttribute("aria-pressed", String(button.dataset[group] === value));
  }

  function choose(nextLeft, nextRight) {
    [left, right] = [has(nextLeft) ? nextLeft : "input", has(nextRight) ? nextRight : "result"];
    press("left", left);
    press("right", right);
    for (const button of $$("[data-left], [data-right]")) button.disabled = !has(button.dataset.left ?? button.dataset.right);
    $("#rights").hidden = !has("disagreement");
    $("#left-name").textContent = left === "input" ? "Input" : "Input, bicubic";
    $("#right-name").textContent = right === "result" ? "Result" : "Disagreement";
    $("#extent").textContent = right === "result" ? picture.extent : "Dark: the members of the self-ensemble agree. Bright: they lie furthest apart.";
    cut();
  }

  function zoom(how) {
    if (!picture) return;
    const viewport = viewer.viewport;
    if (how === "fit") viewport.goHome();
    else if (how === "in" || how === "out") viewport.zoomBy(how === "in" ? 2 : 0.5);
    else {
      if (picture.detail) {  // single pixels are there alone
        const [x, y, width, height] = picture.detail.map((number) => number / picture.width);
        const centre = viewport.getCenter();
        if (centre.x < x || centre.x > x + width || centre.y < y || centre.y > y + height) {
          viewport.panTo(new OpenSeadragon.Point(x + width / 2, y + height / 2));
        }
      }
      viewport.zoomTo(Number(how) * picture.width / viewport.getContainerSize().x);
    }
    viewport.applyConstraints();
  }

  /** A short name for an embedded image: in a long one OpenSeadragon may read ".png", and draws such in a smoothed way. */
  function named(url) {
    const [kind, packed] = url.slice("data:".length).split(";base64,");
    const blob = new Blob([Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0))], { type: kind });
    names.push(URL.createObjectURL(blob));
    return names.at(-1);
  }

  function show(number) {
    for (const button of $$("[data-card]")) button.setAttribute("aria-pressed", String(button.dataset.card === String(number)));
    for (const panel of $$("[data-panel]")) panel.hidden = panel.dataset.panel !== String(number);
    const shown = picture = JSON.parse($(`[data-picture="${number}"]`).textContent);
    viewer.world.removeAll();
    viewer.clearOverlays();
    items = [];
    names.forEach((name) => URL.revokeObjectURL(name));
    names = [];
    $("#problem").hidden = !picture.problems.length;
    $("#problem").textContent = picture.problems.join(" ");
    viewer.canvas.setAttribute("aria-label", `${picture.words} Arrow keys move it, plus and minus zoom.`);
    $("#extent").textContent = picture.extent;
    for (const side of ["input", "bicubic", "result", "disagreement"]) {
      for (const { url, box } of picture.layers[side] ?? []) {
        viewer.addTiledImage({
          tileSource: { type: "image", url: named(url), buildPyramid: false }, x: box[0] / picture.width, y: box[1] / picture.width,
          width: box[2] / picture.width, opacity: 0,
          success: ({ item }) => {
            if (shown !== picture) return viewer.world.removeItem(item);  // another one was chosen meanwhile
            items.push({ item, side, box });
            if (items.length === 1) viewer.viewport.goHome(true);
            cut();
            tell();
          },
        });
      }
    }
    if (picture.detail) {
      const [x, y, width, height] = picture.detail.map((number) => number / picture.width);
      viewer.addOverlay({ element: make("div", null, { class: "frame" }), location: new OpenSeadragon.Rect(x, y, width, height) });
    }
    choose(left, right);
  }

  for (const name of ["viewport-change", "resize", "zoom", "pan", "animation", "animation-finish"]) viewer.addHandler(name, () => { cut(); tell(); });
  slider.addEventListener("input", cut);
  line.firstElementChild.addEventListener("pointerdown", (event) => {
    const handle = event.currentTarget;
    handle.setPointerCapture(event.pointerId);
    handle.onpointermove = (moved) => {
      const frame = stage.getBoundingClientRect();
      slider.value = String(100 * (moved.clientX - frame.left) / frame.width);
      cut();
    };
    handle.onpointerup = handle.onpointercancel = () => { handle.onpointermove = null; };
  });
  for (const button of $$("[data-zoom]")) button.addEventListener("click", () => zoom(button.dataset.zoom));
  for (const button of $$("[data-left]")) button.addEventListener("click", () => choose(button.dataset.left, right));
  for (const button of $$("[data-right]")) button.addEventListener("click", () => choose(left, button.dataset.right));
  const cards = $$("[data-card]");
  for (const [index, card] of cards.entries()) {
    card.addEventListener("click", () => show(Number(card.dataset.card)));
    card.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = cards[(index + step + cards.length) % cards.length];
      next.focus();
      next.click();
    });
  }
  if (cards.length) show(Number(cards[0].dataset.card));
}
