// The wildcards tab: clicks and keys in its tree become actions, one at a time, through one gradio event.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const PAUSE = 250;
    let pending = null;
    let timer = 0;
    let focused = null; // the row that had the keyboard before the tree was drawn again
    const part = (name) => gradioApp().querySelector(`#lora_loop_wildcards_${name}`);

    const send = (action) => {
        pending = action;
        const row = document.activeElement?.closest?.("[role=treeitem]");
        focused = row ? {row, act: row.dataset.act, name: row.dataset.name} : null;
        part("do")?.click();
    };

    // Called by the event on its way to the server: the first input becomes the action.
    loop.action = (given) => [JSON.stringify(pending || {act: "look"}), ...given.slice(1)];

    const carryOut = (target) => send({act: target.dataset.act, name: target.dataset.name, page: Number(target.dataset.page || 1)});

    const copy = async (button) => {
        const text = button.dataset.copy;
        try {
            await navigator.clipboard.writeText(text);
        } catch {
            const area = document.createElement("textarea");
            area.value = text;
            document.body.append(area);
            area.select();
            document.execCommand("copy");
            area.remove();
        }
        button.classList.add("lora-loop-copied");
        setTimeout(() => button.classList.remove("lora-loop-copied"), 900);
    };

    const clicked = (event) => {
        const copied = event.target.closest("[data-copy]");
        const target = event.target.closest("[data-act]");
        if (copied) copy(copied);
        else if (target) carryOut(target);
    };

    const rows = () => [...(part("tree")?.querySelectorAll("[role=treeitem]") || [])];

    const move = (row, by) => {
        const all = rows();
        const next = all[Math.min(Math.max(all.indexOf(row) + by, 0), all.length - 1)];
        next?.focus();
    };

    const parent = (row) => {
        const above = rows().slice(0, rows().indexOf(row)).reverse();
        above.find((one) => Number(one.ariaLevel ?? one.getAttribute("aria-level")) < Number(row.getAttribute("aria-level")))?.focus();
    };

    const keyed = (event) => {
        const row = event.target.closest("[role=treeitem]");
        if (!row || event.ctrlKey || event.altKey || event.metaKey) return;
        const open = row.getAttribute("aria-expanded");
        const does = {
            ArrowDown: () => move(row, 1),
            ArrowUp: () => move(row, -1),
            Home: () => move(row, -Infinity),
            End: () => move(row, Infinity),
            ArrowRight: () => open === "false" ? carryOut(row) : move(row, 1),
            ArrowLeft: () => open === "true" ? carryOut(row) : parent(row),
            Enter: () => carryOut(row),
            " ": () => carryOut(row),
        }[event.key];
        if (!does) return;
        event.preventDefault();
        event.stopPropagation();
        does();
    };

    // After the tree has been drawn again: one row can be reached with Tab, and the keyboard is where it was.
    const settle = () => {
        const all = rows();
        if (!all.length) return;
        if (!all.some((row) => row.tabIndex === 0)) all[0].tabIndex = 0;
        if (!focused || focused.row.isConnected) return; // the old tree is still there
        const back = all.find((row) => row.dataset.act === focused.act && row.dataset.name === focused.name);
        focused = null;
        back?.focus();
    };

    onUiLoaded(() => {
        const page = part("page");
        if (!page) return;
        page.addEventListener("click", clicked);
        page.addEventListener("keydown", keyed);
        part("query")?.addEventListener("input", (event) => {
            clearTimeout(timer);
            timer = setTimeout(() => {
                if (!part("deep")?.querySelector("input")?.checked) send({act: "search", query: event.target.value});
            }, PAUSE);
        });
        new MutationObserver(() => loop.translate(page)).observe(page, {childList: true, subtree: true});
        loop.receive(part("dropped"), part("notice") || page, part("shelf"));
        new MutationObserver(settle).observe(part("tree") || page, {childList: true, subtree: true});
        let seen = false;
        new IntersectionObserver((entries) => {
            const now = entries.some((entry) => entry.isIntersecting);
            if (now && !seen) send({act: "look"});
            seen = now;
        }).observe(page);
    });
})();
