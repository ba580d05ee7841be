// Tells in this browser that a job has ended: a notification, asked for by a switch only, and a mark in the title.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const KEY = "lora-loop-tell";
    const OVER = {done: "✓", failed: "✗", broken: "✗", stopped: "■", interrupted: "✗"};
    const known = new Map();
    let mark = "";
    let waiting = 0;
    let looked = false;

    const kept = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
    const able = () => "Notification" in window;
    const wanted = () => kept() === "yes";

    const set = async (box) => {
        let yes = box.checked;
        if (yes && able() && Notification.permission !== "granted") await Notification.requestPermission();
        if (yes && able() && Notification.permission === "denied") yes = false;
        box.checked = yes;
        try { localStorage.setItem(KEY, yes ? "yes" : "no"); } catch { /* private windows remember nothing */ }
    };

    const badge = (sign) => {
        if (mark) document.title = document.title.replace(`${mark} `, "");
        mark = sign;
        if (mark) document.title = `${mark} ${document.title}`;
    };

    const ended = (name, state, message) => {
        if (document.hidden) badge(OVER[state]);
        if (!wanted() || !able() || Notification.permission !== "granted") return;
        try {
            new Notification(`${OVER[state]} ${name}`, {body: message, tag: `lora-loop-${name}`}).onclick = () => window.focus();
        } catch { /* a phone's browser wants a service worker for that; the title tells */ }
    };

    // The list of jobs is read each time that it changes: what was under way and is not any more has ended.
    const read = (list) => {
        [waiting, looked] = [0, true];
        list.querySelectorAll("[data-state]").forEach(({dataset: {state, name, message}, firstElementChild}) => {
            const job = firstElementChild?.dataset.job;
            const before = known.get(job);
            if (!(state in OVER)) waiting += 1;
            else if (before && !(before in OVER)) ended(name, state, message);
            known.set(job, state);
        });
    };

    loop.tell = {
        wanted,
        set,
        waits: () => waiting > 0 || !looked,
        begin: (page, list) => {
            page.querySelectorAll("[data-tell]").forEach((box) => { box.checked = wanted(); });
            new MutationObserver(() => read(list)).observe(list, {childList: true, subtree: true, attributes: true});
            document.addEventListener("visibilitychange", () => { if (!document.hidden) badge(""); });
        },
    };
})();
