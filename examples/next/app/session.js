import { headers } from "next/headers";
import { cache } from "react";
import { readUser } from "../latchkey.js";

/** Returns the signed-in user, or `null`. Calls the service once for each request, because `cache` lasts no longer. */
export const getUser = cache(async () => readUser((await headers()).get("cookie")));
