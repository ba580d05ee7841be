// The caption table: what is typed is saved as its field is left, and the row alone is told what became of it.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const BOX = "textarea[data-photo]";
    let taken = "";

    const save = (box) => {
        if (!box || box.readOnly || box.value === (box.sent ?? box.defaultValue)) return;
        box.sent = box.value;
        loop.trainSend({act: "caption", photo: box.dataset.photo, was: box.dataset.was, text: box.value});
    };

    // The server's answer about one caption goes into its row; the field itself is not touched, somebody may be typing.
    const told = () => {
        const news = gradioApp().querySelector("#lora_loop_train_row [data-drawn]");
        if (!news || news.dataset.drawn === taken) return;
        taken = news.dataset.drawn;
        for (const box of gradioApp().querySelectorAll(`#lora_loop_train_captions ${BOX}`)) {
            if (box.dataset.photo !== news.dataset.photo) continue;
            if (box.dataset.was !== news.dataset.was) box.dataset.was = news.dataset.was;
            if (news.querySelector(".lora-loop-is-warning[role=status]")) box.sent = null;
            box.closest("li").querySelector(".lora-loop-about").replaceChildren(...[...news.childNodes].map((node) => node.cloneNode(true)));
        }
    };

    onUiLoaded(() => {
        const page = gradioApp().querySelector("#lora_loop_train_page");
        if (!page) return;
        page.addEventListener("change", (event) => {
            if (event.target.matches?.(BOX)) save(event.target);
        });
        page.addEventListener("keydown", (event) => {
            const box = event.target.closest?.(BOX);
            if (!box) return;
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save(box);
            else if (event.key === "Escape") box.value = box.sent ?? box.defaultValue;
            else return;
            event.preventDefault();
            event.stopPropagation(); // the WebUI's own Ctrl+Enter would generate
        });
        // Some browsers leave the focus where it was when a button is clicked.
        page.addEventListener("click", (event) => {
            const box = document.activeElement?.closest?.(BOX);
            if (box && event.isTrusted && event.target !== box) save(box); // not the clicks of our own polls
        }, true);
        new MutationObserver(told).observe(page, {childList: true, subtree: true});
    });
})();
