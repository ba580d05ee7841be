// The prompt boxes, and a word when what stands in one of them changes (also when the WebUI itself changes it).
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const NAMES = [
        ["txt2img", "txt2img_prompt", "prompt"],
        ["txt2img", "txt2img_neg_prompt", "negative"],
        ["txt2img", "hires_prompt", "hires"],
        ["txt2img", "hires_neg_prompt", "hires_negative"],
        ["img2img", "img2img_prompt", "prompt"],
        ["img2img", "img2img_neg_prompt", "negative"],
    ];
    const LOOK_EVERY = 600;
    const listeners = [];

    // [{tab, role, area, text}] of the boxes that there are.
    loop.boxes = [];

    // `heard(box)` after every change of a prompt box; `text` is what stands in it now.
    loop.onPrompt = (heard) => listeners.push(heard);

    loop.box = (tab, role) => loop.boxes.find((box) => box.tab === tab && box.role === role);

    // Another text in a prompt box, in a way that Ctrl+Z takes back.
    loop.write = (box, text) => {
        const area = box.area;
        if (area.value === text) return;
        area.focus();
        area.select();
        if (!document.execCommand("insertText", false, text)) {
            area.value = text;
            area.dispatchEvent(new Event("input", {bubbles: true}));
        }
    };

    const notice = (box) => {
        const text = box.area.value;
        if (text === box.text) return;
        box.text = text;
        for (const heard of listeners) heard(box);
    };

    const find = () => {
        for (const [tab, id, role] of NAMES) {
            const area = gradioApp().querySelector(`#${id} textarea`);
            const known = loop.box(tab, role);
            if (!area || (known && known.area === area)) continue;
            if (known) loop.boxes.splice(loop.boxes.indexOf(known), 1);
            const box = {tab, role, area, text: null};
            loop.boxes.push(box);
            area.addEventListener("input", () => notice(box));
        }
    };

    onUiLoaded(() => {
        find();
        const look = () => {
            if (document.hidden) return;
            find();
            loop.boxes.forEach(notice);
        };
        look();
        setInterval(look, LOOK_EVERY);
    });
})();
