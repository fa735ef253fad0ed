// Verifies an access token with the public keys of Latchkey, and prints the user id.
//
//   node verify.js <address of the JWKS> <issuer> < token
import { text } from "node:stream/consumers";
import { createRemoteJWKSet, jwtVerify } from "jose";

// The setting `AUDIENCE` of the stack.
const AUDIENCE = "latchkey";

const [keySetUrl, issuer] = process.argv.slice(2);

try {
  // Without an issuer, the library would not check `iss`.
  if (!keySetUrl || !issuer) throw new Error("needs a JWKS address and an issuer");
  // A service does this once, at its start. The key set is kept for 5 minutes, and read again if a token has a new `kid`.
  const keys = createRemoteJWKSet(new URL(keySetUrl), { cacheMaxAge: 300_000 });

  // A service does this for each request. The algorithm is fixed here, and never read from the token.
  const { payload } = await jwtVerify((await text(process.stdin)).trim(), keys, {
    algorithms: ["EdDSA"],
    typ: "at+jwt",
    issuer,
    audience: AUDIENCE,
    requiredClaims: ["exp", "sub"],
    clockTolerance: 5,
  });
  console.log(`user: ${payload.sub}`);
} catch (error) {
  // The reason is for the log of the service. A client only gets 401.
  console.error(`not valid: ${error.code ?? error.message}`);
  process.exitCode = 1;
}
