// The Train tab: clicks in its HTML become actions, and while somebody looks, the page asks what is new.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const EVERY = 1500;
    const SELDOM = 15000;
    const GRID = "LoRA Loop epoch grid";
    const FILLS = ["load", "sample_photos"]; // what these do is put into the form
    const BETWEEN = "\u2003";
    const PATIENCE = 20000; // how long an unanswered question holds back the next one
    const waiting = []; // actions and their buttons, sent one after the other, so that none overtakes another
    let pending = null;
    let asked = 0;
    let last = 0;
    let seen = false;
    const part = (name) => gradioApp().querySelector(`#lora_loop_train_${name}`);

    const isFree = () => !asked || Date.now() - asked >= PATIENCE;

    const next = () => {
        if (!waiting.length || !isFree()) return;
        asked = last = Date.now();
        const [action, button] = waiting.shift();
        pending = action;
        part(button)?.click();
    };

    const send = loop.trainSend = (action, button = "do") => {
        waiting.push([action, button]);
        next();
    };

    // Called by the event on its way to the server: the first input becomes the action.
    loop.trainAction = (given) => [JSON.stringify(pending || {act: "look"}), ...given.slice(1)];

    const type = (box, text) => {
        box.value = text;
        box.dispatchEvent(new Event("input", {bubbles: true}));
    };

    // A picture much smaller or larger than what the LoRA was trained on would show little of it.
    const fit = (side) => {
        const boxes = ["width", "height"].map((name) => gradioApp().querySelector(`#txt2img_${name} input[type=number]`));
        if (!side || boxes.some((box) => !box)) return;
        const sides = boxes.map((box) => Number(box.value));
        if (Math.max(...sides) < 2 * side && Math.min(...sides) > side / 2) return;
        boxes.forEach((box) => {
            type(box, side);
            box.dispatchEvent(new Event("blur", {bubbles: true}));
        });
    };

    const use = (text, side) => {
        const box = gradioApp().querySelector("#txt2img_prompt textarea");
        if (!box) {
            navigator.clipboard?.writeText(text);
            return;
        }
        fit(side);
        type(box, box.value.trim() ? `${box.value.trimEnd()}, ${text}` : text);
        // So that the new file is known: the LoRA list reads its folder again.
        gradioApp().querySelector("#txt2img_lora_extra_refresh, #txt2img_extra_refresh")?.click();
        window.switch_to_txt2img?.();
        box.focus();
    };

    const soon = async (find, tries = 50) => {
        for (let left = tries; left; left -= 1) {
            const found = find();
            if (found) return found;
            await new Promise((done) => setTimeout(done, 100));
        }
        return null;
    };

    // Chooses an entry of a gradio list: by its own words, or typed in where the list does not know it yet.
    const pick = async (list, wanted) => {
        const input = list.querySelector("input");
        if (!await soon(() => list.getClientRects().length)) return; // what is out of sight takes no focus
        const entry = () => [...list.querySelectorAll("ul li")].find((item) => item.innerText.replace("✓", "").trim() === wanted);
        input.focus();
        const item = await soon(entry, 5);
        if (item) {
            item.dispatchEvent(new MouseEvent("mousedown", {bubbles: true}));
        } else {
            type(input, wanted);
            input.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
        }
        input.blur();
    };

    // The epoch grid is a script of txt2img. Without a WebUI there is none: the command that draws it is shown.
    const compare = async (button) => {
        const scripts = gradioApp().querySelector("#txt2img_script_container #script_list");
        if (!scripts) {
            const line = button.parentElement.querySelector("pre");
            line.hidden = false;
            navigator.clipboard?.writeText(line.innerText);
            return;
        }
        window.switch_to_txt2img?.();
        await pick(scripts, GRID);
        const run = gradioApp().querySelector("#lora_loop_grid_txt2img_run");
        gradioApp().querySelector("#lora_loop_grid_txt2img_refresh")?.click(); // so that the list knows the new files
        await new Promise((done) => setTimeout(done, 700));
        await pick(run, button.dataset.grid);
        run.scrollIntoView({block: "center", behavior: "smooth"});
    };

    const clicked = (event) => {
        const target = event.target.closest("[data-use], [data-grid], [data-act]");
        if (!target) return;
        const {use: text, size, grid, act} = target.dataset;
        if (text) use(text, Number(size));
        else if (grid) compare(target);
        else send({...target.dataset}, FILLS.includes(act) ? "load" : "do");
    };

    const changed = ({target}) => {
        if (target.dataset?.slide) send({act: target.dataset.slide, place: target.value});
        else if (target.matches("[data-tell]")) loop.tell.set(target);
    };

    // A person looks: often. Nobody looks, but wants to be told of the end of a job that is not over: now and then.
    const look = () => {
        next();
        const watched = seen && !document.hidden;
        const every = watched ? 0 : loop.tell.wanted() && loop.tell.waits() ? SELDOM : Infinity;
        if (Date.now() - last < every || !isFree()) return;
        asked = last = Date.now();
        part("tick")?.click();
    };

    // What the WebUI's translation does not reach: sentences with values in them, and help with range and default.
    const words = (text) => loop.word(text);
    const translate = loop.translate = (page) => page.querySelectorAll(":is([data-say], [data-time]):not([data-said])").forEach((place) => {
        const {say, values, time} = place.dataset;
        place.dataset.said = true;
        if (time) {
            place.textContent = new Date(time * 1000).toLocaleString(undefined, {dateStyle: "medium", timeStyle: "short"});
            return;
        }
        const told = JSON.parse(values);
        place.textContent = words(say).replace(/\{\}/g, () => told.shift());
    });
    const part_help = (page) => {
        const walk = document.createTreeWalker(page, NodeFilter.SHOW_TEXT);
        const found = [];
        while (walk.nextNode()) if (walk.currentNode.textContent.includes(BETWEEN)) found.push(walk.currentNode);
        found.forEach((node) => node.replaceWith(...node.textContent.split(BETWEEN).flatMap((one) => [one, " "])));
    };

    // gradio 3 shows nothing while it uploads, and its button takes no drop.
    loop.receive = (button, taken, zone = button) => {
        const input = button.querySelector("input[type=file]");
        const over = (on) => (event) => {
            event.preventDefault();
            zone.classList.toggle("lora-loop-over", on);
        };
        zone.addEventListener("dragover", over(true));
        zone.addEventListener("dragleave", over(false));
        zone.addEventListener("drop", (event) => {
            over(false)(event);
            if (!event.dataTransfer.files.length) return;
            input.files = event.dataTransfer.files;
            input.dispatchEvent(new Event("change", {bubbles: true}));
        });
        input.addEventListener("change", () => {
            if (input.files.length) button.setAttribute("aria-busy", "true");
        });
        new MutationObserver(() => {
            button.removeAttribute("aria-busy");
            input.value = ""; // so that the same photos can be chosen again
        }).observe(taken, {childList: true, subtree: true});
    };

    onUiLoaded(() => {
        const page = part("page");
        if (!page) return;
        page.addEventListener("click", clicked);
        page.addEventListener("change", changed);
        part_help(part("options"));
        translate(page);
        loop.receive(part("dropped"), part("taken"));
        new MutationObserver(() => translate(page)).observe(page, {childList: true, subtree: true});
        loop.tell.begin(page, part("jobs"));
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
