// The form outlives a reload: what stands in it is kept in this browser and put back by the server, which checks it.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const KEY = "lora-loop-form";
    const PREFIX = "lora_loop_train_";
    const PLACES = ["form", "options", "samples_page", "regular_page"];
    const NOT = ["upload", "preset_name", "preset_import", "every", "at", "refresh"];
    const EVERY = 2000;
    const MOST = 36000; // the server takes no longer action
    let touched = false;
    const part = (name) => gradioApp().querySelector(`#${PREFIX}${name}`);

    const value = (control) => {
        if (control.type === "checkbox") return control.checked;
        if (control.type === "radio") return control.checked ? control.value : undefined;
        return control.value;
    };

    const read = () => {
        const form = {};
        for (const place of PLACES) {
            for (const control of part(place)?.querySelectorAll("input:not([type=file]), textarea") || []) {
                const name = control.closest(`[id^=${PREFIX}]`)?.id.slice(PREFIX.length);
                if (!name || PLACES.includes(name) || NOT.includes(name) || control.closest(".lora-loop-private")) continue;
                const found = value(control);
                if (found !== undefined) form[name] = found;
            }
        }
        return form;
    };

    const keep = () => {
        if (!touched || document.hidden) return;
        const text = JSON.stringify(read());
        try {
            if (text.length <= MOST) localStorage.setItem(KEY, text);
        } catch { /* private windows remember nothing */ }
    };

    const kept = () => {
        try {
            return JSON.parse(localStorage.getItem(KEY));
        } catch {
            return null;
        }
    };

    onUiLoaded(() => {
        const page = part("page");
        if (!page) return;
        const beat = part("beat") || page;
        const first = new MutationObserver(() => { // the server's first answer: before it a click may be lost
            first.disconnect();
            const form = kept();
            // a page without one may be older than the checkpoint that the WebUI has loaded now
            loop.trainSend(form ? {act: "restore", form} : {act: "fresh", base: read().base}, "load");
            setInterval(keep, EVERY); // what the server fills in comes without an event
        });
        first.observe(beat, {childList: true, subtree: true, characterData: true});
        for (const kind of ["input", "change", "click"]) {
            page.addEventListener(kind, (event) => {
                touched ||= event.isTrusted;
            }, true);
        }
    });
})();
