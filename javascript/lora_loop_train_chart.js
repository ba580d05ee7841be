// The curves: a range that is dragged over, + and -, or the wheel zooms; values are read out under the pointer.
// The server draws each zoom anew from all steps; here is only what a poll in between must not take away.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const FIGURE = "figure[data-curves]";
    const OPEN = 99999999999; // "to the end": new steps come in
    const PAUSE = 150;
    const now = {chart: "", step: null, focus: false, from: null, to: null, wanted: null, timer: 0};
    const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
    const curves = (figure) => figure.curves ||= JSON.parse(figure.dataset.curves);
    const figures = () => [...gradioApp().querySelectorAll(`#lora_loop_train_charts ${FIGURE}`)];
    const current = () => figures().find((figure) => figure.dataset.chart === now.chart);

    const stepAt = (figure, clientX) => {
        const {frame: [left, right, width], shown: [first, last]} = curves(figure);
        const box = figure.querySelector("svg").getBoundingClientRect();
        const share = ((clientX - box.left) / box.width * width - left) / (right - left);
        return first + clamp(share, 0, 1) * (last - first);
    };

    const draw = (figure, kind, name, values) => {
        const svg = figure.querySelector("svg");
        const shape = svg.querySelector(`.${name}`) || svg.appendChild(document.createElementNS(svg.namespaceURI, kind));
        shape.setAttribute("class", name);
        for (const [key, value] of Object.entries(values)) shape.setAttribute(key, value);
    };

    const nearest = (steps) => steps.reduce((best, step, place) => Math.abs(step - now.step) < Math.abs(steps[best] - now.step) ? place : best, 0);

    const mark = (figure) => {
        const {frame: [left, right, , top, bottom], shown: [first, last], ends, steps, lines} = curves(figure);
        const x = (step) => left + clamp((step - first) / Math.max(1, last - first), 0, 1) * (right - left);
        const readout = figure.querySelector("output");
        if (now.step === null) {
            figure.querySelector(".lora-loop-cursor")?.remove();
            readout.textContent = "";
        } else {
            const place = nearest(steps);
            const step = steps[place];
            const epoch = ends.find((end) => end[1] >= step)?.[0];
            draw(figure, "line", "lora-loop-cursor", {x1: x(step), x2: x(step), y1: top, y2: bottom});
            const words = [`step ${step.toLocaleString()}`, ...(epoch ? [`epoch ${epoch}`] : []), ...lines.map(([label, ...values]) => `${label} ${values[place] ?? ""}`)].join(" · ");
            if (readout.textContent !== words) readout.textContent = words;
        }
        if (now.from === null) figure.querySelector(".lora-loop-chosen")?.remove();
        else {
            const [a, b] = [x(Math.min(now.from, now.to)), x(Math.max(now.from, now.to))];
            draw(figure, "rect", "lora-loop-chosen", {x: a, y: top, width: b - a, height: bottom - top});
        }
    };

    const zoom = (figure, first, last) => {
        const [begin, end] = curves(figure).whole;
        const width = clamp(last - first, Math.min(2, end - begin), end - begin);
        first = clamp(first, begin, end - width);
        now.wanted = [first, first + width];
        clearTimeout(now.timer);
        now.timer = setTimeout(() => {
            const [a, b] = now.wanted.map(Math.round);
            now.wanted = null;
            const all = a <= begin && b >= end;
            loop.trainSend(all ? {act: "zoom"} : {act: "zoom", first: String(a), last: String(b >= end ? OPEN : b)});
        }, PAUSE);
    };

    const range = (figure) => now.wanted || curves(figure).shown;

    const scale = (figure, factor, around) => {
        const [first, last] = range(figure);
        const place = around ?? (first + last) / 2;
        zoom(figure, place - (place - first) * factor, place + (last - place) * factor);
    };

    const read = (figure, by) => {
        const {steps} = curves(figure);
        const place = now.step === null ? (by > 0 ? -1 : steps.length) : nearest(steps);
        now.step = steps[clamp(place + by, 0, steps.length - 1)];
        mark(figure);
    };

    const pressed = (event) => {
        const figure = event.target.closest?.(FIGURE);
        if (!figure || event.target.tagName !== "svg" || event.ctrlKey || event.metaKey || event.altKey) return;
        const [first, last] = range(figure);
        const [begin, end] = curves(figure).whole;
        const zoomed = now.wanted || "zoomed" in figure.dataset;
        const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
        if (event.key === "+" || event.key === "=") scale(figure, 0.5, now.step ?? undefined);
        else if (event.key === "-") scale(figure, 2);
        else if (event.key === "0") zoom(figure, begin, end);
        else if (by && zoomed && !event.shiftKey) zoom(figure, first + by * (last - first) / 4, last + by * (last - first) / 4);
        else if (by) read(figure, by);
        else return;
        event.preventDefault();
        event.stopPropagation();
    };

    const listen = (page) => {
        page.addEventListener("keydown", pressed);
        page.addEventListener("pointerdown", (event) => {
            const figure = event.target.closest?.(`${FIGURE} svg`)?.closest(FIGURE);
            if (!figure || event.button) return;
            now.chart = figure.dataset.chart;
            now.from = now.to = stepAt(figure, event.clientX);
        });
        page.addEventListener("pointermove", (event) => {
            const figure = now.from === null ? event.target.closest?.(`${FIGURE} svg`)?.closest(FIGURE) : current();
            if (!figure) {
                if (now.step !== null && !now.focus) leave();
                return;
            }
            if (now.chart !== figure.dataset.chart) leave();
            now.chart = figure.dataset.chart;
            now.step = stepAt(figure, event.clientX);
            if (now.from !== null) now.to = now.step;
            mark(figure);
        });
        const done = (event) => {
            const figure = current();
            const [from, to] = [now.from, now.to];
            now.from = now.to = null;
            if (!figure || from === null) return;
            mark(figure);
            const {shown: [first, last]} = curves(figure);
            if (event.type === "pointerup" && Math.abs(to - from) > (last - first) / 60) zoom(figure, Math.min(from, to), Math.max(from, to));
        };
        window.addEventListener("pointerup", done);
        window.addEventListener("pointercancel", done);
        page.addEventListener("dblclick", (event) => {
            const figure = event.target.closest?.(`${FIGURE} svg`)?.closest(FIGURE);
            if (figure) zoom(figure, ...curves(figure).whole);
        });
        // The wheel scrolls the page, unless the chart was chosen first, or with Ctrl.
        page.addEventListener("wheel", (event) => {
            const figure = event.target.closest?.(`${FIGURE} svg`)?.closest(FIGURE);
            if (!figure || !(event.ctrlKey || figure.contains(document.activeElement))) return;
            event.preventDefault();
            scale(figure, event.deltaY < 0 ? 0.7 : 1 / 0.7, stepAt(figure, event.clientX));
        }, {passive: false});
        page.addEventListener("focusin", (event) => {
            now.focus = Boolean(event.target.closest?.(`${FIGURE} svg`));
            if (now.focus) now.chart = event.target.closest(FIGURE).dataset.chart;
        });
        page.addEventListener("focusout", (event) => {
            const target = event.target;
            setTimeout(() => {
                if (!target.isConnected || gradioApp().querySelector(`${FIGURE} svg:focus`)) return;
                now.focus = false;
            });
        });
    };

    const leave = () => {
        const figure = current();
        now.step = null;
        if (figure) mark(figure);
    };

    // A poll has drawn the curves anew: what the person pointed at, chose and focused is put back.
    const renewed = () => {
        const figure = current();
        if (!figure || figure.marked) return;
        figure.marked = true;
        mark(figure);
        if (now.focus && (!document.activeElement || document.activeElement === document.body)) {
            figure.querySelector("svg").focus({preventScroll: true});
        }
    };

    onUiLoaded(() => {
        const page = gradioApp().querySelector("#lora_loop_train_page");
        if (!page) return;
        listen(page);
        new MutationObserver(renewed).observe(page, {childList: true, subtree: true});
    });
})();
