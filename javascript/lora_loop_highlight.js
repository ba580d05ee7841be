// Colours behind the prompt boxes: a sheet of the same size and type lies under each, with the marks tinted on it.
// The text that people see is the box's own, so typing is never slower; the sheet follows when there is time.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const AT_ONCE = 3000; // characters that are painted before the next frame; longer texts wait for a pause
    const PAUSE = 180;
    const LONGEST = 65536;
    const MOST_MARKS = 6000;
    const COPIED = [
        "fontFamily", "fontSize", "fontWeight", "fontStyle", "fontVariant", "lineHeight", "letterSpacing", "wordSpacing",
        "textIndent", "textTransform", "textAlign", "direction", "tabSize", "paddingTop", "paddingRight", "paddingBottom",
        "paddingLeft", "borderTopWidth", "borderRightWidth", "borderBottomWidth", "borderLeftWidth",
        "borderTopLeftRadius", "borderTopRightRadius", "borderBottomLeftRadius", "borderBottomRightRadius",
    ];
    const sheets = new Map(); // textarea -> sheet
    const unknown = new Set();

    const wanted = () => typeof opts === "undefined" || opts.lora_loop_highlight !== false;
    const escaped = (text) => text.replace(/[&<>]/g, (one) => ({"&": "&amp;", "<": "&lt;", ">": "&gt;"})[one]);

    const classOf = (token) => {
        if (token.kind === "brace" || token.kind === "bar" || token.kind === "variable") {
            return `lora-loop-${token.kind} lora-loop-depth${(token.depth + 3) % 4}`;
        }
        if (token.kind === "wildcard" && unknown.has(token.name)) return "lora-loop-wildcard lora-loop-missing";
        if (token.kind === "tag") return loop.keywords.has(token.name.toLowerCase()) ? "lora-loop-keyword" : "lora-loop-tag";
        return `lora-loop-${token.kind}`;
    };

    // Names of our keywords, read from the page once.
    loop.keywords = new Set();

    const paint = (sheet) => {
        const text = sheet.area.value;
        sheet.timer = 0;
        sheet.tokens = text.length > LONGEST ? [] : loop.tokens(text).slice(0, MOST_MARKS);
        const pieces = [];
        let place = 0;
        sheet.tokens.forEach((token, index) => {
            pieces.push(escaped(text.slice(place, token.start)));
            pieces.push(`<span class="${classOf(token)}" data-i="${index}">${escaped(text.slice(token.start, token.end))}</span>`);
            place = token.end;
        });
        // A last empty line has no height of its own in a sheet; in a box it has.
        pieces.push(escaped(text.slice(place)), "\u200b");
        sheet.ink.innerHTML = pieces.join("");
        sheet.paired = [];
        follow(sheet);
        pair(sheet);
    };

    // Soon for short texts, in a pause for long ones.
    const later = (sheet) => {
        clearTimeout(sheet.timer);
        cancelAnimationFrame(sheet.frame);
        if (sheet.area.value.length <= AT_ONCE) sheet.frame = requestAnimationFrame(() => paint(sheet));
        else sheet.timer = setTimeout(() => paint(sheet), PAUSE);
    };

    const follow = (sheet) => {
        sheet.ink.scrollTop = sheet.area.scrollTop;
        sheet.ink.scrollLeft = sheet.area.scrollLeft;
    };

    // The two braces that belong together, when the cursor stands at one.
    const pair = (sheet) => {
        for (const span of sheet.paired) span.classList.remove("lora-loop-pair");
        sheet.paired = [];
        if (document.activeElement !== sheet.area || sheet.area.selectionStart !== sheet.area.selectionEnd) return;
        const cursor = sheet.area.selectionStart;
        const token = sheet.tokens.find((one) => one.mate !== undefined && (one.end === cursor || one.start === cursor));
        if (!token) return;
        for (const index of [token.mate, sheet.tokens[token.mate]?.mate]) {
            const span = sheet.ink.querySelector(`[data-i="${index}"]`);
            if (span) {
                span.classList.add("lora-loop-pair");
                sheet.paired.push(span);
            }
        }
    };

    const measure = (sheet) => {
        const {area, ink} = sheet;
        const style = getComputedStyle(area);
        for (const name of COPIED) ink.style[name] = style[name];
        ink.style.left = `${area.offsetLeft}px`;
        ink.style.top = `${area.offsetTop}px`;
        ink.style.height = `${area.offsetHeight}px`;
        // The box's scroll bar takes room from its text, so the sheet ends where the text ends.
        const bar = area.offsetWidth - area.clientWidth - parseFloat(style.borderLeftWidth) - parseFloat(style.borderRightWidth);
        ink.style.width = `${area.offsetWidth - Math.max(0, bar)}px`;
        follow(sheet);
    };

    const cover = (box) => {
        const area = box.area;
        const ink = document.createElement("div");
        ink.className = "lora-loop-ink";
        ink.setAttribute("aria-hidden", "true");
        ink.style.backgroundColor = getComputedStyle(area).backgroundColor;
        area.parentElement.classList.add("lora-loop-inked");
        area.parentElement.insertBefore(ink, area);
        const sheet = {area, ink, box, tokens: [], paired: [], timer: 0, frame: 0};
        sheet.onscroll = () => follow(sheet);
        area.addEventListener("scroll", sheet.onscroll, {passive: true});
        sheet.observer = new ResizeObserver(() => measure(sheet));
        sheet.observer.observe(area);
        sheets.set(area, sheet);
        measure(sheet);
        paint(sheet);
    };

    const uncover = (sheet) => {
        clearTimeout(sheet.timer);
        cancelAnimationFrame(sheet.frame);
        sheet.observer.disconnect();
        sheet.area.removeEventListener("scroll", sheet.onscroll);
        sheet.area.parentElement?.classList.remove("lora-loop-inked");
        sheet.ink.remove();
        sheets.delete(sheet.area);
    };

    const heard = (box) => {
        if (!wanted()) return;
        const sheet = sheets.get(box.area);
        if (sheet) later(sheet);
        else cover(box);
    };

    // Which of the names asked for there are not; the colours follow.
    loop.verdict = (asked, missing) => {
        const before = [...unknown].join("\n");
        for (const name of asked) unknown.delete(name);
        for (const name of missing) unknown.add(name);
        if ([...unknown].join("\n") !== before) for (const sheet of sheets.values()) later(sheet);
    };

    const switched = () => {
        if (wanted()) loop.boxes.forEach((box) => sheets.has(box.area) || cover(box));
        else [...sheets.values()].forEach(uncover);
    };

    loop.onPrompt(heard);
    onUiLoaded(() => {
        const facts = gradioApp().querySelector("[data-lora-loop-keywords]");
        loop.keywords = new Set((facts?.dataset.loraLoopKeywords || "").split(" ").filter(Boolean));
        document.addEventListener("selectionchange", () => {
            const sheet = sheets.get(document.activeElement);
            if (sheet) pair(sheet);
        });
        document.fonts?.addEventListener("loadingdone", () => sheets.forEach(measure));
        if (typeof onOptionsChanged === "function") onOptionsChanged(switched);
    });
    if (typeof onAfterUiUpdate === "function") {
        onAfterUiUpdate(() => {
            for (const sheet of [...sheets.values()]) {
                if (!sheet.area.isConnected || !sheet.ink.isConnected) uncover(sheet);
                else measure(sheet);
            }
            switched();
        });
    }
})();
