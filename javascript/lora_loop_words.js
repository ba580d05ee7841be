// Our words in the page's language, where the WebUI has the same word: translated in our parts only, and left alone in its own.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const MARK = "LoRA Loop|";
    const OURS = "[id^='lora_loop_']";

    const known = (text) => window.localization?.[MARK + text];
    loop.word = (text) => known(text) ?? window.localization?.[text] ?? text;

    const say = (node) => {
        const text = node.textContent.trim();
        const translated = text.length <= 40 && known(text);
        if (translated && !["SCRIPT", "STYLE", "TEXTAREA"].includes(node.parentElement?.nodeName)) {
            node.textContent = node.textContent.replace(text, translated);
        }
    };

    const within = (root) => {
        if (root.nodeType === Node.TEXT_NODE) {
            if (root.parentElement?.closest(OURS)) say(root);
            return;
        }
        if (root.nodeType !== Node.ELEMENT_NODE) return;
        const roots = root.closest(OURS) ? [root] : root.querySelectorAll(OURS);
        for (const one of roots) {
            const walk = document.createTreeWalker(one, NodeFilter.SHOW_TEXT);
            for (let node = walk.nextNode(); node; node = walk.nextNode()) say(node);
            for (const element of [one, ...one.querySelectorAll("[title], [placeholder]")]) {
                for (const name of ["title", "placeholder"]) {
                    const translated = element[name] && known(element[name]);
                    if (translated) element[name] = translated;
                }
            }
        }
    };

    onUiLoaded(() => {
        if (!Object.keys(window.localization || {}).some((key) => key.startsWith(MARK))) return;
        const page = gradioApp();
        within(page.nodeType === Node.ELEMENT_NODE ? page : document.body);
        new MutationObserver((changes) => {
            for (const change of changes) change.addedNodes.forEach(within);
        }).observe(page, {childList: true, subtree: true});
    });
})();
