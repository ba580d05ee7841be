// Asks for the preview when a person pauses, one question at a time, and carries out its buttons.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const PAUSE = 300;
    const PATIENCE = 8000; // a question that was not answered by then is forgotten
    const FRESH = 15000; // how long a wildcard's verdict holds
    const tabs = new Map();

    const state = (tab) => {
        if (!tabs.has(tab)) {
            tabs.set(tab, {timer: 0, sent: 0, waiting: 0, again: dice(), asked: "", names: [], known: new Map(), numbers: new Map()});
        }
        return tabs.get(tab);
    };
    const dice = () => Math.floor(Math.random() * 2 ** 31);
    const part = (tab, name) => gradioApp().querySelector(`#lora_loop_${tab}_${name}`);
    const inSight = (element) => !!element && element.getClientRects().length > 0;
    const text = (tab, role) => loop.box(tab, role)?.area.value || "";

    const seed = (tab) => {
        const value = parseInt(gradioApp().querySelector(`#${tab}_seed input`)?.value ?? "-1", 10);
        return Number.isSafeInteger(value) ? value : -1;
    };

    // Whether a variation seed is in use: the WebUI then gives all images the same seed.
    const still = (tab) => !!gradioApp().querySelector(`#${tab}_subseed_show input`)?.checked
        && parseFloat(gradioApp().querySelector(`#${tab}_subseed_strength input`)?.value || "0") > 0;

    // The names in all boxes of the tab that no recent answer has spoken of.
    const openNames = (tab) => {
        const now = Date.now();
        const own = state(tab);
        const names = loop.boxes.filter((box) => box.tab === tab).flatMap((box) => box.text && box.text.length < 65536 ? loop.wildcardNames(box.text) : []);
        return [...new Set(names)].filter((name) => !(own.known.get(name) > now - FRESH)).slice(0, 200);
    };

    const question = (tab) => JSON.stringify({
        prompt: text(tab, "prompt"), negative: text(tab, "negative"), seed: seed(tab), again: state(tab).again,
        preview: inSight(part(tab, "preview")), still: still(tab),
    });

    // Ask soon; `force` also when nothing in the boxes has changed (a field of the accordion has).
    const later = (tab, force, pause = PAUSE) => {
        const own = state(tab);
        if (force) own.asked = "";
        clearTimeout(own.timer);
        own.timer = setTimeout(() => send(tab), pause);
    };

    const send = (tab) => {
        const own = state(tab);
        const button = part(tab, "ask");
        if (!button) return;
        if (own.waiting && Date.now() - own.waiting < PATIENCE) {
            later(tab, false, 150);
            return;
        }
        const now = question(tab);
        const names = openNames(tab);
        if (now === own.asked && !names.length) return;
        if (!JSON.parse(now).preview && !names.length) return;
        own.asked = now;
        own.names = names;
        own.waiting = Date.now();
        part(tab, "preview")?.setAttribute("aria-busy", "true");
        button.click();
    };

    // Called by the event on its way to the server: the first input becomes the question.
    loop.ask = (tab, given) => {
        const own = state(tab);
        own.sent += 1;
        return [JSON.stringify({...JSON.parse(own.asked || question(tab)), number: own.sent, names: own.names}), ...given.slice(1)];
    };

    // Called when the answer is on the page.
    loop.answered = (tab, reply) => {
        const own = state(tab);
        own.waiting = 0;
        part(tab, "preview")?.removeAttribute("aria-busy");
        try {
            const {unknown} = JSON.parse(reply);
            for (const name of own.names) own.known.set(name, Date.now());
            loop.verdict?.(own.names, unknown);
        } catch {
            // the server's own words stand in the preview
        }
        if (question(tab) !== own.asked) later(tab, false);
    };

    const use = (tab, button) => {
        const texts = {hires: button.dataset.hires, hires_negative: button.dataset.hiresNegative, negative: button.dataset.negative};
        for (const [role, words] of Object.entries(texts)) {
            const box = loop.box(tab, role);
            if (box && words !== undefined) loop.write(box, words);
        }
        loop.write(loop.box(tab, "prompt"), button.dataset.prompt);
        const enabled = part(tab, "enabled")?.querySelector("input");
        if (texts.hires !== undefined && enabled && !enabled.checked) enabled.click(); // keywords need it
    };

    const clicked = (event) => {
        const button = event.target.closest?.(".lora-loop-use, [id$='_preview_again']");
        const tab = button && ["txt2img", "img2img"].find((one) => ["accordion", "again"].some((name) => part(one, name)?.contains(button)));
        if (!tab) return;
        if (button.matches(".lora-loop-use")) use(tab, button);
        else {
            state(tab).again = dice();
            later(tab, true, 0);
        }
    };

    loop.onPrompt((box) => later(box.tab, false));
    onUiLoaded(() => {
        document.addEventListener("click", clicked);
        for (const tab of ["txt2img", "img2img"]) {
            const accordion = part(tab, "accordion");
            for (const kind of ["input", "change", "click"]) {
                accordion?.addEventListener(kind, (event) => {
                    if (!event.target.closest(`#lora_loop_${tab}_preview, #lora_loop_${tab}_ask`)) later(tab, kind !== "click");
                });
            }
            for (const kind of ["input", "change"]) {
                gradioApp().querySelector(`#${tab}_seed`)?.addEventListener(kind, () => later(tab, false));
            }
        }
        // What appears without a key or a click of ours: an opened tab, a pasted seed, a wildcard that was just made.
        setInterval(() => {
            if (document.hidden) return;
            for (const tab of ["txt2img", "img2img"]) {
                if (part(tab, "ask") && (question(tab) !== state(tab).asked && inSight(part(tab, "preview")))) later(tab, false);
            }
        }, 1000);
    });
})();
