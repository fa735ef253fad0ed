/**
 * Bundles the functions into `dist/`, each with its bytecode. Node.js then need not compile the bundle at init and in
 * the first call. The bytecode is of this version of Node.js. Another version ignores it.
 */
import { build } from "esbuild";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { Script } from "node:vm";

const EVENTS = {
  userinfo: { headers: {}, requestContext: { http: { method: "GET" } } },
  login: {
    headers: { "content-type": "application/json" },
    requestContext: { http: { method: "POST", sourceIp: "203.0.113.7" } },
    body: JSON.stringify({ loginInfo: { userId: "kimcoding", password: "wrong" } }),
  },
};

rmSync("dist", { recursive: true, force: true });
await build({
  entryPoints: Object.keys(EVENTS).map((name) => ({ in: `src/${name}.js`, out: `${name}.bundle` })),
  outdir: "dist",
  bundle: true,
  minify: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  // The ES modules of the SDK. Without them, esbuild keeps the commands that are not used.
  mainFields: ["module", "main"],
  // Lambda sets the credentials as variables. The other providers are the largest part of the SDK.
  alias: { "@aws-sdk/credential-provider-node": "./src/credentials.js" },
  // `import()` of a module of Node.js becomes `require()`. A script that is loaded from bytecode cannot import.
  supported: { "dynamic-import": false },
  // It has native code.
  external: ["@node-rs/argon2"],
  // A script whose value is the function that runs the bundle.
  banner: { js: "(function (exports, require, module) {" },
  footer: { js: "})" },
});

// A DynamoDB without items.
const dynamodb = createServer((_, response) => response.end("{}"));
await new Promise((resolve) => dynamodb.listen(0, "127.0.0.1", resolve));
Object.assign(process.env, {
  AWS_ENDPOINT_URL_DYNAMODB: `http://127.0.0.1:${dynamodb.address().port}`,
  // Otherwise the SDK prints when it ends its support of this version of Node.js.
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true",
  AWS_REGION: "eu-west-1",
  AWS_ACCESS_KEY_ID: "test",
  AWS_SECRET_ACCESS_KEY: "test",
  ACCESS_SECRET: "access-secret-for-tests-0123456789",
  REFRESH_SECRET: "refresh-secret-for-tests-012345678",
  THROTTLE_SECRET: "throttle-secret-for-tests-01234567",
  USERS_TABLE: "users",
  SESSIONS_TABLE: "sessions",
  ATTEMPTS_TABLE: "attempts",
});
const { signAccess } = await import("./src/tokens.js");
const now = Math.floor(Date.now() / 1000);
const session = { session_id: "AAAAAAAAAAAAAAAAAAAAAA", idle_exp: now + 60, abs_exp: now + 60 };
const { token } = signAccess({ id: "0", email: "kim@example.com" }, session, now);
EVENTS.userinfo.headers.authorization = `Bearer ${token}`;

for (const [name, event] of Object.entries(EVENTS)) {
  const bundle = `dist/${name}.bundle.js`;
  const script = new Script(readFileSync(bundle, "utf8"));
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(import.meta.url), module);
  const { statusCode } = await module.exports.handler(event, {});
  if (statusCode !== 401) throw new Error(`${name} answers ${statusCode}, not 401: its calls do not reach DynamoDB`);
  // The functions that this call used are in the bytecode.
  writeFileSync(`${bundle}.cache`, script.createCachedData());
  cpSync("src/cached.cjs", `dist/${name}.cjs`);
}
dynamodb.close();
dynamodb.closeAllConnections();
