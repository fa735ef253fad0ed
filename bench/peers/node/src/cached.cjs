/** Loads the bundle of a function with its bytecode. `build.js` copies this file beside each bundle. */

const { readFileSync } = require("node:fs");
const { Script } = require("node:vm");

const bundle = __filename.replace(/\.cjs$/, ".bundle.js");
const cachedData = readFileSync(`${bundle}.cache`);
const script = new Script(readFileSync(bundle, "utf8"), { filename: bundle, cachedData });
if (script.cachedDataRejected) console.warn("The bytecode is of another version of Node.js. Run `npm run build`.");
script.runInThisContext()(exports, require, module);
