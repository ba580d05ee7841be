// The Train tab: clicks in its HTML become actions, and while somebody looks, the page asks what is new.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const EVERY = 1500;
    const PATIENCE = 20000; // how long an unanswered question holds back the next one
    const waiting = []; // actions, sent one after the other, so that none overtakes another
    let pending = null;
    let asked = 0;
    let seen = false;
    const part = (name) => gradioApp().querySelector(`#lora_loop_train_${name}`);

    const isFree = () => !asked || Date.now() - asked >= PATIENCE;

    const next = () => {
        if (!waiting.length || !isFree()) return;
        asked = Date.now();
        pending = waiting.shift();
        part("do")?.click();
    };

    const send = loop.trainSend = (action) => {
        waiting.push(action);
        next();
    };

    // Called by the event on its way to the server: the first input becomes the action.
    loop.trainAction = (given) => [JSON.stringify(pending || {act: "look"}), ...given.slice(1)];

    const use = (text) => {
        const box = gradioApp().querySelector("#txt2img_prompt textarea");
        if (!box) {
            navigator.clipboard?.writeText(text);
            return;
        }
        box.value = box.value.trim() ? `${box.value.trimEnd()}, ${text}` : text;
        box.dispatchEvent(new Event("input", {bubbles: true}));
        // So that the new file is known: the LoRA list reads its folder again.
        gradioApp().querySelector("#txt2img_lora_extra_refresh, #txt2img_extra_refresh")?.click();
        window.switch_to_txt2img?.();
        box.focus();
    };

    const clicked = (event) => {
        const used = event.target.closest("[data-use]");
        const target = event.target.closest("[data-act]");
        if (used) use(used.dataset.use);
        else if (target) send({...target.dataset});
    };

    const slid = (event) => {
        if (event.target.dataset?.slide) send({act: event.target.dataset.slide, place: event.target.value});
    };

    const look = () => {
        next();
        if (!seen || document.hidden || !isFree()) return;
        asked = Date.now();
        part("tick")?.click();
    };

    onUiLoaded(() => {
        const page = part("page");
        if (!page) return;
        page.addEventListener("click", clicked);
        page.addEventListener("change", slid);
        new MutationObserver(() => {
            asked = 0;
            next();
        }).observe(part("beat") || page, {childList: true, subtree: true, characterData: true});
        new IntersectionObserver((entries) => {
            seen = entries[entries.length - 1].isIntersecting;
            look();
        }).observe(page);
        setInterval(look, EVERY);
    });
})();
