import { getUser } from "../session.js";

/** A route of your own that only a signed-in user may call. */
export async function GET() {
  const user = await getUser();
  if (!user) return new Response("Not Authorized", { status: 401, headers: { "cache-control": "no-store" } });
  return Response.json({ greeting: `Hello, ${user.name}` }, { headers: { "cache-control": "private, no-store" } });
}
