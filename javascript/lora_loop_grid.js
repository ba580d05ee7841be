// The epoch grid's form: tells the server what stands on the page, and carries out what keeping an epoch asks for.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};
    const REFRESH = ["txt2img_lora_extra_refresh_internal", "txt2img_extra_refresh"];
    const number = (tab, name) => parseInt(gradioApp().querySelector(`#${tab}_${name} input[type=number]`)?.value ?? "", 10);
    const area = (tab) => gradioApp().querySelector(`#${tab}_prompt textarea`);

    // Called by the form's events on their way to the server: the first input becomes what stands on the page.
    loop.gridAsk = (tab, given) => [
        JSON.stringify({
            prompt: area(tab)?.value ?? "", txt2img: area("txt2img")?.value ?? "",
            width: number(tab, "width") || null, height: number(tab, "height") || null,
        }),
        ...given.slice(1),
    ];

    // Called when an epoch was kept or put back: the prompt, and the WebUI's own list of LoRAs.
    loop.gridKept = (reply) => {
        if (!reply) return;
        const {prompt} = JSON.parse(reply);
        const box = area("txt2img");
        if (prompt && box) {
            if (box.getClientRects().length) {
                loop.write({area: box}, prompt);
            } else {
                box.value = prompt;
                box.dispatchEvent(new Event("input", {bubbles: true}));
            }
        }
        const button = REFRESH.map((id) => gradioApp().querySelector(`#${id}`)).find(Boolean);
        button?.click();
    };
})();
