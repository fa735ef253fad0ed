import { NextResponse } from "next/server";
import { needsRenewal, renew } from "./latchkey.js";

/** Renews the session before a page or a route handler reads it. */
export async function proxy(request) {
  if (!needsRenewal(request.headers.get("cookie"))) return NextResponse.next();
  const { setCookies, cookie } = await renew(request.headers);
  const headers = new Headers(request.headers);
  headers.set("cookie", cookie);
  const response = NextResponse.next({ request: { headers } });
  for (const line of setCookies) response.headers.append("set-cookie", line);
  // A cache that stored this response would hand the session to the next visitor.
  response.headers.set("cache-control", "private, no-store");
  return response;
}

/** All paths except files of Next.js and the routes of Latchkey: the service renews these by itself. */
export const config = {
  matcher: "/((?!_next/|favicon.ico|(?:login|logout|password|sessions|userinfo)(?:/|$)).*)",
};
