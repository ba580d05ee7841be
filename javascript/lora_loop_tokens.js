// What the marks of a template are: braces with their depth, wildcards, variables, weights, keywords, comments.
// One pass over the text; the server's parser has the last word, this is only for colours.
(() => {
    "use strict";
    const loop = window.loraLoop = window.loraLoop || {};

    const MARK = /\\(?:\$\$|[$%]\{|__|[\s\S])|[$%]?\{|\}|\$\$|__|[|<>]|^[ \t]*#[^\n]*|(?<=[\s{|}>])#(?=\s|$)[^\n]*/gm;
    const WILDCARD = /__[~@!]?((?:(?!__)[^\n{}|<>$#])+?)(?:\(([^)\n]*)\))?__/y;
    const TAG = /<(\w[\w.-]*):(?!:)/y;
    const WEIGHT = /\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)\s*::/y;
    const VARIABLE = /\$\{\s*[^\W\d][\w-]*/uy;

    const at = (pattern, text, place) => {
        pattern.lastIndex = place;
        return pattern.exec(text);
    };

    // [{start, end, kind, depth, name?, mate?}] in order, without overlaps. `mate` is the index of the other brace.
    loop.tokens = (text) => {
        const found = [];
        const open = []; // {kind: "{" | "<" | "tag", token: index or -1, start, bars}
        let place = 0;
        const depth = () => open.reduce((sum, one) => sum + (one.kind === "{" ? 1 : 0), 0);
        let level = 0;
        const add = (start, end, kind, extra) => found.push({start, end, kind, depth: level, ...extra}) - 1;
        const weight = (from) => {
            const match = at(WEIGHT, text, from);
            if (match) add(from, WEIGHT.lastIndex, "weight");
            return match ? WEIGHT.lastIndex : from;
        };
        for (;;) {
            MARK.lastIndex = place;
            const match = MARK.exec(text);
            if (!match) break;
            const mark = match[0];
            const start = match.index;
            const top = open[open.length - 1];
            place = start + mark.length;
            if (mark[0] === "\\") continue;
            if (mark.endsWith("{")) {
                level += 1;
                const variable = mark === "${" && at(VARIABLE, text, start);
                if (variable) place = VARIABLE.lastIndex;
                const token = add(start, place, variable ? "variable" : "brace");
                open.push({kind: "{", token, start});
                if (mark === "{") place = weight(place);
            } else if (mark === "}") {
                while (open.length && open[open.length - 1].kind !== "{") open.pop();
                const mate = open.pop();
                if (!mate) continue;
                const token = add(start, place, found[mate.token].kind, {mate: mate.token});
                found[mate.token].mate = token;
                level -= 1;
            } else if (mark === "|") {
                if (!top || top.kind === "tag") continue;
                const token = add(start, place, "bar");
                if (top.kind === "<") top.bars.push(token);
                place = weight(place);
            } else if (mark === "$$") {
                if (top && top.kind !== "tag") add(start, place, "bar");
            } else if (mark === "<") {
                const tag = at(TAG, text, start);
                open.push(tag ? {kind: "tag", start, name: tag[1], from: TAG.lastIndex} : {kind: "<", start, bars: []});
                if (tag) place = TAG.lastIndex;
            } else if (mark === ">") {
                if (!top || top.kind === "{") continue;
                open.pop();
                if (top.kind === "tag") {
                    found.push({start: top.start, end: top.from, kind: "tag", name: top.name, depth: level});
                    add(start, place, "tag", {name: top.name});
                } else if (top.bars.length) {
                    const mate = found.push({start: top.start, end: top.start + 1, kind: "brace", depth: level + 1}) - 1;
                    found[mate].mate = found.push({start, end: place, kind: "brace", depth: level + 1, mate}) - 1;
                    top.bars.length = 0;
                }
            } else if (mark === "__") {
                if (top && top.kind === "tag") continue;
                const wild = at(WILDCARD, text, start);
                if (!wild || !wild[1].trim()) continue;
                place = WILDCARD.lastIndex;
                add(start, place, "wildcard", {name: wild[1].trim()});
            } else {
                add(start, place, "comment");
            }
        }
        for (const one of open) {
            if (one.kind === "{") found[one.token].kind = "unclosed";
            for (const bar of one.bars || []) if (depth() === 0) found[bar].kind = "none";
        }
        return settled(found);
    };

    // Sorted by place; what turned out to be plain text left out; mates as indices of the sorted list.
    const settled = (found) => {
        const order = found.map((_, index) => index).filter((index) => found[index].kind !== "none");
        order.sort((one, other) => found[one].start - found[other].start);
        const where = new Map(order.map((old, index) => [old, index]));
        return order.map((old) => {
            const token = found[old];
            return token.mate === undefined ? token : {...token, mate: where.get(token.mate)};
        });
    };

    // The wildcards that a text names, each once.
    loop.wildcardNames = (text) => [...new Set(loop.tokens(text).filter((one) => one.kind === "wildcard").map((one) => one.name))];
})();
