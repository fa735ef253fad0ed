import { SERVICE } from "./latchkey.js";

/** Sends the routes of Latchkey to the service. The browser sees one origin. */
export default {
  rewrites: async () => [
    {
      source: "/:path(login|logout|password|sessions|userinfo)/:rest*",
      destination: `${SERVICE}/:path/:rest*`,
    },
  ],
};
